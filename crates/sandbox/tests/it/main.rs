//! The sandbox as its callers use it: by processes of their own, for a namespace is entered once in a process's life.
//!
//! So this binary has its own harness: every test runs in a fresh process of one thread, which is this binary again. It is static,
//! and therefore also the program that runs inside the root file systems ([`inside`]): no image is needed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::exit,
    reason = "tests, with a harness of their own, which clippy does not take for tests"
)]

mod busybox;
mod confine;
mod elf;
mod emulate;
mod inside;
mod lifetime;
mod rig;
mod run;

use std::process::{Command, ExitCode, Stdio};

type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[run::TESTS, confine::TESTS, lifetime::TESTS, emulate::TESTS, busybox::TESTS];

fn main() -> ExitCode {
    archipel_sandbox::stage::dispatch();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "inside") {
        return inside::act(&args[1..]);
    }
    if args.first().is_some_and(|arg| arg == "parent") {
        return lifetime::parent();
    }
    // What cargo and nextest ask of a test binary.
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let ignored = has("--ignored");
    let mut wanted = args.iter().filter(|arg| !arg.starts_with("--") && *arg != "terse" && *arg != "pretty");
    let wanted = wanted.next();
    let chosen = TESTS.iter().copied().flatten().filter(|(name, _)| {
        !ignored
            && wanted.is_none_or(|wanted| if has("--exact") { name == wanted } else { name.contains(wanted.as_str()) })
    });
    if has("--list") {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if let (true, Some(name)) = (has("--exact"), wanted) {
        return match chosen.into_iter().next() {
            Some((_, test)) => {
                test();
                ExitCode::SUCCESS
            }
            None => {
                eprintln!("no test {name}");
                ExitCode::FAILURE
            }
        };
    }
    let mut failed = 0;
    for (name, _) in chosen {
        let mut command = Command::new("/proc/self/exe");
        let output = command.args([name, "--exact"]).stdin(Stdio::null()).output().expect("this binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let result = if output.status.success() { "ok" } else { "FAILED" };
        println!("test {name} ... {result}");
        if !output.status.success() || said.contains("skipped") {
            println!("{said}");
        }
        failed += usize::from(!output.status.success());
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
