//! `registry serve`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::util::{archipel, get};

struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(archipel: &archipel_testkit::Archipel) -> Self {
        let mut child = archipel
            .command(["registry", "serve", "--listen", "127.0.0.1:0", "--root", "registry"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_line_is_the_address_and_sigterm_ends_it_well() {
    let archipel = archipel();
    let mut served = Served::start(&archipel);
    let answer = get(&served.address, "/v2/");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let pid = rustix::process::Pid::from_child(&served.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let archipel = archipel();
    let served = Served::start(&archipel);
    let finished = archipel.run(["registry", "serve", "--listen", &served.address, "--root", "other"]);
    let told = finished.fails(1);
    assert!(told.contains(&served.address), "{told}");
}
