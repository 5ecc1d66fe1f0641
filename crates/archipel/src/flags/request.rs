//! From what was typed after `build` to the library's request: the environment is asked, standard input is read, and flags
//! that contradict each other are told.

use std::io::Read;
use std::path::{Path, PathBuf};

use archipel_build::{CacheExport, Context, Dockerfile, ImageOptions, Output, Request};
use archipel_oci::Platform;
use tempfile::TempPath;

use super::attestation::Wish;
use super::cache::CacheTo;
use super::{context, output, secret};
use crate::commands::BuildArgs;
use crate::environment::Environment;
use crate::errors::Error;

/// The longest Dockerfile taken from standard input. BuildKit has the same bound.
const MAX_DOCKERFILE: u64 = 2 << 20;

/// The time of everything that a build makes (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// A request, and the file that holds standard input for as long as the request lives.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) request: Request,
    _spool: Option<TempPath>,
}

/// Resolves the arguments of `build`.
pub(crate) fn resolve(args: &BuildArgs, environment: &Environment) -> Result<Resolved, Error> {
    let (context, spool) = main_context(args)?;
    let request = Request {
        dockerfile: dockerfile(args)?,
        context,
        named_contexts: each("--build-context", &args.build_context, context::named)?,
        target: args.target.clone().filter(|target| !target.is_empty()),
        platforms: platforms(args, environment)?,
        build_args: build_args(&args.build_arg, environment)?,
        labels: args.label.clone(),
        annotations: args.annotation.clone(),
        tags: unique(&args.tag),
        outputs: outputs(args)?,
        no_cache: args.no_cache,
        no_cache_filter: args.no_cache_filter.clone(),
        cache_from: args.cache_from.clone(),
        inline_cache: args.cache_to.iter().any(|to| matches!(to, CacheTo::Image)),
        cache_to: args.cache_to.iter().filter_map(elsewhere).cloned().collect(),
        provenance: wishes(args).filter_map(Wish::provenance).next_back().cloned().flatten(),
        sbom: wishes(args).filter_map(Wish::sbom).next_back().cloned().flatten(),
        pull: args.pull,
        secrets: each("--secret", &args.secret, |text| secret::parse(text, environment))?,
        ssh: each("--ssh", &args.ssh, |text| secret::ssh(text, environment))?,
        network: args.network.clone(),
        add_hosts: args.add_host.clone(),
        shm_size: args.shm_size,
        ulimits: args.ulimit.clone(),
        allow: args.allow.iter().flat_map(|some| some.0.clone()).collect(),
        device_specs: environment.device_specs()?,
        jobs: args.jobs,
    };
    let stays = stays(&request, environment)?;
    for output in &request.outputs {
        output::check_delete(output, &stays).map_err(|reason| Error::Usage(format!("--output: {reason}")))?;
    }
    Ok(Resolved { request, _spool: spool })
}

/// What no output may remove: the person's own folder, the store, and what is built.
fn stays(request: &Request, environment: &Environment) -> Result<Vec<PathBuf>, Error> {
    let local = |context: &Context| match context {
        Context::Local(path) | Context::OciLayout { path, .. } => Some(path.clone()),
        _ => None,
    };
    let contexts = std::iter::once(&request.context).chain(request.named_contexts.iter().map(|(_, context)| context));
    let own = environment.home_dir().map(Path::to_owned);
    Ok(contexts.filter_map(local).chain(own).chain([environment.store_dir()?]).collect())
}

/// What is to be attested; of two wishes of a kind the later counts, and `--attest` over both.
fn wishes(args: &BuildArgs) -> impl DoubleEndedIterator<Item = &Wish> {
    args.provenance.iter().chain(&args.sbom).chain(&args.attest)
}

fn elsewhere(to: &CacheTo) -> Option<&CacheExport> {
    match to {
        CacheTo::Image => None,
        CacheTo::Elsewhere(export) => Some(export),
    }
}

fn main_context(args: &BuildArgs) -> Result<(Context, Option<TempPath>), Error> {
    if args.context != "-" {
        return Ok((context::main_context(&args.context).map_err(Error::Usage)?, None));
    }
    if args.file.as_deref() == Some("-") {
        return Err(Error::Usage("standard input cannot be the context and the Dockerfile at once".into()));
    }
    let mut spool = tempfile::NamedTempFile::new().map_err(Error::io("a file for standard input"))?;
    std::io::copy(&mut std::io::stdin().lock(), &mut spool).map_err(Error::io("standard input"))?;
    let path = spool.into_temp_path();
    Ok((Context::Stdin(path.to_path_buf()), Some(path)))
}

fn dockerfile(args: &BuildArgs) -> Result<Dockerfile, Error> {
    match args.file.as_deref() {
        None => Ok(Dockerfile::Default),
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MAX_DOCKERFILE + 1).read_to_string(&mut text);
            match read.map_err(Error::io("the Dockerfile on standard input"))? as u64 {
                size if size > MAX_DOCKERFILE => {
                    Err(Error::Usage("the Dockerfile on standard input is over 2 MiB".into()))
                }
                _ => Ok(Dockerfile::Text(text)),
            }
        }
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => Ok(Dockerfile::Url(url.into())),
        Some(path) => Ok(Dockerfile::Path(path.into())),
    }
}

fn platforms(args: &BuildArgs, environment: &Environment) -> Result<Vec<Platform>, Error> {
    if args.platform.is_empty() {
        return Ok(environment.default_platform()?.into_iter().collect());
    }
    Ok(unique(&args.platform))
}

/// `K=V`, or `K` for the environment's value. A variable that is not set leaves the ARG its default, as docker does.
fn build_args(typed: &[String], environment: &Environment) -> Result<Vec<(String, String)>, Error> {
    let mut all = vec![];
    for text in typed {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => match environment.variable(text) {
                None => continue,
                Some(value) => {
                    let value = value.into_string();
                    (
                        text.as_str(),
                        value.map_err(|_| Error::Usage(format!("--build-arg {text}: its value is not UTF-8")))?,
                    )
                }
            },
        };
        if key.is_empty() {
            return Err(Error::Usage(format!("--build-arg {text}: it should be KEY=VALUE or KEY")));
        }
        all.push((key.to_owned(), value));
    }
    // buildx: the environment's is an argument that nobody has to pass on.
    if !all.iter().any(|(key, _)| key == EPOCH)
        && let Some(value) = environment.variable(EPOCH).filter(|value| !value.is_empty())
    {
        let value = value.into_string().map_err(|_| Error::Usage(format!("{EPOCH}: its value is not UTF-8")))?;
        all.push((EPOCH.to_owned(), value));
    }
    Ok(all)
}

/// `--output`, `--push` and `--load` together. `--push` sends the image that an `--output` names, if one does.
fn outputs(args: &BuildArgs) -> Result<Vec<Output>, Error> {
    let mut outputs = each("--output", &args.output, output::parse)?;
    let image = |push| Output::Image { push, names: vec![], by_digest: false, options: ImageOptions::default() };
    if args.push {
        let mut found = false;
        for output in &mut outputs {
            if let Output::Image { push, .. } = output {
                (*push, found) = (true, true);
            }
        }
        if !found {
            outputs.push(image(true));
        }
    }
    if args.load && !outputs.iter().any(|o| matches!(o, Output::Image { .. })) {
        outputs.push(image(false));
    }
    for output in &outputs {
        match output {
            Output::Image { push: true, names, .. } if names.is_empty() && args.tag.is_empty() => {
                return Err(Error::Usage("a push needs a name to push to: add --tag REGISTRY/NAME:TAG".into()));
            }
            _ if output::writes_to_stdout(output) && rustix::termios::isatty(rustix::stdio::stdout()) => {
                return Err(Error::Usage("an archive would go to the terminal: add dest=FILE or redirect".into()));
            }
            _ => {}
        }
    }
    if outputs.iter().filter(|o| output::writes_to_stdout(o)).count() > 1 {
        return Err(Error::Usage("only one output can go to standard output".into()));
    }
    Ok(outputs)
}

/// Reads each value of a flag; an error names the flag and the value.
pub(crate) fn each<T>(flag: &str, typed: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Error> {
    typed.iter().map(|text| read(text).map_err(|reason| Error::Usage(format!("{flag} {text}: {reason}")))).collect()
}

/// In the order of first mention.
fn unique<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    all.iter().enumerate().filter(|(i, one)| !all[..*i].contains(one)).map(|(_, one)| one.clone()).collect()
}
