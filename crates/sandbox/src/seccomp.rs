//! The system calls that Docker's default profile forbids to a container without capabilities (moby `profiles/seccomp/default.go`), as
//! a filter: each is an error, not a death. `clone3`, whose flags a filter cannot see, does not exist for it, so that C libraries
//! fall back to `clone`.
//!
//! The filter is written out here as a short list of BPF instructions. It is installed without `no_new_privs`, which would break
//! `su` and `sudo` in images, and therefore before the capabilities go.

use std::io;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH_ARM: u32 = 0x4000_0028;

/// Namespace flags of clone(2).
const CLONE_NAMESPACES: u32 = 0x7e02_0000;

/// How one architecture numbers its calls.
struct Table {
    arch: u32,
    clone: u32,
    clone3: u32,
    /// Calls of another calling convention carry this bit.
    foreign: Option<u32>,
    denied: &'static [u32],
}

/// New ones have the same number everywhere: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, io_uring_*, mount_setattr.
const COMMON: &[u32] = &[425, 426, 427, 428, 429, 430, 431, 432, 433, 442];

#[cfg(target_arch = "x86_64")]
const TABLES: &[Table] = &[
    Table {
        arch: AUDIT_ARCH_X86_64,
        clone: 56,
        clone3: 435,
        foreign: Some(0x4000_0000),
        // uselib ustat sysfs vhangup pivot_root _sysctl acct settimeofday mount umount2 swapon swapoff reboot sethostname? (kept) iopl
        // ioperm create_module init_module delete_module get_kernel_syms query_module quotactl nfsservctl lookup_dcookie
        // clock_settime mbind set_mempolicy get_mempolicy kexec_load add_key request_key keyctl migrate_pages unshare move_pages
        // perf_event_open fanotify_init name_to_handle_at open_by_handle_at clock_adjtime setns kcmp finit_module kexec_file_load bpf
        // userfaultfd adjtimex syslog
        denied: &[
            134, 136, 139, 153, 155, 156, 163, 164, 165, 166, 167, 168, 169, 172, 173, 174, 175, 176, 177, 178, 179,
            180, 212, 227, 237, 238, 239, 246, 248, 249, 250, 256, 272, 279, 298, 300, 303, 304, 305, 308, 312, 313,
            320, 321, 323, 103,
        ],
    },
    Table {
        arch: AUDIT_ARCH_I386,
        clone: 120,
        clone3: 435,
        foreign: None,
        denied: &[
            21, 22, 25, 51, 52, 62, 79, 86, 87, 88, 101, 103, 110, 111, 113, 115, 127, 128, 129, 130, 131, 135, 149,
            166, 167, 169, 217, 253, 264, 274, 275, 276, 283, 286, 287, 288, 294, 310, 317, 336, 338, 341, 342, 343,
            346, 349, 350, 357, 374,
        ],
    },
];

#[cfg(target_arch = "aarch64")]
const TABLES: &[Table] = &[
    Table {
        arch: AUDIT_ARCH_AARCH64,
        clone: 220,
        clone3: 435,
        foreign: None,
        denied: &[
            18, 39, 40, 41, 42, 58, 60, 89, 97, 104, 105, 106, 112, 116, 142, 170, 171, 217, 218, 219, 224, 225, 235,
            236, 237, 238, 239, 241, 262, 264, 265, 266, 268, 272, 273, 280, 282, 294,
        ],
    },
    Table {
        arch: AUDIT_ARCH_ARM,
        clone: 120,
        clone3: 435,
        foreign: None,
        denied: &[
            21, 51, 52, 79, 86, 87, 88, 103, 111, 115, 128, 129, 131, 218, 262, 309, 310, 311, 319, 320, 321, 337, 344,
            347, 364, 367, 370, 371, 372, 375, 378, 379, 386, 388, 401,
        ],
    },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const TABLES: &[Table] = &[];

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`: the call's number, the architecture, the low half of the first argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn program(tables: &[Table]) -> Vec<libc::sock_filter> {
    let deny = |errno: i32| op(RETURN, 0, 0, ERRNO | errno.unsigned_abs());
    let mut program = vec![op(LOAD, 0, 0, ARCH)];
    for table in tables {
        let mut block = vec![op(LOAD, 0, 0, NUMBER)];
        if let Some(bit) = table.foreign {
            block.extend([op(JUMP_SET, 0, 1, bit), deny(libc::ENOSYS)]);
        }
        block.extend([op(JUMP_EQUAL, 0, 1, table.clone3), deny(libc::ENOSYS)]);
        for number in table.denied.iter().chain(COMMON) {
            block.extend([op(JUMP_EQUAL, 0, 1, *number), deny(libc::EPERM)]);
        }
        block.extend([op(JUMP_EQUAL, 0, 3, table.clone), op(LOAD, 0, 0, FIRST_ARGUMENT)]);
        block.extend([op(JUMP_SET, 0, 1, CLONE_NAMESPACES), deny(libc::EPERM), op(RETURN, 0, 0, ALLOW)]);
        // A conditional jump reaches 255 instructions; the block is shorter (a test says so).
        program.push(op(JUMP_EQUAL, 0, u8::try_from(block.len()).unwrap_or(u8::MAX), table.arch));
        program.extend(block);
    }
    // An architecture that is none of this machine's.
    program.push(op(RETURN, 0, 0, KILL));
    program
}

/// Filters the system calls of this thread and of all that come from it. Nothing is filtered on a machine for which there is no table.
pub(crate) fn install() -> io::Result<()> {
    if TABLES.is_empty() {
        return Ok(());
    }
    let mut program = program(TABLES);
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the structure points to `program`, which lives through the call; the kernel copies it and checks it.
    #[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper that leaves no_new_privs alone")]
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &filter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_lands_inside_and_every_block_is_short_enough() {
        let program = program(TABLES);
        for (n, op) in program.iter().enumerate() {
            if op.code == JUMP_EQUAL || op.code == JUMP_SET {
                assert!(n + 1 + usize::from(op.jt.max(op.jf)) < program.len());
            }
        }
        for table in TABLES {
            assert!((table.denied.len() + COMMON.len()) * 2 + 12 < 255);
        }
    }
}
