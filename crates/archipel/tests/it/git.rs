//! Repositories as a source, by ssh.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use archipel_testkit::requires;

use crate::util::archipel;

/// A client whose server is this machine. As sshd it does not let in who has no agent.
const SSH: &str = r#"#!/bin/sh
echo "$*" >> "$SSH_LOG"
[ -n "$SSH_AUTH_SOCK" ] || { echo "git@h.example: Permission denied (publickey)." >&2; exit 255; }
for command; do :; done
exec sh -c "$command"
"#;

fn repository(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("file"), "by ssh\n").unwrap();
    let identity = ["-c", "user.name=n", "-c", "user.email=e@h.example"];
    for arguments in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "First"]] {
        let mut git = Command::new("git");
        git.args(identity).args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.status().unwrap().success());
    }
}

#[test]
fn needs_userns_a_repository_by_ssh_is_had_with_the_keys_that_the_build_is_given() {
    requires!(userns);
    let archipel = archipel();
    let home = archipel.home.path();
    repository(&home.join("r"));
    let (programs, log) = (home.join("programs"), home.join("ssh.log"));
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("ssh"), SSH).unwrap();
    fs::set_permissions(programs.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let url = format!("git@h.example:{}", home.join("r").display());
    archipel.home.context("c", [("Dockerfile", format!("FROM scratch\nADD --chmod=go= {url} /r\n"))]);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let build = |more: &[&str]| {
        let out = format!("--output={}", home.join("out").display());
        let mut command = archipel.command(["build", "--progress=plain", &out, "c"].iter().chain(more));
        // What the person has is not the build's.
        command.env("PATH", &path).env("SSH_LOG", &log).env("SSH_AUTH_SOCK", "/nowhere").output().unwrap()
    };

    let refused = build(&[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--ssh default[=KEYFILE]"), "{told}");

    let key = home.join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let done = build(&["--ssh", &format!("default={}", key.display())]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(fs::read_to_string(home.join("out/r/file")).unwrap(), "by ssh\n");
    // The repository's own folder is copied as well as what is in it.
    assert_eq!(fs::metadata(home.join("out/r")).unwrap().permissions().mode() & 0o777, 0o700);
    let calls = fs::read_to_string(log).unwrap();
    assert!(calls.contains("-F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new"), "{calls}");
}
