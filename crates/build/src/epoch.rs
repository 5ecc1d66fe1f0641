//! `SOURCE_DATE_EPOCH`: the one time that a build writes. A number of seconds; or what the sources say that the image is made of:
//! the build context, a named context, or a stage that is nothing but one ADD of a file of the web or of a repository.

use std::fs::File;
use std::path::Path;

use archipel_dockerfile::{self as dockerfile, AddSource, AddStep, Globals, Scope, Step};
use archipel_oci::Platform;

use crate::context::{self, Loaded};
use crate::exec::{archive, blocking};
use crate::request::Context;
use crate::source::HttpFile;
use crate::{Engine, Error, Request, SourceDateEpoch};

/// The variable's name, as an environment variable, `--build-arg` and ARG.
pub(crate) const NAME: &str = "SOURCE_DATE_EPOCH";

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Epoch {
    /// A time.
    At(SourceDateEpoch),
    /// The time of the build context: of a commit, or of a file on its server. A folder has none.
    Context,
    /// The time of a named context.
    Named(Context),
    /// The time of what a stage adds.
    Stage(Box<AddStep>),
}

/// `--build-arg`, else an ARG before the first FROM. Empty is none at all.
pub(crate) fn wanted(
    request: &Request,
    loaded: &Loaded,
    dockerfile: &dockerfile::Dockerfile,
    globals: &Globals,
) -> Result<Option<Epoch>, Error> {
    let Some(text) = request.build_arg(NAME).or_else(|| globals.get(NAME)) else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    if text.parse::<i64>().is_ok() {
        return text.parse().map(|epoch| Some(Epoch::At(epoch))).map_err(Error::Request);
    }
    if text == "context" {
        return Ok(Some(Epoch::Context));
    }
    if let Some((_, context)) = request.named_context(text) {
        return Ok(Some(Epoch::Named(context)));
    }
    let named =
        |stage: &&dockerfile::Stage| stage.name.as_ref().is_some_and(|name| name.value.eq_ignore_ascii_case(text));
    let Some(stage) = dockerfile.stages.iter().find(named) else {
        return Err(Error::Request(format!(
            "invalid {NAME}: {text}; it should be a number of seconds since 1970, `context`, or the name of a stage or of a \
             build context"
        )));
    };
    let added = added(stage, globals).map_err(|diagnostic| Error::Dockerfile {
        name: loaded.name.clone(),
        text: loaded.text.clone(),
        diagnostics: vec![diagnostic],
    })?;
    Ok(Some(Epoch::Stage(added)))
}

/// The one ADD that a stage is. Any other stage would have to be built before the build's time is known.
fn added(stage: &dockerfile::Stage, globals: &Globals) -> Result<Box<AddStep>, dockerfile::Diagnostic> {
    let wrong = |message: String, span: &dockerfile::Span| {
        let help = "such a stage has FROM scratch, ARGs, and one ADD of a URL or of a git repository";
        dockerfile::Diagnostic::error("source-date-epoch", message, span.clone()).help(help)
    };
    if globals.expand(&stage.base)?.0 != "scratch" {
        return Err(wrong(format!("{NAME} stage must use FROM scratch"), &stage.base.span));
    }
    let mut scope = Scope::new(globals, &[], "/", None);
    let mut found = None;
    for instruction in &stage.instructions {
        let span = &instruction.span;
        let add = match scope.step(instruction)? {
            Step::Arg(_) => continue,
            Step::Add(add) => add,
            _ => {
                let keyword = instruction.keyword().as_str().to_ascii_lowercase();
                let message =
                    format!("{NAME} stage does not meet source-only requirements: unsupported {keyword} instruction");
                return Err(wrong(message, span));
            }
        };
        if found.is_some() {
            return Err(wrong(format!("{NAME} stage must contain exactly one remote ADD"), span));
        }
        match (add.sources.as_slice(), add.files.is_empty()) {
            ([AddSource::Path(_)], true) => {
                return Err(wrong(format!("{NAME} stage source must be a single HTTP(S) or Git ADD"), span));
            }
            ([_], true) => found = Some(add),
            _ => return Err(wrong(format!("{NAME} stage must contain exactly one remote ADD source"), span)),
        }
    }
    found.ok_or_else(|| wrong(format!("{NAME} stage must contain exactly one remote ADD"), &stage.span))
}

impl Engine {
    /// What the time must be taken from before anything is planned, in seconds since 1970; an inner `None` where that says no
    /// time, and an outer one where nothing must be asked.
    pub(crate) async fn early_epoch(&self, request: &Request, loaded: &Loaded) -> Result<Option<Option<i64>>, Error> {
        let parsed = dockerfile::parse(&loaded.text);
        let automatic = dockerfile::automatic_args(&Platform::host(), &Platform::host(), None);
        // What is wrong with the Dockerfile is told when it is planned, with its place.
        let Ok(globals) = parsed.dockerfile.globals(automatic, &request.build_args) else { return Ok(None) };
        let time = match wanted(request, loaded, &parsed.dockerfile, &globals)? {
            None | Some(Epoch::At(_)) => return Ok(None),
            Some(Epoch::Context) => loaded.time,
            Some(Epoch::Named(context)) => context::time(&context, request, self).await?,
            Some(Epoch::Stage(add)) => self.time_of(&add, request).await?,
        };
        Ok(Some(time))
    }

    async fn time_of(&self, add: &AddStep, request: &Request) -> Result<Option<i64>, Error> {
        let checksum = add.checksum.as_deref();
        match add.sources.first() {
            Some(AddSource::Http { url, .. }) => time_of_file(&self.http_file(url, checksum, request).await?).await,
            Some(AddSource::Git(git)) => {
                let commit = self.git_commit(git, checksum, request).await?;
                Ok(Some(self.git_tree(git, &commit, request).await?.time))
            }
            Some(AddSource::Path(_)) | None => Ok(None),
        }
    }
}

/// When a file of the web was made: its server says so, else, where it is an archive, its newest entry does.
pub(crate) async fn time_of_file(file: &HttpFile) -> Result<Option<i64>, Error> {
    if file.modified.is_some() {
        return Ok(file.modified);
    }
    let path = file.path.clone();
    // What is no archive, or a broken one, has no time. Whoever unpacks it says what is wrong with it.
    Ok(blocking(move || newest_in(&path).ok().flatten()).await)
}

fn newest_in(path: &Path) -> Result<Option<i64>, Error> {
    let told = || Error::io(format!("read {}", path.display()));
    let open = || File::open(path).map_err(told());
    let Some(kind) = archive::kind(&open()?)? else { return Ok(None) };
    let mut archive = tar::Archive::new(archive::decompress(open()?, kind)?);
    let mut newest = None;
    for entry in archive.entries().map_err(told())? {
        let entry = entry.map_err(told())?;
        if entry.header().entry_type().is_file() {
            newest = newest.max(i64::try_from(entry.header().mtime().map_err(told())?).ok());
        }
    }
    Ok(newest)
}
