//! From the files and flags of `bake` to requests: each target becomes the arguments that somebody would have typed after `build`,
//! and goes the way that those go.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use archipel_bake::{Bake, Definition, Facts, File, Lookup, Target, clean, is_remote};
use archipel_build::Dockerfile;
use archipel_oci::Platform;
use clap::Parser;

use super::csv::boolean;
use super::request::{self, Resolved};
use crate::commands::{BakeArgs, BuildArgs};
use crate::environment::Environment;
use crate::errors::Error;

/// What is looked for where no `--file` is given, all of it that is there.
const USUAL: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// The longest file of a definition.
const MAX_FILE: u64 = 4 << 20;

/// The time of everything that a build makes (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The files, and where their variables have values from.
pub(crate) struct Definitions<'e> {
    files: Vec<File>,
    facts: Facts,
    given: BTreeMap<String, String>,
    dot_env: BTreeMap<String, String>,
    targets: Vec<String>,
    environment: &'e Environment,
}

impl<'e> Definitions<'e> {
    /// Reads the files.
    pub(crate) fn find(args: &BakeArgs, environment: &'e Environment) -> Result<Self, Error> {
        let mut targets = args.targets.clone();
        if let Some(address) = targets.first().filter(|target| is_remote(target)) {
            return Err(Error::Usage(format!(
                "{address}: definitions from elsewhere are not supported yet: clone it, and call this there"
            )));
        }
        if targets.is_empty() {
            targets.push("default".into());
        }
        let mut given = BTreeMap::new();
        for text in &args.var {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Error::Usage(format!("--var {text}: it should be NAME=VALUE")))?;
            given.insert(name.to_owned(), value.to_owned());
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let facts = Facts {
            now: i64::try_from(seconds).unwrap_or_default(),
            home: environment.home_dir().map(|home| home.display().to_string()).unwrap_or_default(),
            command_context: "cwd://".into(),
            local_platform: Platform::host().to_string(),
        };
        let files = files(args, environment)?;
        let mut definitions = Self { files, facts, given, dot_env: BTreeMap::new(), targets, environment };
        if let Ok(text) = std::fs::read_to_string(".env") {
            definitions.dot_env = archipel_bake::dot_env(&text, &|name| definitions.variable(name));
        }
        Ok(definitions)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let hidden =
            || text_of(self.environment, "BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP").and_then(|text| boolean(&text));
        match self.given.get(name) {
            Some(value) => Some(value.clone()),
            None if hidden() == Some(true) => None,
            None => text_of(self.environment, name),
        }
    }

    fn with<T>(&self, f: impl FnOnce(Lookup<'_>) -> T) -> T {
        let variable = |name: &str| self.variable(name);
        let compose = |name: &str| self.variable(name).or_else(|| self.dot_env.get(name).cloned());
        f(Lookup { variable: &variable, compose: &compose })
    }

    /// What they say.
    pub(crate) fn read(&self) -> Result<Definition, Error> {
        Ok(self.with(|lookup| archipel_bake::read(&self.files, &self.facts, lookup))?)
    }

    /// The same as the files have it, without what the command line changes.
    pub(crate) fn unchanged(&self, definition: &Definition) -> Result<Bake, Error> {
        Ok(self.with(|lookup| definition.resolve(&self.targets, &[], lookup))?)
    }

    /// What is to be built of it.
    pub(crate) fn resolve(&self, definition: &Definition, args: &BakeArgs) -> Result<Bake, Error> {
        let mut overrides = args.set.clone();
        let mut add = |wanted: bool, text: &str| overrides.extend(wanted.then(|| text.to_owned()));
        add(args.push, "*.push=true");
        add(args.load, "*.load=true");
        add(args.no_cache, "*.no-cache=true");
        add(args.pull, "*.pull=true");
        let method = method(args);
        add(method != "build", &format!("*.call={method}"));
        for (kind, wish) in [("sbom", &args.sbom), ("provenance", &args.provenance)] {
            let text = wish.as_ref().map(|wish| match boolean(wish) {
                Some(wanted) => format!("*.attest=type={kind},disabled={}", !wanted),
                None => format!("*.attest=type={kind},{wish}"),
            });
            overrides.extend(text);
        }
        let mut bake = self.with(|lookup| definition.resolve(&self.targets, &overrides, lookup))?;
        if let Some(epoch) = text_of(self.environment, EPOCH).filter(|epoch| !epoch.is_empty()) {
            for target in bake.targets.values_mut() {
                target.args.entry(EPOCH.into()).or_insert_with(|| epoch.clone());
            }
        }
        Ok(bake)
    }
}

pub(super) fn text_of(environment: &Environment, name: &str) -> Option<String> {
    environment.variable(name).and_then(|value| value.into_string().ok())
}

fn files(args: &BakeArgs, environment: &Environment) -> Result<Vec<File>, Error> {
    let mut names: Vec<String> =
        args.file.iter().map(|name| name.strip_prefix("cwd://").unwrap_or(name).to_owned()).collect();
    if names.is_empty()
        && let Some(list) = text_of(environment, "BUILDX_BAKE_FILE")
    {
        let separator = text_of(environment, "BUILDX_BAKE_FILE_SEPARATOR").filter(|text| !text.is_empty());
        let separator = separator.unwrap_or_else(|| ":".into());
        names = list.split(&separator).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    if names.is_empty() {
        names = USUAL.iter().filter(|name| Path::new(name).exists()).map(|name| (*name).to_owned()).collect();
    }
    if names.is_empty() {
        return Err(Error::Usage(format!(
            "there is no definition here: none of {}; name one with --file",
            USUAL.join(", ")
        )));
    }
    names.into_iter().map(read).collect()
}

fn read(name: String) -> Result<File, Error> {
    let mut text = String::new();
    let size = match name.as_str() {
        "-" => std::io::stdin().lock().take(MAX_FILE + 1).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text)),
    };
    match size.map_err(Error::io(name.clone()))? as u64 {
        size if size > MAX_FILE => Err(Error::Usage(format!("{name} is over {} MiB", MAX_FILE >> 20))),
        _ => Ok(File { name, text }),
    }
}

/// What is done for one target.
pub(crate) struct Job {
    pub(crate) name: String,
    /// Whether it makes what other targets take, and nothing else.
    pub(crate) is_context: bool,
    pub(crate) args: BuildArgs,
    pub(crate) resolved: Resolved,
}

/// What is asked of all targets, by BuildKit's name.
fn method(args: &BakeArgs) -> &str {
    match args.method().split(',').next() {
        Some("check") => "lint",
        other => other.unwrap_or_default(),
    }
}

/// The arguments of `build`, without the command.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: BuildArgs,
}

/// What is to be done, in order. Results that other targets take lie as layouts in the folder `links`.
pub(crate) fn jobs(bake: &Bake, args: &BakeArgs, links: &Path, environment: &Environment) -> Result<Vec<Job>, Error> {
    let order = bake.order();
    let wanted = wanted(&order, environment)?;
    let mut jobs = Vec::new();
    for target in order {
        let told = |e: Error| match e {
            Error::Usage(message) => Error::Usage(format!("target `{}`: {message}", target.name)),
            other => other,
        };
        // What is built for others may be for more platforms than what was asked for. Steps that both have are done once.
        if let Some(platforms) = wanted.get(target.name.as_str()) {
            let layout = links.join(&target.name);
            jobs.push(job(target, platforms, Some(&layout), args, links, environment).map_err(told)?);
        }
        if !target.linked {
            let platforms = target.platforms.as_deref().unwrap_or_default();
            jobs.push(job(target, platforms, None, args, links, environment).map_err(told)?);
        }
    }
    Ok(jobs)
}

/// The targets whose results are contexts of targets that are built, with the platforms that they are needed for: their own, else
/// those of whoever takes them.
fn wanted<'t>(order: &[&'t Target], environment: &Environment) -> Result<BTreeMap<&'t str, Vec<String>>, Error> {
    let default = environment.default_platform()?.unwrap_or_else(Platform::host).to_string();
    let mut wanted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for target in order.iter().rev() {
        let is_built = target.call.as_deref().is_none_or(|call| call == "build");
        let mut platforms = wanted.get(target.name.as_str()).cloned().unwrap_or_default();
        if !target.linked && is_built {
            platforms.push(default.clone());
        }
        if platforms.is_empty() {
            continue;
        }
        if let Some(own) = target.platforms.as_ref().filter(|own| !own.is_empty()) {
            platforms.clone_from(own);
        }
        if let Some(known) = wanted.get_mut(target.name.as_str()) {
            known.clone_from(&platforms);
        }
        for (_, link) in target.links() {
            let all = wanted.entry(link).or_default();
            for platform in &platforms {
                if !all.contains(platform) {
                    all.push(platform.clone());
                }
            }
        }
    }
    Ok(wanted)
}

fn job(
    target: &Target,
    platforms: &[String],
    layout: Option<&Path>,
    bake: &BakeArgs,
    links: &Path,
    environment: &Environment,
) -> Result<Job, Error> {
    let typed = typed(target, platforms, layout, links);
    let line = Line::try_parse_from(typed).map_err(|e| {
        let text = e.to_string();
        let first = text.lines().next().unwrap_or_default();
        Error::Usage(first.strip_prefix("error: ").unwrap_or(first).to_owned())
    })?;
    let mut args = line.args;
    args.progress = bake.progress;
    args.jobs = bake.jobs;
    if let (Some(call), None) = (&target.call, layout) {
        // What the command line says of the form counts for its own method only.
        let own = method(bake) == call;
        args.call = if own { bake.method().to_owned() } else { call.clone() };
    }
    let mut resolved = request::resolve(&args, environment)?;
    if let Some(text) = &target.dockerfile_inline {
        resolved.request.dockerfile = Dockerfile::Text(text.clone());
    }
    Ok(Job { name: target.name.clone(), is_context: layout.is_some(), args, resolved })
}

/// What somebody would type for this target.
fn typed(target: &Target, platforms: &[String], layout: Option<&Path>, links: &Path) -> Vec<String> {
    let mut typed = vec!["build".to_owned()];
    let mut flag = |name: &str, value: &str| typed.push(format!("--{name}={value}"));
    let context = target.context.as_deref().unwrap_or(".");
    if let (Some(dockerfile), None) = (&target.dockerfile, &target.dockerfile_inline)
        && !(is_remote(context) && dockerfile == "Dockerfile")
    {
        flag("file", &dockerfile_path(context, dockerfile));
    }
    platforms.iter().for_each(|platform| flag("platform", platform));
    target.tags.iter().flatten().for_each(|tag| flag("tag", tag));
    target.args.iter().for_each(|(key, value)| flag("build-arg", &format!("{key}={value}")));
    target.labels.iter().for_each(|(key, value)| flag("label", &format!("{key}={value}")));
    target.annotations.iter().flatten().for_each(|annotation| flag("annotation", annotation));
    target.attest.iter().flatten().for_each(|attest| flag("attest", &attest.csv()));
    for (name, value) in &target.contexts {
        let value = match (value.strip_prefix("target:"), value.strip_prefix("cwd://")) {
            (Some(link), _) => format!("oci-layout://{}", links.join(link).display()),
            (None, Some(path)) => clean(path),
            (None, None) => value.clone(),
        };
        flag("build-context", &format!("{name}={value}"));
    }
    target.secret.iter().flatten().for_each(|secret| flag("secret", &secret.csv()));
    target.ssh.iter().flatten().for_each(|ssh| flag("ssh", &ssh.text()));
    target.cache_from.iter().flatten().for_each(|cache| flag("cache-from", &cache.csv()));
    target.cache_to.iter().flatten().for_each(|cache| flag("cache-to", &cache.csv()));
    target.target.iter().for_each(|stage| flag("target", stage));
    target.network.iter().for_each(|network| flag("network", network));
    target.no_cache_filter.iter().flatten().for_each(|stage| flag("no-cache-filter", stage));
    target.shm_size.iter().for_each(|size| flag("shm-size", size));
    target.ulimits.iter().flatten().for_each(|limit| flag("ulimit", limit));
    target.entitlements.iter().flatten().for_each(|what| flag("allow", what));
    target.extra_hosts.iter().for_each(|(name, address)| flag("add-host", &format!("{name}={address}")));
    match layout {
        Some(layout) => flag("output", &format!("type=oci,tar=false,\"dest={}\"", layout.display())),
        None => target.output.iter().flatten().for_each(|output| flag("output", &output.csv())),
    }
    for (name, wanted) in [("no-cache", target.no_cache), ("pull", target.pull)] {
        if wanted == Some(true) {
            typed.push(format!("--{name}"));
        }
    }
    typed.extend(["--".to_owned(), context.to_owned()]);
    typed
}

/// A Dockerfile is within its context, unless it says that it is not.
pub(super) fn dockerfile_path(context: &str, dockerfile: &str) -> String {
    match dockerfile.strip_prefix("cwd://") {
        Some(path) => clean(path),
        None if is_remote(dockerfile) || dockerfile.starts_with('/') => dockerfile.to_owned(),
        None if is_remote(context) => clean(dockerfile),
        None => clean(&format!("{context}/{dockerfile}")),
    }
}
