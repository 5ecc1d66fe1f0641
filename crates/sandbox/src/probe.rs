//! What this machine gives, found out by trying: for `archipel info` and `archipel doctor`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cover::makes_devices;
use crate::emulation::{self, Emulation, Support};
use crate::overlay;
use crate::userns::{Entered, Mapping};
use crate::{Error, seccomp};

/// How isolation is made on this machine: the rungs of a ladder, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// User namespaces and overlayfs.
    Userns,
    /// User namespaces, and no overlays on the store's file system: trees are copied.
    UsernsCopy,
    /// Root in a container that gives neither namespaces nor mounts: steps run in a chroot, and trees are copied.
    Chroot,
    /// RUN cannot be isolated here, and is refused.
    None,
}

/// One thing that was tried.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub good: bool,
    /// Whether nothing works without it.
    pub needed: bool,
    /// What was seen.
    pub detail: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Everything that was tried.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Probe {
    /// Which rung of the ladder this machine is on.
    pub rung: Rung,
    /// The kernel's release.
    pub kernel: String,
    /// In the order of how much depends on them.
    pub findings: Vec<Finding>,
    /// The architectures that run here, and how.
    pub architectures: Vec<(String, String)>,
}

impl Probe {
    /// Looks at the machine. `entered` is what entering the user namespace came to; `qemu` are folders to look for QEMU in; `scratch` is a
    /// folder on the file system that snapshots will be on.
    #[must_use]
    pub fn run(entered: &Result<Entered, Error>, qemu: &[PathBuf], scratch: &Path) -> Self {
        let mut findings = vec![namespaces(entered)];
        let mut rung = Rung::None;
        let mut architectures = Vec::new();
        match entered {
            Ok(Entered { refused: Some(_), .. }) => {
                rung = Rung::Chroot;
                findings.extend([proc(), devices(scratch)]);
                architectures = emulators(qemu, &mut findings);
            }
            Ok(entered) => {
                findings.push(ids(entered.mapping));
                let overlay = overlay_finding(scratch);
                rung = if overlay.good { Rung::Userns } else { Rung::UsernsCopy };
                findings.push(overlay);
                findings.push(binfmt());
                architectures = emulators(qemu, &mut findings);
                findings.push(filter());
            }
            Err(_) => findings.push(filter()),
        }
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Self { rung, kernel, findings, architectures }
    }
}

fn finding(name: &'static str, needed: bool, result: Result<String, (String, Option<String>)>) -> Finding {
    match result {
        Ok(detail) => Finding { name, good: true, needed, detail, remedy: None },
        Err((detail, remedy)) => Finding { name, good: false, needed, detail, remedy },
    }
}

fn namespaces(entered: &Result<Entered, Error>) -> Finding {
    match entered {
        Ok(Entered { refused: None, .. }) => {
            finding("user namespaces", true, Ok("this process is root in one of its own".into()))
        }
        Ok(Entered { refused: Some(reason), .. }) => {
            let meaning = "steps run as this container's root in a chroot, where nothing but the files is their own: they see its \
                           network and its processes; every step's files are copied";
            finding("user namespaces", false, Err((format!("{reason}; {meaning}"), None)))
        }
        Err(e) => finding("user namespaces", true, Err((e.to_string(), e.remedy().map(Into::into)))),
    }
}

fn proc() -> Finding {
    let detail = "not mounted: what a step of root opens in it, or in /dev/fd, is this container's (Linux 5.14); a list of processes is not \
                  there, and steps of other users have none of it";
    finding("/proc", false, Err((detail.into(), None)))
}

fn devices(scratch: &Path) -> Finding {
    let result = if makes_devices(scratch) {
        Ok("steps have /dev/null, zero, full, random, urandom and tty".into())
    } else {
        Err((
            "they cannot be made or opened here: of /dev, steps have a file in place of null, and nothing else".into(),
            None,
        ))
    };
    finding("devices", false, result)
}

fn ids(mapping: Mapping) -> Finding {
    let result = match mapping {
        Mapping::Root => Ok("all ids, as root".into()),
        Mapping::SubIds => Ok("the ranges of /etc/subuid and /etc/subgid".into()),
        Mapping::Single => Err((
            "one id only: images with files of several owners cannot be unpacked".into(),
            Some("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)".into()),
        )),
    };
    finding("user ids", false, result)
}

fn overlay_finding(scratch: &Path) -> Finding {
    let dir = scratch.join(format!("probe-{}", std::process::id()));
    let tried = overlay::works_in(&dir);
    let _ = fs::remove_dir_all(&dir); // overlayfs leaves a folder of its own in `work`, which this takes too
    let result = match tried {
        Ok(()) => Ok(format!("mounted, on {}", scratch.display())),
        Err(e) => Err((format!("{e} (on {})", scratch.display()), None)),
    };
    finding(
        "overlayfs",
        false,
        result.map_err(|(why, remedy)| (format!("{why}: every step's files are copied"), remedy)),
    )
}

fn binfmt() -> Finding {
    let result = match emulation::table() {
        Ok(_) => Ok("one of our own: nothing has to be registered on the host".into()),
        Err(e) => Err((
            format!("not in user namespaces ({e}): Linux 6.7 has it; what the host has registered is used instead"),
            Some("sudo apt-get install qemu-user-static binfmt-support".into()),
        )),
    };
    finding("binfmt_misc", false, result)
}

/// The architectures that matter to nearly everybody are findings; the others are only listed.
fn emulators(qemu: &[PathBuf], findings: &mut Vec<Finding>) -> Vec<(String, String)> {
    let emulation = match Emulation::set_up(qemu) {
        Ok(emulation) => emulation,
        Err(e) => {
            findings.push(finding("qemu", false, Err((e.to_string(), None))));
            return Vec::new();
        }
    };
    let mut listed = vec![(emulation::host().to_owned(), "native".to_owned())];
    let mut missing = Vec::new();
    for name in emulation::names().filter(|name| *name != emulation::host()) {
        match emulation.support(name, None) {
            Support::Native => listed.push((name.into(), "native".into())),
            Support::Emulated { qemu: Some(path) } => listed.push((name.into(), path.display().to_string())),
            Support::Emulated { qemu: None } => listed.push((name.into(), "the host's registration".into())),
            Support::Missing { .. } => missing.push(name),
        }
    }
    let common: Vec<&str> = missing.into_iter().filter(|name| matches!(*name, "amd64" | "arm64" | "arm")).collect();
    let result = if common.is_empty() {
        Ok("found for amd64, arm64 and arm".into())
    } else {
        let without: Vec<&str> =
            common.iter().copied().filter(|n| emulation::find_emulator(n, qemu).is_none()).collect();
        let why = if without.is_empty() { "QEMU is there but not registered" } else { "no static QEMU is installed" };
        Err((format!("{} cannot run: {why}", common.join(", ")), Some("sudo apt-get install qemu-user-static".into())))
    };
    findings.push(finding("qemu", false, result));
    listed
}

fn filter() -> Finding {
    let modes = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let result = if modes.contains("errno") && seccomp::AVAILABLE {
        Ok("RUN steps are filtered as Docker's are".into())
    } else {
        Err(("no filter for this kernel or processor: RUN steps run without one".into(), None))
    };
    finding("seccomp", false, result)
}
