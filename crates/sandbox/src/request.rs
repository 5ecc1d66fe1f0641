//! What is to run, and in what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One process. It says nothing of how the isolation is made, so that a machine that gives less can run it too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its files.
    pub rootfs: Rootfs,
    /// The command; the first word is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// Its whole environment; `HOME` is added if it is not there.
    pub env: Vec<(String, String)>,
    /// Its working directory; made if it is not there.
    pub cwd: String,
    /// `USER` as the image has it, resolved in the image's own `/etc/passwd`; empty is root.
    pub user: String,
    /// Groups that it is in beside those.
    pub groups: Vec<u32>,
    /// Mounted in this order. Mount points that are not there leave no trace afterwards.
    pub mounts: Vec<Mount>,
    /// What network it sees.
    pub network: Network,
    /// Its host name; the machine's own if empty.
    pub hostname: String,
    /// What it is.
    pub role: Role,
    /// Lines for `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm`; 64 MiB if none.
    pub shm_size: Option<u64>,
    /// Name (`nofile`), soft and hard limit.
    pub ulimits: Vec<(String, u64, u64)>,
    /// All capabilities of the namespace, no seccomp filter, nothing masked.
    pub privileged: bool,
    /// Nothing in the root file system can change.
    pub read_only: bool,
    /// A session and a controlling terminal of its own on standard input.
    pub terminal: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            rootfs: Rootfs::Directory(PathBuf::new()),
            argv: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            user: String::new(),
            groups: Vec::new(),
            mounts: Vec::new(),
            network: Network::Host,
            hostname: String::new(),
            role: Role::Container,
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            privileged: false,
            read_only: false,
            terminal: false,
        }
    }
}

/// What a process is, which says how much of the machine's doing it sees and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A container of its own: `resolv.conf`, `hosts` and `hostname` in `/etc`, which can be written to, and no trace of any mount.
    Container,
    /// A step of a build, as BuildKit has it: the first two alone, which cannot be written to; `/proc`, `/sys` and `/dev` stay
    /// where there were none.
    Step,
}

/// A root file system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Rootfs {
    /// Layers, topmost first, and where changes go.
    Overlay {
        /// Read only.
        lower: Vec<PathBuf>,
        /// Changes.
        upper: PathBuf,
        /// Overlayfs's own folder.
        work: PathBuf,
    },
    /// A folder as it is.
    Directory(PathBuf),
}

/// Something that is mounted into the root file system. In a [`chroot`](crate::chroot) it is put there: copied if it can only be read,
/// and else moved there and back, so that nobody else may use it meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Mount {
    /// A file or folder of this machine.
    Bind {
        /// Where it is.
        source: PathBuf,
        /// Where it comes.
        target: String,
        /// Whether it can be written to.
        read_only: bool,
    },
    /// A folder that can be written to, without the writes reaching it.
    Overlay {
        /// What is seen.
        lower: PathBuf,
        /// Where writes go.
        upper: PathBuf,
        /// Overlayfs's own folder.
        work: PathBuf,
        /// Where it comes.
        target: String,
    },
    /// Memory.
    Tmpfs {
        /// Where it comes.
        target: String,
        /// Its bound in bytes.
        size: Option<u64>,
        /// The mode of its root.
        mode: u32,
    },
    /// A file that is never on a disk: a secret.
    File {
        /// Where it comes.
        target: String,
        /// What it holds.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Whether it cannot be written to.
        read_only: bool,
    },
}

impl Mount {
    /// Where it comes.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Overlay { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::File { target, .. } => target,
        }
    }
}

/// What network a process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The machine's.
    Host,
    /// Only a loopback device of its own.
    None,
}
