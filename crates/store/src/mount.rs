//! The folders of `RUN --mount=type=cache`, which outlive the steps that use them.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use archipel_oci::Digest;

use crate::error::At as _;
use crate::layer::{self, Form, Writer};
use crate::work::Work;
use crate::{Result, Store, disk};

/// Folders that were made anew while somebody may still have used them. They go when the process does.
static OUTDATED: Mutex<Vec<Work>> = Mutex::new(Vec::new());

/// A place of a cache mount, and that nobody uses it in a way that does not go with this one.
#[derive(Debug)]
pub struct MountLock {
    place: PathBuf,
    /// The kernel unlocks what is closed.
    _lock: File,
}

impl Store {
    /// Takes the place that all who use a name have together: alone (`sharing=locked`), or with others. Nothing if that cannot be
    /// now, be it for another step of this process or for another process.
    ///
    /// # Errors
    /// The file system's.
    pub fn lock_mount(&self, name: &str, alone: bool) -> Result<Option<MountLock>> {
        self.lock_place(name, 0, alone)
    }

    /// Takes the first place of a name that nobody uses (`sharing=private`).
    ///
    /// # Errors
    /// The file system's.
    pub fn private_mount(&self, name: &str) -> Result<MountLock> {
        let mut number = 0;
        loop {
            if let Some(lock) = self.lock_place(name, number, true)? {
                return Ok(lock);
            }
            number += 1;
        }
    }

    fn lock_place(&self, name: &str, number: u64, alone: bool) -> Result<Option<MountLock>> {
        let base = self.root().join("mounts").join(Digest::of(name.as_bytes()).hex());
        let place = base.join(number.to_string());
        fs::create_dir_all(&place).at(&place)?;
        let lock = disk::open_lock(&place.join("lock")).at(&place)?;
        let taken = if alone { disk::try_lock(&lock) } else { disk::try_lock_shared(&lock) };
        Ok(taken.at(&place)?.then_some(MountLock { place, _lock: lock }))
    }

    /// The folder of a place, made with this owner and mode, and with the files of `seed`, when there is none yet. A `fresh` one
    /// is empty, or as its seed is.
    ///
    /// # Errors
    /// The file system's.
    pub fn cache_mount(
        &self,
        lock: &MountLock,
        fresh: bool,
        seed: Option<&Path>,
        owner: (u32, u32),
        mode: u32,
    ) -> Result<PathBuf> {
        let data = lock.place.join("data");
        if data.exists() && !fresh {
            return Ok(data);
        }
        // Made aside: another process that asks for the same name sees it whole.
        let work = Work::new(self.root())?;
        let draft = work.folder("data")?;
        if let Some(seed) = seed {
            copy(seed, &draft)?;
        }
        chown(&draft, Some(owner.0), Some(owner.1)).at(&draft)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).at(&draft)?;
        if fresh && data.exists() {
            fs::rename(&data, work.path().join("old")).at(&data)?;
        }
        match fs::rename(&draft, &data) {
            // Another process was faster.
            Err(_) if data.exists() => {}
            other => other.at(&data)?,
        }
        if fresh {
            OUTDATED.lock().unwrap_or_else(PoisonError::into_inner).push(work);
        }
        Ok(data)
    }
}

/// Copies a tree with all that an archive keeps, by way of one.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let (reader, writer) = std::io::pipe().at(to)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut archive = Writer::new(std::io::BufWriter::new(writer));
            layer::write_tree(from, b"", Form::Files, None, &mut archive)?;
            archive.finish().and_then(|mut rest| std::io::Write::flush(&mut rest)).at(from)
        });
        let read = layer::extract(reader, to);
        match writing.join() {
            // A reader that gave up broke the pipe, and knows why.
            Ok(written) => read.and(written),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
