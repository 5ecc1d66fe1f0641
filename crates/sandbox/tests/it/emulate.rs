//! Programs of other processors.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use archipel_sandbox::emulation::{Emulation, Support};
use archipel_sandbox::{Exit, Request};

use crate::Test;
use crate::rig::{self, Rig};

pub(crate) const TESTS: &[Test] = &[
    ("needs_qemu_foreign_programs_run", foreign),
    ("needs_userns_programs_of_32_bits", narrow),
    ("needs_userns_set_up_twice", twice),
];

fn run(architecture: &str) {
    let rig = Rig::inside();
    rig.file("lower/program", crate::elf::program(architecture));
    fs::set_permissions(rig.path("lower/program"), fs::Permissions::from_mode(0o755)).unwrap();
    let (exit, out, err) = rig::run(&Request { argv: vec!["/program".into()], ..rig.request(&[]) }).unwrap();
    assert_eq!((exit, out.as_str()), (Exit::Code(7), "hello\n"), "{architecture}: {err}");
    // As an ordinary user of the image, and by name.
    let argv = vec!["program".into()];
    let env = vec![("PATH".into(), "/".into())];
    let request = Request { argv, env, user: "0:0".into(), ..rig.request(&[]) };
    assert_eq!(rig::run(&request).unwrap().0, Exit::Code(7));
}

fn foreign() {
    rig::enter();
    let emulation = Emulation::set_up(&[]).unwrap();
    for architecture in ["arm64", "arm", "riscv64"] {
        match emulation.support(architecture, None) {
            Support::Missing { remedy } => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{architecture}: {remedy}");
                eprintln!("skipped: {architecture}: {remedy}");
            }
            _ => run(architecture),
        }
    }
    assert!(matches!(emulation.support("pdp11", None), Support::Missing { .. }));
}

fn narrow() {
    rig::enter();
    let emulation = Emulation::set_up(&[]).unwrap();
    if cfg!(target_arch = "x86_64") && emulation.support("386", None) == Support::Native {
        run("386");
    }
}

fn twice() {
    rig::enter();
    let first = Emulation::set_up(&[]).unwrap();
    let second = Emulation::set_up(&[]).unwrap();
    assert_eq!(first.support("arm64", None), second.support("arm64", None));
}
