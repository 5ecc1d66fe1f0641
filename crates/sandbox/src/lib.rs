//! One process in a root file system, without root; and foreign architectures. The only crate with `unsafe`.
//!
//! Three things happen here, in this order:
//!
//! 1. [`userns::enter`]: the calling process, before it has threads, becomes root in a user namespace of its own, with a private mount
//!    namespace. Every mount that is made from then on dies with it.
//! 2. [`emulation`]: our own `binfmt_misc` in that namespace runs foreign binaries by QEMU.
//! 3. [`spawn`]: a [`Request`] becomes a process. We execute ourselves under a hidden name ([`stage::dispatch`]), so that a threaded
//!    process never forks; the new process unshares, mounts, pivots, drops what it may do, and executes the command as pid 1.
//!
//! Root in a container that gives neither namespaces nor mounts takes another way in 1 and 3, with the same requests: [`chroot`].
//!
//! It takes Linux 5.12, and 6.7 for [`emulation`] that needs nothing of the host.

mod calls;
mod capabilities;
pub mod chroot;
pub mod copy;
mod cover;
pub mod emulation;
mod error;
mod etc;
mod exec;
mod inside;
mod kernel;
mod mount;
pub mod overlay;
pub mod probe;
mod request;
mod rootfs;
mod run;
mod seccomp;
mod smallest;
pub mod stage;
mod terminal;
pub mod user;
pub mod userns;
mod window;

pub use error::Error;
pub use etc::is_ulimit;
pub use request::{Mount, Network, Request, Role, Rootfs};
pub use run::{Exit, Killer, Running, spawn};
