//! The files of a build's platforms, to be read as they would be seen in a container; where they are attested, with the statements
//! about them as files more.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use archipel_oci::{Hasher, Platform};
use archipel_store::{Draft, SnapshotId, Store, Tree, View as Merged};
use rustix::fs::{FileType, Mode, OFlags, Timespec, openat};
use serde_json::Value;

use crate::Error;
use crate::attestation::Attestation;
use crate::provenance;
use crate::tree::{Destination, Ownership, Selection, View, select};

/// What is wanted of one platform.
pub(super) struct Wanted {
    pub(super) platform: Platform,
    /// The folder that its files get where each platform has one.
    pub(super) place: Option<String>,
    pub(super) snapshot: Option<SnapshotId>,
    /// What is to lie with the files that it is about.
    pub(super) attestations: Vec<Attestation>,
}

/// The files of one platform. What they are mounted on goes with the value.
#[derive(Debug)]
pub(super) struct Root {
    platform: Platform,
    pub(super) place: Option<String>,
    files: Files,
}

#[derive(Debug)]
enum Files {
    Merged(Merged),
    /// A draft on top, which is thrown away. The tree is unmounted before.
    Drafted(Tree, #[expect(dead_code, reason = "it is what the tree is mounted on")] Box<Draft>),
}

impl Root {
    /// Where the files are.
    pub(super) fn path(&self) -> &Path {
        match &self.files {
            Files::Merged(view) => view.path(),
            Files::Drafted(tree, _) => tree.path(),
        }
    }
}

/// Opens merged views of snapshots. An image without any layer is an empty folder. `time`: of the statements.
pub(super) fn open(store: &Store, roots: Vec<Wanted>, time: i64) -> Result<Vec<Root>, Error> {
    let open = |wanted: Wanted| {
        let files = if wanted.attestations.is_empty() {
            Files::Merged(store.view(wanted.snapshot.as_ref())?)
        } else {
            let draft = store.draft(wanted.snapshot.as_ref())?;
            let tree = draft.mount()?;
            write(&wanted.attestations, tree.path(), time)?;
            Files::Drafted(tree, Box::new(draft))
        };
        Ok(Root { platform: wanted.platform, place: wanted.place, files })
    };
    roots.into_iter().map(open).collect()
}

/// Writes attestations into the files, about all of them.
fn write(attestations: &[Attestation], files: &Path, time: i64) -> Result<(), Error> {
    let subjects = subjects(files)?;
    let mut destination = Destination::open(files, Ownership::default(), time)?;
    for attestation in attestations {
        let text = format!("{:#}\n", attestation.statement(&subjects));
        let time = Timespec { tv_sec: time, tv_nsec: 0 };
        destination
            .create(Path::new(&attestation.file), 0o600, (0, 0), time, |file| file.write_all(text.as_bytes()))
            .map_err(|source| Error::Io { what: format!("write {} into the result", attestation.file), source })?;
    }
    destination.finish()
}

/// Refuses platforms that cannot share one folder: folders are all that they may have in common, be their files equal or not.
pub(super) fn check_apart(roots: &[Root]) -> Result<(), Error> {
    let mut owners = BTreeMap::new();
    for root in roots {
        let view = View::open(root.path(), None, true)?;
        for found in select(&view, "/", &Selection::default())? {
            found.visit(&view, &mut |entry| {
                if FileType::from_raw_mode(entry.stat.st_mode).is_dir() {
                    return Ok(());
                }
                let Some(owner) = owners.insert(entry.path.to_owned(), &root.platform) else { return Ok(()) };
                Err(Error::Request(format!(
                    "cannot overwrite {} from {owner} with {} when split option is disabled",
                    entry.path.display(),
                    root.platform
                )))
            })?;
        }
    }
    Ok(())
}

/// Every file and its digest.
fn subjects(files: &Path) -> Result<Vec<Value>, Error> {
    let view = View::open(files, None, true)?;
    let mut subjects = Vec::new();
    for found in select(&view, "/", &Selection::default())? {
        found.visit(&view, &mut |entry| {
            if FileType::from_raw_mode(entry.stat.st_mode).is_file() {
                let told = || Error::io(format!("read {}", entry.path.display()));
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let fd = openat(entry.dir, entry.name, flags, Mode::empty()).map_err(|e| told()(e.into()))?;
                let mut hasher = Hasher::default();
                std::io::copy(&mut std::fs::File::from(fd), &mut hasher).map_err(told())?;
                subjects.push(provenance::subject(&entry.path.display().to_string(), &hasher.finish()));
            }
            Ok(())
        })?;
    }
    Ok(subjects)
}
