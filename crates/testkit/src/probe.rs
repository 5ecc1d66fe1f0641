//! What this machine can do, for tests that need more than a file system.

use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// Ends the test, with a printed reason, where the machine lacks something: `userns` (user namespaces), `qemu` (emulators
/// that a user namespace can register), `port443` (that of HTTPS, on loopback), or a program (`skopeo`, `"docker-registry"`). Where `CI=true` the test fails instead:
/// there, nothing may go untested unseen.
#[macro_export]
macro_rules! requires {
    ($($need:tt),+ $(,)?) => {
        if !$crate::probe::all_there(&[$(stringify!($need)),+]) {
            return;
        }
    };
}

/// Whether everything is there; if not, says so. For [`requires!`](crate::requires).
///
/// # Panics
/// When something is missing and `CI=true`.
#[must_use]
#[track_caller]
pub fn all_there(needs: &[&str]) -> bool {
    let Some(reason) = needs.iter().find_map(|need| missing(need.trim_matches('"'))) else { return true };
    assert!(env::var("CI").as_deref() != Ok("true"), "this machine cannot run the test: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Why something is not there.
fn missing(need: &str) -> Option<String> {
    match need {
        "userns" => (!unshare("true")).then(|| "no user namespaces with mounts in them".into()),
        "qemu" => {
            let programs = ["qemu-aarch64-static", "qemu-arm-static"];
            if let Some(none) = programs.into_iter().find(|program| !in_path(program)) {
                return Some(format!("no {none}"));
            }
            (!unshare("mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"))
                .then(|| "no binfmt_misc in user namespaces (Linux before 6.7)".into())
        }
        "port443" => TcpListener::bind("127.0.0.1:443").err().map(|e| format!("port 443 cannot be listened on: {e}")),
        program => (!in_path(program)).then(|| format!("no {program}")),
    }
}

fn unshare(script: &str) -> bool {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| is_program(&dir.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
