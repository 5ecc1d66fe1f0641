//! The rest of what makes a process a container: the files in `/etc` that the machine writes, host name, limits, network, user,
//! capabilities, seccomp.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::inside::{Inside, Kind};
use crate::request::{Mount, Network, Request, Role};
use crate::user::{User, resolve};
use crate::{Error, capabilities, seccomp, terminal};

/// `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname`, as mounts that leave no trace.
pub(crate) fn files(request: &Request) -> Vec<Mount> {
    let file = |target: &str, content: Vec<u8>| Mount::File {
        target: target.into(),
        content,
        mode: 0o644,
        uid: 0,
        gid: 0,
        read_only: request.role == Role::Step,
    };
    // Of the machine that we run on, links followed; without one there is nobody to ask.
    let resolv = fs::read("/etc/resolv.conf").unwrap_or_default();
    let mut files = vec![file("/etc/resolv.conf", resolv), file("/etc/hosts", hosts(request).into_bytes())];
    if request.role == Role::Container {
        files.push(file("/etc/hostname", format!("{}\n", hostname(request)).into_bytes()));
    }
    files
}

fn hosts(request: &Request) -> String {
    let hostname = hostname(request);
    let mut hosts = match request.role {
        Role::Step => format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        Role::Container => format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n127.0.0.1\t{hostname}\n"
        ),
    };
    for (name, address) in &request.extra_hosts {
        let address = if address == "host-gateway" { "127.0.0.1" } else { address };
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    hosts
}

fn hostname(request: &Request) -> String {
    if request.hostname.is_empty() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        request.hostname.clone()
    }
}

/// Everything after the file system. The order is that of what each step needs: the filter wants a capability that the limits
/// take away, and ids change while that is still allowed.
pub(crate) fn become_container(request: &Request, stage: &UnixStream) -> Result<User, Error> {
    let failed = |what: &'static str| move |e: Errno| Error::Stage(format!("{what}: {e}"));
    rustix::system::sethostname(hostname(request).as_bytes()).map_err(failed("set the host name"))?;
    if request.network == Network::None {
        loopback_up()?;
    }
    let (user, inside) = settle(request)?;
    if request.terminal {
        terminal::take(stage, &user, &inside)?;
    }
    if !request.privileged {
        capabilities::bound(capabilities::defaults()).map_err(failed("bound the capabilities"))?;
        seccomp::install().map_err(|e| Error::Stage(format!("seccomp filter: {e}")))?;
    }
    change_ids(&user)?;
    if !request.privileged && user.uid == 0 {
        capabilities::limit(capabilities::defaults()).map_err(failed("limit the capabilities"))?;
    }
    Ok(user)
}

/// The same as far as a chroot goes: the network, the host name and the filter are the container's.
pub(crate) fn become_step(request: &Request) -> Result<User, Error> {
    let failed = |what: &'static str| move |e: Errno| Error::Stage(format!("{what}: {e}"));
    let (user, _) = settle(request)?;
    let kept = capabilities::of_chroot().map_err(failed("capabilities"))?;
    if !request.privileged {
        match capabilities::bound(kept) {
            // Without that right (CAP_SETPCAP) the bound is the container's.
            Ok(()) | Err(Errno::PERM) => {}
            Err(e) => return Err(failed("bound the capabilities")(e)),
        }
    }
    change_ids(&user)?;
    if !request.privileged && user.uid == 0 {
        capabilities::limit(kept).map_err(failed("limit the capabilities"))?;
    }
    Ok(user)
}

/// Limits, user and working folder. The root is the container's own by now.
fn settle(request: &Request) -> Result<(User, Inside), Error> {
    limits(request)?;
    let inside = Inside::open(Path::new("/"))?;
    let (passwd, group) = (inside.read("/etc/passwd"), inside.read("/etc/group"));
    let mut user =
        resolve(&request.user, passwd.as_deref(), group.as_deref()).map_err(|e| Error::Stage(e.to_string()))?;
    user.groups.extend(&request.groups);
    working_directory(&request.cwd, &user, &inside)?;
    Ok((user, inside))
}

/// Never by a link of the kernel's: one of those to a descriptor of ours would lead out of the root.
fn working_directory(path: &str, user: &User, inside: &Inside) -> Result<(), Error> {
    let failed = |e: Errno| Error::Stage(format!("working directory {path}: {e}"));
    let real = inside.resolve(Path::new(path))?;
    for made in inside.make(&real, Kind::Dir).map_err(failed)? {
        let dir = inside.at(&made, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        std::os::unix::fs::fchown(&dir, Some(user.uid), Some(user.gid)).map_err(Error::io(path))?;
    }
    let dir = inside
        .at(&real, OFlags::RDONLY | OFlags::DIRECTORY)
        .or_else(|_| inside.at(&real, OFlags::PATH | OFlags::DIRECTORY));
    dir.and_then(|dir| rustix::process::fchdir(&dir)).map_err(failed)
}

fn change_ids(user: &User) -> Result<(), Error> {
    let unmapped = |what: &str, id: u32, e: Errno| {
        let why = if e == Errno::INVAL {
            "; it is not in the id map: this user needs a range in /etc/subuid and /etc/subgid"
        } else {
            ""
        };
        Error::Stage(format!("become {what} {id}: {e}{why}"))
    };
    let groups: Vec<Gid> = user.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    match set_thread_groups(&groups) {
        // Where only one id is mapped the kernel forbids it, and there are no other groups to have anyway.
        Ok(()) | Err(Errno::PERM) => {}
        Err(e) => return Err(unmapped("a member of group", user.gid, e)),
    }
    let (gid, uid) = (Gid::from_raw(user.gid), Uid::from_raw(user.uid));
    set_thread_res_gid(gid, gid, gid).map_err(|e| unmapped("group", user.gid, e))?;
    set_thread_res_uid(uid, uid, uid).map_err(|e| unmapped("user", user.uid, e))
}

/// Whether a limit of that name can be set ([`Request::ulimits`]). Who asks for one that cannot is told so before anything runs.
#[must_use]
pub fn is_ulimit(name: &str) -> bool {
    resource(name).is_some()
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

fn limits(request: &Request) -> Result<(), Error> {
    for (name, soft, hard) in &request.ulimits {
        let Some(resource) = resource(name) else {
            return Err(Error::Stage(format!("invalid ulimit type: {name}")));
        };
        let limit = |n: u64| (n != u64::MAX).then_some(n);
        setrlimit(resource, Rlimit { current: limit(*soft), maximum: limit(*hard) })
            .map_err(|e| Error::Stage(format!("ulimit {name}={soft}:{hard}: {e}")))?;
    }
    Ok(())
}

/// A network namespace starts with its loopback device down.
fn loopback_up() -> Result<(), Error> {
    let failed = || Error::Stage(format!("bring up the loopback device: {}", io::Error::last_os_error()));
    // SAFETY: the request is a zeroed structure of the kernel's own layout with a name that ends in zero, and the descriptor is ours.
    #[expect(unsafe_code, reason = "a device's flags are set by ioctl only")]
    let result = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(failed());
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS, &request);
        libc::close(socket);
        result
    };
    if result == 0 { Ok(()) } else { Err(failed()) }
}
