//! What root in a container may do: Docker's default set (moby `oci/caps/defaults.go`).

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

pub(crate) fn defaults() -> CapabilitySet {
    CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FSETID
        | CapabilitySet::FOWNER
        | CapabilitySet::MKNOD
        | CapabilitySet::NET_RAW
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::SETFCAP
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::KILL
        | CapabilitySet::AUDIT_WRITE
}

/// In a chroot the right to leave it stays behind.
pub(crate) fn of_chroot() -> Result<CapabilitySet, Errno> {
    Ok(defaults().difference(CapabilitySet::SYS_CHROOT).intersection(capabilities(None)?.permitted))
}

/// Takes everything else out of the bounding set, so that no program can get it back.
pub(crate) fn bound(kept: CapabilitySet) -> Result<(), Errno> {
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if kept.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::INVAL) => break, // past the last that this kernel knows
            Err(e) => return Err(e),
        }
    }
    clear_ambient_capability_set()
}

/// Gives root these and nothing more. For another user the kernel has taken everything away with the change of ids.
pub(crate) fn limit(kept: CapabilitySet) -> Result<(), Errno> {
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })
}
