//! `archipel bake`: docker's `buildx bake`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use archipel_bake::{Bake, Definition, Target};
use archipel_build::{Engine, Error as BuildError, Sink};
use serde_json::{Map, Value, json};

use super::builders::Builders;
use super::{call, shared};
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::flags::bake::{Definitions, Job};
use crate::flags::{allow, bake, csv};
use crate::render::checks::Warnings;
use crate::render::{self, Progress, View, table};

/// Build the targets of a bake file or a compose file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets and groups, or patterns of their names [default: default]
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// A bake file or compose file, again for each further one; `-` for standard input [default: those of the usual names]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<String>,
    /// Change a target: TARGET.KEY=VALUE, or += to add to a list; `*` is every target
    #[arg(long, value_name = "CHANGE")]
    pub(crate) set: Vec<String>,
    /// Value of a variable
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) var: Vec<String>,
    /// Do not build: print the targets with everything resolved, as JSON
    #[arg(long)]
    pub(crate) print: bool,
    /// Do not build: list the targets or the variables
    #[arg(long, value_name = "targets|variables[,format=json]")]
    pub(crate) list: Option<String>,
    /// Push the results to the registries of their names
    #[arg(long)]
    pub(crate) push: bool,
    /// Keep the results in the store, as happens anyway without --push and outputs
    #[arg(long)]
    pub(crate) load: bool,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Ask registries for newer base images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Attest how the images were made: true, false, or mode=min|max,version=v1|v0.2,builder-id=ID
    #[arg(long, value_name = "WISH")]
    pub(crate) provenance: Option<String>,
    /// List what is in the images (SBOM): true, false, or generator=IMAGE
    #[arg(long, value_name = "WISH")]
    pub(crate) sbom: Option<String>,
    /// What the files may ask for: network.host, security.insecure, device, ssh, fs.read=PATH, fs.write=PATH, fs=PATH
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<String>,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "auto", value_name = "FORM")]
    pub(crate) progress: Progress,
    /// Write what was built to this file, as JSON by target
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// How many steps run at once [default: one per processor]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub(crate) jobs: usize,
    /// Do not build: check the Dockerfiles, or list their stages or arguments
    #[arg(
        long,
        value_name = "build|check|outline|targets[,format=json]",
        default_value = "build",
        hide_default_value = true
    )]
    pub(crate) call: String,
    /// Short for --call=check
    #[arg(long)]
    pub(crate) check: bool,
    /// The builder: one of those that `docker buildx ls` shows
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) builder: Option<String>,
}

impl Args {
    /// Whether anything but the files is looked at. A Dockerfile may name a frontend even where it is only checked.
    pub(crate) fn runs_programs(&self) -> bool {
        !self.print && self.list.is_none()
    }

    /// What is done with all targets, unless one of them says otherwise.
    pub(crate) fn method(&self) -> &str {
        if self.check && self.call == "build" { "check" } else { &self.call }
    }
}

/// Builds, or shows what would be built.
pub(super) fn run(args: &Args, environment: &Environment) -> Result<u8, Error> {
    Builders::read(environment)?.check(args.builder.as_deref().or(environment.builder()))?;
    let definitions = Definitions::find(args, environment)?;
    let definition = definitions.read()?;
    if let Some(wish) = &args.list {
        return list(wish, &definition);
    }
    let bake = definitions.resolve(&definition, args)?;
    if args.print {
        return render::print(&bake.json()).map(|()| status::OK);
    }
    allow::check(&bake, &definitions.unchanged(&definition)?, &args.allow, environment)?;
    let links = tempfile::tempdir().map_err(Error::io("a folder for results"))?;
    let jobs = bake::jobs(&bake, args, links.path(), environment)?;
    let (builds, calls): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.args.builds());
    build(&builds, args, environment)?;
    answer(&calls, &bake, args, environment)
}

/// One after the other with one engine, so what they share is done once.
fn build(jobs: &[Job], args: &Args, environment: &Environment) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let progress = environment.progress(args.progress)?;
    let warnings = Warnings::default();
    let all = |engine: Engine| {
        let warnings = &warnings;
        async move {
            let mut metadata = Map::new();
            for job in jobs {
                let built = one(&engine, job, progress, warnings, environment).await?;
                if !job.is_context {
                    metadata.insert(job.name.clone(), built);
                }
            }
            Ok::<_, BuildError>(metadata)
        }
    };
    let built = shared::on_engine(environment, all);
    warnings.finish(progress);
    let built = built?;
    if let Some(path) = &args.metadata_file {
        shared::write_whole(path, format!("{:#}\n", Value::Object(built)).as_bytes())?;
    }
    Ok(())
}

async fn one(
    engine: &Engine,
    job: &Job,
    progress: Progress,
    warnings: &Warnings,
    environment: &Environment,
) -> Result<Value, BuildError> {
    let request = &job.resolved.request;
    if !matches!(progress, Progress::Quiet | Progress::Json) {
        // Whoever does not read this cannot be told.
        let why = if job.is_context { ", for other targets" } else { "" };
        let _ = writeln!(std::io::stderr(), "\ntarget {}{why}", job.name);
    }
    let view = View::new(progress, request.platforms.len(), environment);
    let sink: Sink = warnings.listen(view.sink());
    let built = engine.build(request, &sink).await;
    view.finish(built.as_ref().ok());
    built.map(|built| built.metadata)
}

/// What `--call` asks of each target.
fn answer(jobs: &[Job], bake: &Bake, args: &Args, environment: &Environment) -> Result<u8, Error> {
    let (mut worst, mut first) = (status::OK, true);
    let mut answers: BTreeMap<&str, (String, Value)> = BTreeMap::new();
    let is_json = args.method().split(',').any(|field| field == "format=json");
    for job in jobs {
        let shown = call::answer(&job.args, &job.resolved.request, true, environment)?;
        worst = worst.max(shown.status);
        if is_json {
            let method = job.args.call.split(',').next().unwrap_or_default().replace("lint", "check");
            answers.insert(&job.name, (method, serde_json::from_str(&shown.text).unwrap_or_default()));
            continue;
        }
        let description = bake.targets.get(&job.name).map(|target| &target.description).filter(|text| !text.is_empty());
        let between = if first { "" } else { "\n" };
        let description = description.map_or_else(String::new, |text| format!("{text}\n"));
        render::print(&format!("{between}{}\n{description}\n", job.name))?;
        shown.print()?;
        first = false;
    }
    if is_json {
        let mut all: Value = serde_json::from_str(&bake.json()).unwrap_or_default();
        for (name, target) in all["target"].as_object_mut().into_iter().flatten() {
            let mut shown = json!({ "build": target.take() });
            if let Some((method, answer)) = answers.remove(name.as_str()) {
                shown[method] = answer;
            }
            *target = shown;
        }
        render::print(&shared::json(&all))?;
    }
    Ok(worst)
}

/// `--list`.
fn list(wish: &str, definition: &Definition) -> Result<u8, Error> {
    let wrong = |what: &str| Error::Usage(format!("--list={wish}: {what}"));
    let (mut what, mut is_json) = (None, false);
    for (key, value) in csv::pairs(wish).map_err(|e| wrong(&e))? {
        match (key.as_str(), value.as_deref()) {
            ("type", Some(value)) => what = Some(value.to_owned()),
            ("format", Some("json")) => is_json = true,
            ("format", Some("table")) => is_json = false,
            (word, None) if what.is_none() => what = Some(word.to_owned()),
            _ => {
                return Err(wrong(&format!(
                    "`{key}` is not known: targets or variables, with format=json or format=table"
                )));
            }
        }
    }
    let text = match (what.as_deref(), is_json) {
        (Some("targets"), is_json) => targets(definition, is_json),
        (Some("variables"), true) => shared::json(&definition.variables.iter().map(variable_json).collect::<Vec<_>>()),
        (Some("variables"), false) => {
            let row = |variable: &archipel_bake::Variable| {
                let value = variable.value.clone().unwrap_or_else(|| "<null>".into());
                [variable.name.clone(), variable.kind.clone(), value, variable.description.clone()]
            };
            let rows: Vec<_> = definition.variables.iter().map(row).collect();
            table::columns(["VARIABLE", "TYPE", "VALUE", "DESCRIPTION"], &rows)
        }
        _ => return Err(wrong("it is targets or variables")),
    };
    render::print(&text).map(|()| status::OK)
}

fn variable_json(variable: &archipel_bake::Variable) -> Value {
    let mut shown = Map::from_iter([("name".to_owned(), json!(variable.name))]);
    for (key, text) in [("description", &variable.description), ("type", &variable.kind)] {
        if !text.is_empty() {
            shown.insert(key.into(), json!(text));
        }
    }
    shown.extend(variable.value.as_ref().map(|value| ("value".to_owned(), json!(value))));
    Value::Object(shown)
}

/// By name; one that begins with `_` is for other targets only.
fn targets(definition: &Definition, is_json: bool) -> String {
    let of_target = |target: &Target| (target.name.clone(), target.description.clone(), false);
    let of_group = |group: &archipel_bake::Group| {
        let mut names = group.targets.clone();
        names.sort();
        let names = names.join(", ");
        let description = match (group.description.as_str(), names.as_str()) {
            (description, "") => description.to_owned(),
            ("", names) => names.to_owned(),
            (description, names) => format!("{description} ({names})"),
        };
        (group.name.clone(), description, true)
    };
    let mut all: Vec<_> =
        definition.targets.iter().map(of_target).chain(definition.groups.iter().map(of_group)).collect();
    all.retain(|(name, ..)| !name.starts_with('_'));
    all.sort();
    if !is_json {
        let rows: Vec<_> = all.into_iter().map(|(name, description, _)| [name, description]).collect();
        return table::columns(["TARGET", "DESCRIPTION"], &rows);
    }
    let shown = |(name, description, is_group): (String, String, bool)| {
        let mut shown = Map::from_iter([("name".to_owned(), json!(name))]);
        if !description.is_empty() {
            shown.insert("description".into(), json!(description));
        }
        if is_group {
            shown.insert("group".into(), json!(true));
        }
        Value::Object(shown)
    };
    shared::json(&all.into_iter().map(shown).collect::<Vec<_>>())
}
