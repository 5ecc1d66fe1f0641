//! The sandbox, tried for real: each test is a process of its own that enters a user namespace and runs busybox from the base
//! images in it. The harness below does what nextest asks of one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::exit,
    reason = "this is a test harness of our own"
)]

mod cases;

fn main() {
    archipel_sandbox::stage::dispatch();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--list") {
        if !args.iter().any(|a| a == "--ignored") {
            for (name, _) in cases::ALL {
                println!("{name}: test");
            }
        }
        return;
    }
    let wanted: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let all: Vec<_> =
        cases::ALL.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)).collect();
    if let [(_, case)] = all.as_slice() {
        return case();
    }
    // Under plain `cargo test`: a process for each.
    for (name, _) in &all {
        let status = std::process::Command::new("/proc/self/exe").arg(name).status().expect("this program runs");
        println!("test {name} ... {}", if status.success() { "ok" } else { "FAILED" });
        if !status.success() {
            std::process::exit(1);
        }
    }
    println!("test result: ok. {} passed; 0 failed", all.len());
}
