//! Entering a user namespace: the process itself becomes root in it, once, before it has threads.
//!
//! A process cannot write more than one id into its own map, so a helper does it: ourselves again, spawned before the namespace
//! changes and therefore outside of it. It writes the map of the process that waits for it, with `newuidmap` and
//! `newgidmap` for an ordinary user, directly for root. Then it ends: no second process stays.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, set_thread_res_gid, set_thread_res_uid};

use crate::stage::{HIDDEN_NAME, ID_MAP};
use crate::{Error, chroot};

/// How the ids of the namespace are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// As root: every id to itself.
    Root,
    /// The user to 0, and ranges of `/etc/subuid` and `/etc/subgid` to 1 and up.
    SubIds,
    /// The user to 0 and nothing else: files of other owners cannot be made.
    Single,
}

/// What [`enter`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// How ids are mapped.
    pub mapping: Mapping,
    /// Why there is no namespace, where root does without ([`chroot`]).
    pub refused: Option<String>,
}

/// Makes this process root in a user namespace and a mount namespace of its own. Root in a container that gives neither stays what it
/// is, and its processes are isolated otherwise.
///
/// Call it before any thread exists: the kernel refuses it to a threaded process.
///
/// # Errors
/// User namespaces are switched off, or the map cannot be written; with the command that mends it.
pub fn enter() -> Result<Entered, Error> {
    match unshare_and_map() {
        Err(Error::UserNamespaces { reason, remedy }) => match chroot::choose() {
            Ok(()) => Ok(Entered { mapping: Mapping::Root, refused: Some(reason) }),
            // Who is not root is told of namespaces only: they are what others mend.
            Err(_) if !getuid().is_root() => Err(Error::UserNamespaces { reason, remedy }),
            Err(why) => {
                let reason = format!("{reason}; and no way without them: {why}");
                Err(Error::UserNamespaces { reason, remedy })
            }
        },
        other => Ok(Entered { mapping: other?, refused: None }),
    }
}

fn unshare_and_map() -> Result<Mapping, Error> {
    let mut helper = Command::new("/proc/self/exe");
    {
        use std::os::unix::process::CommandExt as _;
        helper.arg0(HIDDEN_NAME);
    }
    helper.args([ID_MAP, &std::process::id().to_string()]);
    let mut helper =
        helper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(Error::io("/proc/self/exe"))?;
    let unshared = unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS);
    if let Some(mut go) = helper.stdin.take() {
        // Told or closed: either way the helper does not wait for ever.
        let _ = go.write_all(if unshared.is_ok() { b"go" } else { b"" });
    }
    let mut answer = String::new();
    if let Some(mut from) = helper.stdout.take() {
        from.read_to_string(&mut answer).map_err(Error::io("the id mapping helper"))?;
    }
    helper.wait().map_err(Error::io("the id mapping helper"))?;
    unshared.map_err(|e| refused(&format!("unshare: {}", std::io::Error::from(e))))?;
    let mapping = match answer.split_once(' ') {
        _ if answer == "root" => Mapping::Root,
        _ if answer == "subids" => Mapping::SubIds,
        _ if answer == "single" => Mapping::Single,
        Some(("error", reason)) => return Err(unmapped(reason)),
        _ => return Err(unmapped("the helper ended without an answer")),
    };
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    let become_root = || -> rustix::io::Result<()> {
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        // What others mount on the host may come in; what we mount must not go out.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
    };
    // AppArmor gives the namespace, and then no rights in it.
    become_root().map_err(|e| refused(&format!("it gives no rights: {e}")))?;
    Ok(mapping)
}

pub(crate) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the process has one thread (it is called from `main` before any is made, and from stages, which make none), and no
    // descriptor table is unshared, so nothing that others hold changes under them.
    #[expect(unsafe_code, reason = "unshare can break a process with threads; ours has none here")]
    unsafe {
        rustix::thread::unshare_unsafe(flags)
    }
}

/// The helper: waits until the process has its namespace, writes its map, and says how.
pub(crate) fn map_ids(pid: &str) -> Result<(), Error> {
    let mut go = String::new();
    std::io::stdin().read_to_string(&mut go).map_err(Error::io("standard input"))?;
    if go != "go" {
        return Ok(()); // the namespace was refused: there is nothing to map
    }
    let answer = match write_maps(pid) {
        Ok(answer) => answer.to_owned(),
        Err(reason) => format!("error {reason}"),
    };
    std::io::stdout().write_all(answer.as_bytes()).map_err(Error::io("standard output"))
}

fn write_maps(pid: &str) -> Result<&'static str, String> {
    let put = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, text).map_err(|e| format!("{path}: {e}"))
    };
    if getuid().is_root() {
        // Inside another user namespace only the ids that it has can be passed on.
        put("uid_map", &identity("/proc/self/uid_map")?)?;
        put("gid_map", &identity("/proc/self/gid_map")?)?;
        return Ok("root");
    }
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let (uids, gids) = (sub_ids("/etc/subuid", uid), sub_ids("/etc/subgid", uid));
    if !uids.is_empty() && !gids.is_empty() {
        map_with("newuidmap", pid, uid, &uids)?;
        map_with("newgidmap", pid, gid, &gids)?;
        return Ok("subids");
    }
    put("uid_map", &format!("0 {uid} 1\n"))?;
    put("setgroups", "deny")?;
    put("gid_map", &format!("0 {gid} 1\n"))?;
    Ok("single")
}

/// A map of every id to itself: of those that the map of the namespace outside has.
fn identity(map: &str) -> Result<String, String> {
    let text = fs::read_to_string(map).map_err(|e| format!("{map}: {e}"))?;
    let line = |l: &str| {
        let mut fields = l.split_whitespace();
        let (inside, _, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some(format!("{inside} {inside} {count}\n"))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn map_with(program: &str, pid: &str, own: u32, ranges: &[(u32, u32)]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args([pid, "0", &own.to_string(), "1"]);
    let mut next = 1u32;
    for (start, count) in ranges {
        command.args([next, *start, *count].map(|n| n.to_string()));
        next = next.saturating_add(*count);
    }
    let output = command.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("{program} is not installed"),
        _ => format!("{program}: {e}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The ranges that a file grants to a user, by name or number (subuid(5)).
pub(crate) fn sub_ids(file: &str, uid: u32) -> Vec<(u32, u32)> {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let name = crate::user::name_of(uid, &passwd);
    let text = fs::read_to_string(file).unwrap_or_default();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let (who, start, count) = (fields.next()?, fields.next()?, fields.next()?);
        let mine = who == uid.to_string() || name.as_deref() == Some(who);
        let (start, count) = (start.parse().ok()?, count.parse().ok()?);
        (mine && count > 0).then_some((start, count))
    };
    text.lines().filter_map(range).collect()
}

/// Why the kernel said no, as far as its switches tell.
fn refused(seen: &str) -> Error {
    let read = |path: &str| fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
    let switches = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    for (path, off, mend) in switches {
        if read(path) == off {
            let reason = format!("{path} is {off}");
            return Error::UserNamespaces { reason, remedy: Some(format!("sudo sysctl -w {mend}")) };
        }
    }
    let reason = format!("{seen} (inside a container, its seccomp profile may forbid it)");
    Error::UserNamespaces { reason, remedy: None }
}

fn unmapped(reason: &str) -> Error {
    let remedy = if reason.contains("not installed") {
        Some("sudo apt-get install uidmap".to_owned())
    } else if reason.contains("newuidmap") || reason.contains("newgidmap") {
        Some("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)".to_owned())
    } else {
        None
    };
    Error::IdMapping { reason: reason.to_owned(), remedy }
}
