//! What the kernel puts into a root file system: `/proc`, `/sys`, `/dev`, and what hides parts of them.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use rustix::mount::MountAttrFlags;

use crate::Error;
use crate::inside::Inside;
use crate::mount::{self, DATA, bind, memory};
use crate::request::{Network, Request};

/// Docker's size of `/dev/shm`.
const SHM_SIZE: u64 = 64 << 20;

/// What tells of, or changes, the machine as a whole (moby `oci/defaults.go`).
const MASKED: &[&str] = &[
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
];
const READ_ONLY: &[&str] = &["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];
pub(crate) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
pub(crate) const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Devices work here, and set-user-id programs do not.
const LIVE: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;

/// Hangs them all. Must run as pid 1 of the namespace that `/proc` is to show, while the old root can be seen: the kernel gives a
/// new `/proc` only to who sees one already.
pub(crate) fn hang_all(request: &Request, inside: &Inside) -> Result<(), Error> {
    let proc = mount::new("proc", &[], DATA).map_err(|e| {
        let hint = "; in a container whose /proc is masked, run that with --security-opt systempaths=unconfined";
        Error::Stage(format!("mount /proc: {e}{}", if e == rustix::io::Errno::PERM { hint } else { "" }))
    })?;
    inside.hang(&proc, &inside.resolve(Path::new("proc"))?)?;
    let sys = sys(request)?;
    if !request.privileged {
        mount::read_only(&sys).map_err(Error::mount("/sys read-only"))?;
    }
    inside.hang(&sys, &inside.resolve(Path::new("sys"))?)?;
    devices(request, inside)?;
    if !request.privileged {
        hide(inside)?;
    }
    Ok(())
}

/// A `/sys` of its own where the network is its own; else the machine's, for the kernel gives no other.
fn sys(request: &Request) -> Result<OwnedFd, Error> {
    if request.network == Network::None
        && let Ok(sys) = mount::new("sysfs", &[], DATA)
    {
        return Ok(sys);
    }
    bind(Path::new("/sys"))
}

fn devices(request: &Request, inside: &Inside) -> Result<(), Error> {
    let dev = inside.resolve(Path::new("dev"))?;
    inside.hang(&memory(&[("mode", "755"), ("size", "65536k")], LIVE)?, &dev)?;
    let held = inside.at(&dev, OFlags::PATH).map_err(Error::mount("/dev"))?;
    let path = path_of(&held);
    for name in DEVICES {
        File::create(path.join(name)).map_err(Error::io(Path::new("/dev").join(name)))?;
        inside.hang(&bind(&Path::new("/dev").join(name))?, &dev.join(name))?;
    }
    for (name, target) in DEVICE_LINKS {
        std::os::unix::fs::symlink(target, path.join(name)).map_err(Error::io(Path::new("/dev").join(name)))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(path.join(name)).map_err(Error::io(Path::new("/dev").join(name)))?;
    }
    let attributes = LIVE.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
    // Group 5 is tty, if there is such a group in our map.
    let pts = mount::new("devpts", &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")], attributes)
        .or_else(|_| mount::new("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], attributes))
        .map_err(Error::mount("/dev/pts"))?;
    inside.hang(&pts, &dev.join("pts"))?;
    let size = request.shm_size.unwrap_or(SHM_SIZE).to_string();
    inside.hang(&memory(&[("mode", "1777"), ("size", &size)], DATA)?, &dev.join("shm"))?;
    // Not every kernel has message queues, and few programs miss them.
    if let Ok(queue) = mount::new("mqueue", &[], DATA) {
        inside.hang(&queue, &dev.join("mqueue"))?;
    }
    Ok(())
}

fn hide(inside: &Inside) -> Result<(), Error> {
    for path in READ_ONLY.iter().map(Path::new) {
        let Ok(held) = inside.at(path, OFlags::PATH) else { continue };
        let tree = bind(&path_of(&held))?;
        mount::read_only(&tree).map_err(Error::mount(format!("/{} read-only", path.display())))?;
        inside.hang(&tree, path)?;
    }
    let null = Path::new("/dev/null");
    for path in MASKED.iter().map(Path::new) {
        let Ok(held) = inside.at(path, OFlags::PATH) else { continue };
        let is_dir = rustix::fs::fstat(&held).is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_dir());
        let cover = if is_dir { memory(&[("mode", "555"), ("nr_inodes", "1")], DATA)? } else { bind(null)? };
        if is_dir {
            mount::read_only(&cover).map_err(Error::mount(format!("/{} hidden", path.display())))?;
        }
        inside.hang(&cover, path)?;
    }
    Ok(())
}

/// A descriptor by a path that other calls take.
pub(crate) fn path_of(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
