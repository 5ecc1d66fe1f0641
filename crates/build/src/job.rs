//! A container's files, opened once for several processes: what a CI job needs, whose script, after-script and services are
//! processes of their own. Whoever opens them makes the processes ([`archipel_sandbox::spawn`]).

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use archipel_oci::{ImageConfig, Platform, Reference};
use archipel_sandbox as sandbox;
use archipel_sandbox::emulation::Support;
use archipel_store::{Draft, SnapshotId};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::container::environment;
use crate::exec::blocking;
use crate::image::BaseImage;
use crate::tree::View;
use crate::{Engine, Error, PullPolicy, RunRequest, Sink};

/// What images are made for, in Go's names.
const ARCHITECTURES: &[&str] = &["386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"];

/// An image's files with a layer for changes. It is thrown away with the value, when no process may be using it any more.
#[derive(Debug)]
pub struct ContainerRoot {
    rootfs: sandbox::Rootfs,
    // Before the snapshot's mount goes: nothing of it is used afterwards.
    _draft: Draft,
    view: View,
    _mounted: archipel_store::View,
    image: BaseImage,
}

/// Two folders for an overlay of the caller's own, on the store's file system. They go with the value.
#[derive(Debug)]
pub struct Scratch(Draft);

impl Scratch {
    /// Where changes go.
    #[must_use]
    pub fn upper(&self) -> &Path {
        self.0.upper()
    }

    /// The folder that overlayfs works in.
    #[must_use]
    pub fn work(&self) -> &Path {
        self.0.work()
    }
}

impl Engine {
    /// Opens an image for processes, fetching what is not here. Without a platform it is this machine's.
    pub async fn open_root(
        &self,
        image: &Reference,
        platform: Option<&Platform>,
        pull: PullPolicy,
        sink: &Sink,
    ) -> Result<ContainerRoot, Error> {
        let request = RunRequest { platform: platform.cloned(), pull, ..RunRequest::new(image.clone()) };
        let (image, snapshot) = tokio::select! {
            prepared = self.prepare(&request, sink) => prepared?,
            () = self.cancel.cancelled() => return Err(Error::Interrupted),
        };
        self.root_of(image, snapshot).await
    }

    /// Opens an image that is unpacked.
    pub(crate) async fn root_of(&self, image: BaseImage, snapshot: Option<SnapshotId>) -> Result<ContainerRoot, Error> {
        let store = self.store.clone();
        blocking(move || {
            let mounted = store.view(snapshot.as_ref())?;
            let view = View::open(mounted.path(), None, true)?;
            let draft = store.draft(snapshot.as_ref())?;
            Ok(ContainerRoot { rootfs: draft.rootfs()?, _draft: draft, view, _mounted: mounted, image })
        })
        .await
    }

    /// Makes two empty folders.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        Ok(Scratch(self.store.draft(None)?))
    }

    /// The emulators that this machine has, for processes that will want to run foreign binaries on their own.
    pub fn emulators(&self) -> Result<Vec<PathBuf>, Error> {
        let emulation = self.emulation()?;
        let path = |architecture: &&str| match emulation.support(architecture, None) {
            Support::Emulated { qemu } => qemu,
            Support::Native | Support::Missing { .. } => None,
        };
        Ok(ARCHITECTURES.iter().filter_map(path).collect())
    }

    /// The folder of the store.
    #[must_use]
    pub fn store_dir(&self) -> &Path {
        self.store.root()
    }
}

impl ContainerRoot {
    /// What the image says of itself.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.image.config
    }

    /// The platform that it is for.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.image.platform
    }

    /// The variables that a process has without anybody's doing: the image's, a `PATH`, the host name.
    #[must_use]
    pub fn environment(&self, hostname: &str) -> Vec<(String, String)> {
        environment(&RunRequest::new(self.image.reference.clone()), &self.image.config, hostname)
    }

    /// What a process's request names as its root. Processes that run at the same time must not share it.
    #[must_use]
    pub fn rootfs(&self) -> sandbox::Rootfs {
        self.rootfs.clone()
    }

    /// Where a path of the image really is, if there is anything. Links are followed, and lead nowhere outside of it.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<PathBuf> {
        let place = self.view.locate(Path::new(path), true).ok()?;
        Some(Path::new("/").join(place.path))
    }

    /// The content of a file of the image, as much of it as `limit`; `None` where there is none.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let told = |e: Errno| Error::io(format!("{path} of the image"))(e.into());
        let place = match self.view.locate(Path::new(path), true) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(told(e)),
        };
        // Whatever it is, opening it must not wait: a pipe would, for somebody to write.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&place.dir, place.name.as_bytes(), flags, Mode::empty()).map_err(told)?;
        let mut content = Vec::new();
        std::fs::File::from(file)
            .take(limit)
            .read_to_end(&mut content)
            .map_err(Error::io(format!("{path} of the image")))?;
        Ok(Some(content))
    }
}
