//! The smallest program of each architecture: it ends with status 0. Running it is how to know whether such programs run.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};

/// Where it is loaded: above what no process may map.
const BASE: u64 = 0x1_0000;

/// Go's name, number of the machine (elf(5)), 64 bits, big endian, flags, and the code of exit(0).
type Row = (&'static str, u16, bool, bool, u32, &'static [u8]);

const PROGRAMS: &[Row] = &[
    // mov eax, 60; xor edi, edi; syscall
    ("amd64", 62, true, false, 0, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
    // mov eax, 1; xor ebx, ebx; int 0x80
    ("386", 3, false, false, 0, &[0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80]),
    // mov x8, 93; mov x0, 0; svc 0
    ("arm64", 183, true, false, 0, &[0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 1, 0, 0, 0xd4]),
    // mov r0, 0; mov r7, 1; svc 0; the flag is EABI 5
    ("arm", 40, false, false, 0x0500_0000, &[0, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef]),
    // li a7, 93; li a0, 0; ecall
    ("riscv64", 243, true, false, 0, &[0x93, 8, 0xd0, 5, 0x13, 5, 0, 0, 0x73, 0, 0, 0]),
    // li r0, 1; li r3, 0; sc; the flag is ELF ABI 2
    ("ppc64le", 21, true, false, 2, &[1, 0, 0, 0x38, 0, 0, 0x60, 0x38, 2, 0, 0, 0x44]),
    // lghi r2, 0; svc 1
    ("s390x", 22, true, true, 0, &[0xa7, 0x29, 0, 0, 0x0a, 1]),
    // li v0, 5058; move a0, zero; syscall; the flag is MIPS64
    ("mips64le", 8, true, false, 0x6000_0000, &[0xc2, 0x13, 2, 0x24, 0x25, 0x20, 0, 0, 0x0c, 0, 0, 0]),
    // li a7, 93; move a0, zero; syscall 0; the flags are LP64D and the object ABI's first version
    ("loong64", 258, true, false, 0x43, &[0x0b, 0x74, 0x81, 2, 4, 0, 0x15, 0, 0, 0, 0x2b, 0]),
];

/// The ELF file of an architecture: header, one program header, code.
pub(crate) fn program(architecture: &str) -> Option<Vec<u8>> {
    let (_, machine, wide, big, flags, code) = *PROGRAMS.iter().find(|row| row.0 == architecture)?;
    let mut file = Elf { bytes: vec![0x7f, b'E', b'L', b'F', 1 + u8::from(wide), 1 + u8::from(big), 1], wide, big };
    file.bytes.resize(16, 0);
    let head: u16 = if wide { 64 } else { 52 };
    let entry: u16 = if wide { 56 } else { 32 };
    let start = u64::from(head + entry);
    [2, machine].into_iter().for_each(|n| file.half(n));
    file.word(1);
    [BASE + start, head.into(), 0].into_iter().for_each(|n| file.address(n));
    file.word(flags);
    [head, entry, 1, 0, 0, 0].into_iter().for_each(|n| file.half(n));
    let size = start + code.len() as u64;
    file.word(1); // to be loaded
    if wide {
        file.word(5); // read and executed; the narrow form has it later
    }
    [0, BASE, BASE, size, size].into_iter().for_each(|n| file.address(n));
    if !wide {
        file.word(5);
    }
    file.address(BASE);
    file.bytes.extend(code);
    Some(file.bytes)
}

struct Elf {
    bytes: Vec<u8>,
    wide: bool,
    big: bool,
}

impl Elf {
    fn half(&mut self, n: u16) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn word(&mut self, n: u32) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn address(&mut self, n: u64) {
        match (self.wide, self.big) {
            (true, true) => self.bytes.extend(n.to_be_bytes()),
            (true, false) => self.bytes.extend(n.to_le_bytes()),
            // Of a narrow file all addresses are small.
            (false, _) => self.word(u32::try_from(n).unwrap_or(u32::MAX)),
        }
    }
}

/// Executes a program of its own; whether it ended as it should.
pub(crate) fn run(program: &[u8]) -> io::Result<bool> {
    let file = File::from(memfd_create("smallest", MemfdFlags::CLOEXEC)?);
    (&file).write_all(program)?;
    // Opened anew, for a file that is open for writing cannot be executed; and left open, for an emulator may be given its name.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let read = openat(CWD, path, OFlags::RDONLY, Mode::empty())?;
    drop(file);
    let mut command = Command::new(format!("/proc/self/fd/{}", read.as_raw_fd()));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_s_own_runs() {
        assert!(run(&program(crate::emulation::host()).unwrap()).unwrap());
        assert!(run(b"#").is_err());
    }
}
