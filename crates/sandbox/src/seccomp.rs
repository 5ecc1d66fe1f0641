//! Docker's default filter of system calls. What it refuses is an error, not a death. `clone3` does not exist for it, so that C
//! libraries fall back to `clone`, whose flags it can see.
//!
//! The filter is a short list of BPF instructions, written here. It is installed without `no_new_privs`, which would break
//! `su` and `sudo` in images, and therefore before the capabilities go. What never depends on an argument the kernel looks up
//! in a table of its own (Linux 5.11), so that the length of the list costs nothing.

use std::io;

use crate::calls::{CLONE, CLONE3, DENIED, LAST, NONE, PERSONALITY, Row, SOCKET};

/// Namespace flags of clone(2).
const CLONE_NAMESPACES: u32 = 0x7e02_0000;
/// Linux, 32-bit Linux, each with the uname of 2.6 too, and the question which it is (personality(2)).
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Sockets to a hypervisor, which no namespace confines.
const AF_VSOCK: u32 = 40;

/// One of the ways in which programs on this machine call the kernel.
struct Abi {
    /// `AUDIT_ARCH_*`.
    arch: u32,
    /// Its column in the table.
    number: fn(&Row) -> u32,
    /// Calls by another convention, which is not allowed, carry this bit.
    foreign: Option<u32>,
    /// Calls of its own, from this number on.
    own: Option<u32>,
}

#[cfg(target_arch = "x86_64")]
const ABIS: &[Abi] = &[
    Abi { arch: 0xc000_003e, number: |row| row.1, foreign: Some(0x4000_0000), own: None },
    Abi { arch: 0x4000_0003, number: |row| row.2, foreign: None, own: None },
];
#[cfg(target_arch = "aarch64")]
const ABIS: &[Abi] = &[
    Abi { arch: 0xc000_00b7, number: |row| row.3, foreign: None, own: None },
    Abi { arch: 0x4000_0028, number: |row| row.4, foreign: None, own: Some(0xf_0000) },
];
#[cfg(target_arch = "riscv64")]
const ABIS: &[Abi] = &[Abi { arch: 0xc000_00f3, number: |row| row.3, foreign: None, own: None }];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
const ABIS: &[Abi] = &[];

/// Whether there is a filter for this machine.
pub(crate) const AVAILABLE: bool = !ABIS.is_empty();

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`: the call's number, the architecture, the low half of the first argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENT: u32 = 16;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// If the jump's condition holds, return this.
fn on(jump: u16, k: u32, action: u32) -> [libc::sock_filter; 2] {
    [op(jump, 0, 1, k), op(RETURN, 0, 0, action)]
}

fn error(errno: i32) -> u32 {
    ERRNO | errno.unsigned_abs()
}

fn block(abi: &Abi) -> Vec<libc::sock_filter> {
    let (denied, absent) = (error(libc::EPERM), error(libc::ENOSYS));
    let mut block = vec![op(LOAD, 0, 0, NUMBER)];
    if let Some(bit) = abi.foreign {
        block.extend(on(JUMP_SET, bit, absent));
    }
    if let Some(first) = abi.own {
        block.extend(on(JUMP_AT_LEAST, first, ALLOW));
    }
    block.extend(on(JUMP_AT_LEAST, LAST + 1, absent));
    block.extend(on(JUMP_EQUAL, (abi.number)(&CLONE3), absent));
    for number in DENIED.iter().map(abi.number).filter(|number| *number != NONE) {
        block.extend(on(JUMP_EQUAL, number, denied));
    }
    let mut judge = |call: &Row, rules: Vec<libc::sock_filter>| {
        block.push(op(JUMP_EQUAL, 0, u8::try_from(rules.len() + 1).unwrap_or(u8::MAX), (abi.number)(call)));
        block.push(op(LOAD, 0, 0, ARGUMENT));
        block.extend(rules);
    };
    let end = |action| op(RETURN, 0, 0, action);
    judge(&CLONE, [&on(JUMP_SET, CLONE_NAMESPACES, denied)[..], &[end(ALLOW)]].concat());
    judge(&SOCKET, [&on(JUMP_EQUAL, AF_VSOCK, denied)[..], &[end(ALLOW)]].concat());
    let allowed = PERSONALITIES.iter().flat_map(|personality| on(JUMP_EQUAL, *personality, ALLOW));
    judge(&PERSONALITY, allowed.chain([end(denied)]).collect());
    block.push(end(ALLOW));
    block
}

fn program() -> Vec<libc::sock_filter> {
    let mut program = vec![op(LOAD, 0, 0, ARCH)];
    for abi in ABIS {
        let block = block(abi);
        // A conditional jump reaches 255 instructions; the block is shorter (a test says so).
        program.push(op(JUMP_EQUAL, 0, u8::try_from(block.len()).unwrap_or(u8::MAX), abi.arch));
        program.extend(block);
    }
    // A way of calling that is none of this machine's.
    program.push(op(RETURN, 0, 0, error(libc::ENOSYS)));
    program
}

/// Filters the system calls of this thread and of all that come from it. Nothing is filtered on a machine for which there is no table.
pub(crate) fn install() -> io::Result<()> {
    if !AVAILABLE {
        return Ok(());
    }
    let mut program = program();
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the structure points to `program`, which lives through the call; the kernel copies it and checks it.
    #[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper that leaves no_new_privs alone")]
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn judge(arch: u32, number: u32, argument: u32) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let op = &program[at];
            at += 1;
            let holds = match op.code {
                LOAD => {
                    value = [number, arch, 0, 0, argument][op.k as usize / 4];
                    continue;
                }
                RETURN => return op.k,
                JUMP_EQUAL => value == op.k,
                JUMP_AT_LEAST => value >= op.k,
                JUMP_SET => value & op.k != 0,
                other => panic!("{other:#x}"),
            };
            at += usize::from(if holds { op.jt } else { op.jf });
        }
    }

    #[test]
    fn every_block_is_short_enough() {
        for abi in ABIS {
            assert!(block(abi).len() < 255);
        }
    }

    #[test]
    fn calls_are_judged_as_docker_judges_them() {
        let (denied, absent) = (error(libc::EPERM), error(libc::ENOSYS));
        for abi in ABIS {
            for row in DENIED.iter().filter(|row| (abi.number)(row) != NONE) {
                assert_eq!(judge(abi.arch, (abi.number)(row), 0), denied, "{}", row.0);
            }
            for (row, argument, expected) in [
                (&CLONE, 0x0120_0011, ALLOW),
                (&CLONE, 0x1000_0000, denied),
                (&CLONE3, 0, absent),
                (&PERSONALITY, 0xffff_ffff, ALLOW),
                (&PERSONALITY, 0x0004_0000, denied),
                (&SOCKET, 1, ALLOW),
                (&SOCKET, AF_VSOCK, denied),
            ] {
                assert_eq!(judge(abi.arch, (abi.number)(row), argument), expected, "{} {argument:#x}", row.0);
            }
            assert_eq!(judge(abi.arch, LAST + 1, 0), absent);
            assert_eq!(judge(abi.arch, 3, 0), ALLOW);
        }
        assert_eq!(judge(1, 0, 0), absent);
    }
}
