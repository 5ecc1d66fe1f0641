//! The folders of `RUN --mount=type=cache`, which outlive the steps that use them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use archipel_oci::Digest;

use crate::error::At as _;
use crate::layer::{self, Form, Writer};
use crate::{Result, Store, disk};

/// Folders that this process has alone, until it ends.
static HELD: LazyLock<Mutex<HashMap<PathBuf, File>>> = LazyLock::new(Mutex::default);

/// That nobody else has the cache mount of a name.
#[derive(Debug)]
pub struct MountLock(#[expect(dead_code, reason = "the kernel unlocks what is closed")] File);

impl Store {
    /// Takes a cache mount for a step that must be alone with it (`sharing=locked`), if none has it: neither in this process
    /// nor in another.
    ///
    /// # Errors
    /// The file system's.
    pub fn lock_mount(&self, name: &str) -> Result<Option<MountLock>> {
        let base = self.mount_dir(name);
        fs::create_dir_all(&base).at(&base)?;
        let lock = disk::open_lock(&base.join("lock")).at(&base)?;
        Ok(disk::try_lock(&lock).at(&base)?.then_some(MountLock(lock)))
    }

    fn mount_dir(&self, name: &str) -> PathBuf {
        self.root().join("mounts").join(Digest::of(name.as_bytes()).hex())
    }

    /// The folder of a name, made with this owner and mode, and with the files of `seed`, when there is none yet. A
    /// `private` one is nobody else's while this process lives: where one is taken, the next is had. A `fresh` one is
    /// empty, or as its seed is.
    ///
    /// # Errors
    /// The file system's.
    pub fn cache_mount(
        &self,
        name: &str,
        private: bool,
        fresh: bool,
        seed: Option<&Path>,
        owner: (u32, u32),
        mode: u32,
    ) -> Result<PathBuf> {
        let base = self.mount_dir(name);
        let place = if private { alone(&base)? } else { base.join("0") };
        let data = place.join("data");
        if data.exists() && !fresh {
            return Ok(data);
        }
        // Made aside: another process that asks for the same name sees it whole.
        let work = crate::work::Work::new(self.root())?;
        let draft = work.folder("data")?;
        if let Some(seed) = seed {
            copy(seed, &draft)?;
        }
        chown(&draft, Some(owner.0), Some(owner.1)).at(&draft)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).at(&draft)?;
        fs::create_dir_all(&place).at(&place)?;
        if fresh && data.exists() {
            // Those who use the old one keep it until it is swept with this process's work folder.
            fs::rename(&data, work.path().join("old")).at(&data)?;
        }
        match fs::rename(&draft, &data) {
            // Another process was faster.
            Err(_) if data.exists() => {}
            other => other.at(&data)?,
        }
        Ok(data)
    }
}

fn alone(base: &Path) -> Result<PathBuf> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut number = 0_u64;
    loop {
        let place = base.join(number.to_string());
        fs::create_dir_all(&place).at(&place)?;
        let lock = disk::open_lock(&place.join("lock")).at(&place)?;
        if !held.contains_key(&place) && disk::try_lock(&lock).at(&place)? {
            held.insert(place.clone(), lock);
            return Ok(place);
        }
        number += 1;
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
