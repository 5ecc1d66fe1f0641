//! One process in a root filesystem, without root; emulation. The only crate with unsafe code.
