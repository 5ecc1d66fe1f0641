//! Foreign architectures: our own `binfmt_misc` (one for each user namespace since Linux 6.7), with the QEMU that this machine has.
//! Nothing on the host changes, and nothing that the host has registered is needed.
//!
//! The interpreter of an entry is opened when the entry is made (flag `F`), so it need not be in any root file system.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::{Error, chroot, smallest};

/// Where Debian and others put QEMU's user-mode emulators.
const USUAL: &[&str] = &["/usr/bin", "/usr/local/bin", "/usr/libexec/qemu-binfmt"];
/// What the host has registered.
const HOST_TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// How binaries of an architecture run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// By the processor.
    Native,
    /// By QEMU: its path, or `None` where the host's own registration is used.
    Emulated {
        /// The emulator.
        qemu: Option<PathBuf>,
    },
    /// Not at all.
    Missing {
        /// What to do about it.
        remedy: String,
    },
}

/// An architecture: Go's name, QEMU's name, and how its ELF files begin (elf(5): class, data, machine).
struct Architecture {
    name: &'static str,
    qemu: &'static str,
    class: u8,
    big_endian: bool,
    machine: u16,
}

const fn architecture(name: &'static str, qemu: &'static str, class: u8, machine: u16) -> Architecture {
    Architecture { name, qemu, class, big_endian: false, machine }
}

const ARCHITECTURES: &[Architecture] = &[
    architecture("amd64", "x86_64", 2, 62),
    architecture("386", "i386", 1, 3),
    architecture("arm64", "aarch64", 2, 183),
    architecture("arm", "arm", 1, 40),
    architecture("riscv64", "riscv64", 2, 243),
    architecture("ppc64le", "ppc64le", 2, 21),
    Architecture { name: "s390x", qemu: "s390x", class: 2, big_endian: true, machine: 22 },
    architecture("mips64le", "mips64el", 2, 8),
    architecture("loong64", "loongarch64", 2, 258),
];

/// The emulators of this process's user namespace. They work for as long as this lives.
#[derive(Debug)]
pub struct Emulation {
    /// The other architecture that the processor runs: the 32-bit one.
    sibling: Option<&'static str>,
    found: Vec<(&'static str, Option<PathBuf>)>,
    /// Why there is no table of our own.
    refused: Option<String>,
    _table: Option<OwnedFd>,
}

impl Emulation {
    /// Makes our own table and registers every emulator that is found, in `search` first. Call it inside the namespace.
    ///
    /// # Errors
    /// The kernel gave a table and then refused an entry.
    pub fn set_up(search: &[PathBuf]) -> Result<Self, Error> {
        let table = table();
        // With a table of our own, still empty, the kernel's answer is the processor's.
        let sibling = sibling();
        let foreign = || ARCHITECTURES.iter().filter(move |a| a.name != host() && Some(a.name) != sibling);
        match table {
            Ok(table) => {
                let mut found = Vec::new();
                for architecture in foreign() {
                    if let Some(qemu) = find(architecture, search) {
                        register(&table, architecture, &qemu).map_err(Error::io(&qemu))?;
                        found.push((architecture.name, Some(qemu)));
                    }
                }
                Ok(Self { sibling, found, refused: None, _table: Some(table) })
            }
            Err(e) => {
                let runs =
                    |name| smallest::program(name).and_then(|program| smallest::run(&program).ok()) == Some(true);
                let found = foreign().filter(|a| host_has(a.qemu) || runs(a.name)).map(|a| (a.name, None)).collect();
                Ok(Self { sibling, found, refused: Some(e.to_string()), _table: None })
            }
        }
    }

    /// How an architecture (Go's name) runs here. Emulators run every variant of theirs; the processor may be too old for one.
    #[must_use]
    pub fn support(&self, architecture: &str, variant: Option<&str>) -> Support {
        if architecture == host()
            && let Some(level) = variant.filter(|variant| !processor_has(variant))
        {
            return Support::Missing { remedy: format!("this processor lacks instructions of {architecture}/{level}") };
        }
        if architecture == host() || Some(architecture) == self.sibling {
            return Support::Native;
        }
        if let Some((_, qemu)) = self.found.iter().find(|(name, _)| *name == architecture) {
            return Support::Emulated { qemu: qemu.clone() };
        }
        let known = ARCHITECTURES.iter().any(|a| a.name == architecture);
        let remedy = match &self.refused {
            _ if !known => format!("there is no emulator for {architecture}"),
            None => "install QEMU: sudo apt-get install qemu-user-static".into(),
            Some(_) if chroot::is_chosen() => "this container may not register QEMU, so its host must: there, once, sudo apt-get \
                                               install qemu-user-static binfmt-support (any way that sets the flag F will do)"
                .into(),
            Some(why) => format!(
                "this kernel has no binfmt_misc for user namespaces (Linux 6.7; {why}), so QEMU must be registered on the host: \
                 sudo apt-get install qemu-user-static binfmt-support"
            ),
        };
        Support::Missing { remedy }
    }
}

/// The emulator of an architecture, whether it is registered or not.
pub(crate) fn find_emulator(name: &str, search: &[PathBuf]) -> Option<PathBuf> {
    ARCHITECTURES.iter().find(|a| a.name == name).and_then(|a| find(a, search))
}

/// The architecture of an ELF file, by the number of its machine.
pub(crate) fn name_of(machine: u16) -> Option<&'static str> {
    ARCHITECTURES.iter().find(|a| a.machine == machine).map(|a| a.name)
}

/// Every architecture that is known.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|a| a.name)
}

/// The processor's architecture.
pub(crate) fn host() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        "mips64" => "mips64le",
        other => other,
    }
}

/// Whether the processor is of a level of x86-64; of other architectures' variants nothing is known here.
#[cfg(target_arch = "x86_64")]
fn processor_has(level: &str) -> bool {
    use std::arch::is_x86_feature_detected as has;
    let v2 = || has!("sse3") && has!("ssse3") && has!("sse4.1") && has!("sse4.2") && has!("popcnt");
    let v3 = || v2() && has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("movbe");
    let v4 = || has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    match level {
        "v2" => v2(),
        "v3" => v3(),
        "v4" => v3() && v4(),
        _ => true,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_has(_level: &str) -> bool {
    true
}

/// The 32-bit architecture that goes with the processor's, if this processor and this kernel run it: not all do.
fn sibling() -> Option<&'static str> {
    let name = match host() {
        "amd64" => "386",
        "arm64" => "arm",
        _ => return None,
    };
    let smallest = smallest::program(name)?;
    // Any other error says nothing about the processor.
    let refused = smallest::run(&smallest).is_err_and(|e| e.raw_os_error() == Some(libc::ENOEXEC));
    (!refused).then_some(name)
}

/// A `binfmt_misc` of the namespace that we are in. It needs no mount point: the descriptor is enough.
pub(crate) fn table() -> io::Result<OwnedFd> {
    let fs = fsopen("binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(fs.as_fd())?;
    Ok(fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

fn find(architecture: &Architecture, search: &[PathBuf]) -> Option<PathBuf> {
    let folders = search.iter().map(PathBuf::as_path).chain(USUAL.iter().map(Path::new));
    let names = [format!("qemu-{}-static", architecture.qemu), format!("qemu-{}", architecture.qemu)];
    for folder in folders {
        for name in &names {
            let path = folder.join(name);
            // A dynamic QEMU cannot find its libraries in somebody else's root file system.
            if is_static_elf(&path) {
                return Some(path);
            }
        }
    }
    None
}

/// Whether a file is an ELF program without an interpreter (no `PT_INTERP` header).
fn is_static_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0u8; 4096];
    let Ok(mut file) = fs::File::open(path) else { return false };
    let Ok(n) = file.read(&mut head) else { return false };
    let head = &head[..n];
    let word = |at: usize, len: usize| -> Option<usize> {
        let bytes = head.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    let programs = || -> Option<bool> {
        if head.get(..5)? != b"\x7fELF\x02" {
            return None;
        }
        let (offset, size, count) = (word(32, 8)?, word(54, 2)?, word(56, 2)?);
        for n in 0..count.min(64) {
            if word(offset.checked_add(n * size)?, 4)? == 3 {
                return Some(false);
            }
        }
        Some(true)
    };
    programs().unwrap_or(false)
}

fn register(table: &OwnedFd, architecture: &Architecture, interpreter: &Path) -> io::Result<()> {
    let write = |file: &str, text: &str| {
        let file = openat(table, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        io::Write::write_all(&mut fs::File::from(file), text.as_bytes())
    };
    let line = entry(architecture, interpreter);
    match write("register", &line) {
        // There is one table for each namespace, so an earlier one of this process is the same. The later one decides.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            write(&format!("qemu-{}", architecture.qemu), "-1")?;
            write("register", &line)
        }
        other => other,
    }
}

/// A line of the kernel's `Documentation/admin-guide/binfmt-misc.rst`. Flags: the program keeps its own argv[0] (`P`), is opened by the
/// kernel (`O`), keeps its set-user-id rights (`C`), and the interpreter is opened now (`F`).
fn entry(architecture: &Architecture, qemu: &Path) -> String {
    let data = if architecture.big_endian { 2 } else { 1 };
    let half = |n: u16| if architecture.big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut magic = vec![0x7f, b'E', b'L', b'F', architecture.class, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    magic.extend(half(2));
    magic.extend(half(architecture.machine));
    let mut mask = vec![0xff; 20];
    mask[7] = 0; // any operating system's ABI
    mask[8..16].fill(0xff);
    let kind = if architecture.big_endian { 17 } else { 16 };
    mask[kind] = 0xfe; // an executable or a position-independent one
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
    format!(":qemu-{}:M::{}:{}:{}:POCF", architecture.qemu, hex(&magic), hex(&mask), qemu.display())
}

/// Whether the host has registered an emulator that works in any root file system. Containers seldom see the table, so that this says
/// no is no answer.
fn host_has(qemu: &str) -> bool {
    let text = fs::read_to_string(Path::new(HOST_TABLE).join(format!("qemu-{qemu}"))).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    text.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_the_kernel_documents() {
        let line = entry(&ARCHITECTURES[2], Path::new("/q"));
        assert_eq!(
            line,
            r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/q:POCF"
        );
        let line = entry(&ARCHITECTURES[6], Path::new("/q"));
        assert!(line.contains(r"\x00\x02\x00\x16:"), "{line}");
    }
}
