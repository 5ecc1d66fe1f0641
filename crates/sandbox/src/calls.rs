//! The system calls that Docker's default profile refuses to a container with its default capabilities (moby
//! `profiles/seccomp/default.go`), by their numbers. The profile is a list of what is allowed; of the calls that Linux has, this is
//! the rest.

/// A call's number on x86_64, on 32-bit x86, in the table that all newer architectures share, and on 32-bit ARM.
pub(crate) type Row = (&'static str, u32, u32, u32, u32);

/// It does not exist there.
pub(crate) const NONE: u32 = u32::MAX;

/// The last call that is judged. What is newer does not exist, so that C libraries fall back to what does.
pub(crate) const LAST: u32 = 466; // removexattrat, Linux 6.13

pub(crate) const DENIED: &[Row] = &[
    ("_sysctl", 156, 149, NONE, 149),
    ("acct", 163, 51, 89, 51),
    ("add_key", 248, 286, 217, 309),
    ("bpf", 321, 357, 280, 386),
    ("clock_adjtime", 305, 343, 266, 372),
    ("clock_adjtime64", NONE, 405, NONE, 405),
    ("clock_settime", 227, 264, 112, 262),
    ("clock_settime64", NONE, 404, NONE, 404),
    ("create_module", 174, 127, NONE, NONE),
    ("delete_module", 176, 129, 106, 129),
    ("fanotify_init", 300, 338, 262, 367),
    ("finit_module", 313, 350, 273, 379),
    ("fsconfig", 431, 431, 431, 431),
    ("fsmount", 432, 432, 432, 432),
    ("fsopen", 430, 430, 430, 430),
    ("fspick", 433, 433, 433, 433),
    ("get_kernel_syms", 177, 130, NONE, NONE),
    ("get_mempolicy", 239, 275, 236, 320),
    ("init_module", 175, 128, 105, 128),
    ("io_uring_enter", 426, 426, 426, 426),
    ("io_uring_register", 427, 427, 427, 427),
    ("io_uring_setup", 425, 425, 425, 425),
    ("ioperm", 173, 101, NONE, NONE),
    ("iopl", 172, 110, NONE, NONE),
    ("kexec_file_load", 320, NONE, 294, 401),
    ("kexec_load", 246, 283, 104, 347),
    ("keyctl", 250, 288, 219, 311),
    ("lookup_dcookie", 212, 253, 18, 249),
    ("mbind", 237, 274, 235, 319),
    ("migrate_pages", 256, 294, 238, 400),
    ("mount", 165, 21, 40, 21),
    ("mount_setattr", 442, 442, 442, 442),
    ("move_mount", 429, 429, 429, 429),
    ("move_pages", 279, 317, 239, 344),
    ("nfsservctl", 180, 169, 42, 169),
    ("open_by_handle_at", 304, 342, 265, 371),
    ("open_tree", 428, 428, 428, 428),
    ("perf_event_open", 298, 336, 241, 364),
    ("pivot_root", 155, 217, 41, 218),
    ("query_module", 178, 167, NONE, NONE),
    ("quotactl", 179, 131, 60, 131),
    ("quotactl_fd", 443, 443, 443, 443),
    ("reboot", 169, 88, 142, 88),
    ("request_key", 249, 287, 218, 310),
    ("set_mempolicy", 238, 276, 237, 321),
    ("set_mempolicy_home_node", 450, 450, 450, 450),
    ("setdomainname", 171, 121, 162, 121),
    ("sethostname", 170, 74, 161, 74),
    ("setns", 308, 346, 268, 375),
    ("settimeofday", 164, 79, 170, 79),
    ("stime", NONE, 25, NONE, NONE),
    ("swapoff", 168, 115, 225, 115),
    ("swapon", 167, 87, 224, 87),
    ("sysfs", 139, 135, NONE, 135),
    ("syslog", 103, 103, 116, 103),
    ("umount", NONE, 22, NONE, NONE),
    ("umount2", 166, 52, 39, 52),
    ("unshare", 272, 310, 97, 337),
    ("uselib", 134, 86, NONE, 86),
    ("userfaultfd", 323, 374, 282, 388),
    ("ustat", 136, 62, NONE, 62),
    ("vhangup", 153, 111, 58, 111),
    ("vm86", NONE, 166, NONE, NONE),
    ("vm86old", NONE, 113, NONE, NONE),
];

/// Allowed, but for some values of the first argument.
pub(crate) const CLONE: Row = ("clone", 56, 120, 220, 120);
pub(crate) const PERSONALITY: Row = ("personality", 135, 136, 92, 136);
pub(crate) const SOCKET: Row = ("socket", 41, 359, 198, 281);
/// Its flags lie in memory, which a filter cannot see.
pub(crate) const CLONE3: Row = ("clone3", 435, 435, 435, 435);
