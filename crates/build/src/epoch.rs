//! `SOURCE_DATE_EPOCH`: the one time that a build writes. A number of seconds; or the name of a stage, whose newest file says it,
//! so that an image is as old as the sources that it is made of.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use archipel_dockerfile::{self as dockerfile, Globals};
use archipel_oci::Platform;
use rustix::fs::{FileType, Mode, OFlags, openat};

use crate::exec::archive;
use crate::tree::{Entry, Selection, View, mtime, select};
use crate::{Error, Request};

/// The variable's name, as an environment variable, `--build-arg` and ARG.
pub(crate) const NAME: &str = "SOURCE_DATE_EPOCH";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    /// Seconds since 1970.
    At(i64),
    /// The time of the build context: of a commit, or of a file on its server. A folder has none.
    Context,
    /// A stage's newest file.
    Stage(String),
}

/// `--build-arg`, else an ARG before the first FROM, else the environment. Empty is none at all.
pub(crate) fn wanted(
    request: &Request,
    dockerfile: &dockerfile::Dockerfile,
    globals: &Globals,
) -> Result<Option<Epoch>, Error> {
    let given = request.build_args.iter().rev().find(|(name, _)| name == NAME);
    match given.map(|(_, value)| value.as_str()).or_else(|| globals.get(NAME)) {
        None => Ok(request.source_date_epoch.map(|epoch| Epoch::At(epoch.0))),
        Some("") => Ok(None),
        Some("context") => Ok(Some(Epoch::Context)),
        Some(text) => match text.parse() {
            Ok(seconds) => Ok(Some(Epoch::At(seconds))),
            Err(_) if dockerfile.target(Some(text)).is_ok() => Ok(Some(Epoch::Stage(text.to_owned()))),
            Err(_) => Err(Error::Request(format!(
                "invalid {NAME}: {text:?}; it should be a number of seconds since 1970, or the name of a stage"
            ))),
        },
    }
}

/// What the time must be taken from before anything else is planned: the context, or a stage that is made first.
pub(crate) fn early(request: &Request, text: &str) -> Result<Option<Epoch>, Error> {
    let parsed = dockerfile::parse(text);
    let automatic = dockerfile::automatic_args(&Platform::host(), &Platform::host(), None);
    // What is wrong with the Dockerfile is told when it is planned, with its place.
    let Ok(globals) = parsed.dockerfile.globals(automatic, &request.build_args) else { return Ok(None) };
    match wanted(request, &parsed.dockerfile, &globals) {
        Ok(Some(Epoch::At(_)) | None) => Ok(None),
        Ok(found) => Ok(found.filter(|_| parsed.is_ok())),
        Err(e) => Err(e),
    }
}

/// The time of the newest file below a folder. A file that is an archive is as old as the newest entry in it.
pub(crate) fn newest(folder: &Path) -> Result<i64, Error> {
    let view = View::open(folder, None, true)?;
    let mut newest = 0;
    for found in select(&view, "/", &Selection::default())? {
        found.visit(&view, &mut |entry| {
            if FileType::from_raw_mode(entry.stat.st_mode).is_file() {
                newest = newest.max(mtime(entry.stat).tv_sec).max(newest_in(entry)?.unwrap_or(0));
            }
            Ok(())
        })?;
    }
    Ok(newest)
}

fn newest_in(entry: &Entry<'_>) -> Result<Option<i64>, Error> {
    let told = || Error::io(format!("read {}", entry.path.display()));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(entry.dir, entry.name, flags, Mode::empty()).map_err(|e| told()(e.into()))?);
    let Some(kind) = archive::kind(&file)? else { return Ok(None) };
    file.rewind().map_err(told())?;
    let mut archive = tar::Archive::new(archive::decompress(file, kind)?);
    let mut newest = 0;
    for entry in archive.entries().map_err(told())? {
        let mut entry = entry.map_err(told())?;
        let time = entry.header().mtime().map_err(told())?;
        newest = newest.max(i64::try_from(time).unwrap_or(0));
        std::io::copy(&mut entry.by_ref(), &mut std::io::sink()).map_err(told())?;
    }
    Ok(Some(newest))
}
