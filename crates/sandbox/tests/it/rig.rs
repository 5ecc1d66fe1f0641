//! A root file system to run in, and what came of it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use archipel_sandbox::{Error, Exit, Request, Rootfs, spawn, userns};

/// A lower layer with this test binary as `/t`, and an empty upper one.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
}

/// Enters the namespace; ends the test where that is not given, and says why.
pub(crate) fn enter() -> userns::Entered {
    match userns::enter() {
        Ok(entered) => entered,
        Err(e) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "this machine cannot run the test: {e}");
            eprintln!("skipped: {e}");
            std::process::exit(0);
        }
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        enter();
        Self::inside()
    }

    /// For a process that is in the namespace already.
    pub(crate) fn inside() -> Self {
        let dir = tempfile::Builder::new().prefix("sandbox-test-").tempdir().unwrap();
        let rig = Self { dir };
        for sub in ["lower", "upper", "work"] {
            fs::create_dir(rig.path(sub)).unwrap();
            fs::set_permissions(rig.path(sub), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy("/proc/self/exe", rig.path("lower/t")).unwrap();
        rig
    }

    pub(crate) fn path(&self, sub: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(sub)
    }

    pub(crate) fn file(&self, sub: &str, content: impl AsRef<[u8]>) {
        let path = self.path(sub);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A request that has this binary act inside.
    pub(crate) fn request(&self, action: &[&str]) -> Request {
        let mut argv = vec!["/t".to_owned(), "inside".into()];
        argv.extend(action.iter().map(|s| (*s).to_owned()));
        Request {
            rootfs: Rootfs::Overlay {
                lower: vec![self.path("lower")],
                upper: self.path("upper"),
                work: self.path("work"),
            },
            argv,
            hostname: "sandbox".into(),
            ..Request::default()
        }
    }

    /// Runs an action; it must succeed. Returns what it printed.
    pub(crate) fn ok(&self, action: &[&str]) -> String {
        ok(&self.request(action))
    }

    /// The names in the upper layer, below its root.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut names = Vec::new();
        list(&self.path("upper"), &self.path("upper"), &mut names);
        names.sort();
        names
    }
}

fn list(root: &Path, dir: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() && !path.is_symlink() {
            list(root, &path, names);
        }
    }
}

/// Runs a request: how it ended, what it printed and complained of.
pub(crate) fn run(request: &Request) -> Result<(Exit, String, String), Error> {
    let mut running = spawn(request, Stdio::null(), Stdio::piped(), Stdio::piped())?;
    let (mut out, mut err) = (String::new(), String::new());
    running.take_stdout().unwrap().read_to_string(&mut out).unwrap();
    running.take_stderr().unwrap().read_to_string(&mut err).unwrap();
    Ok((running.wait()?, out, err))
}

#[track_caller]
pub(crate) fn ok(request: &Request) -> String {
    let (exit, out, err) = run(request).unwrap();
    assert_eq!(exit, Exit::Code(0), "{out}{err}");
    out
}
