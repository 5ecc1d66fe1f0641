//! Packages of the machine's own Debian release for any architecture, without touching the machine's apt: lists, state,
//! caches and configuration lie in a folder of ours; only the sources and their keys are the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// An apt of our own.
#[derive(Debug)]
pub(crate) struct Apt {
    config: PathBuf,
    debs: PathBuf,
}

impl Apt {
    /// Sets it up below `dir` for some architectures, and reads the package lists.
    pub(crate) fn new(dir: &Path, architectures: &[&str]) -> Result<Self> {
        let debs = dir.join("debs");
        for sub in ["state/lists/partial", "cache/archives/partial", "empty", "debs"] {
            fs::create_dir_all(dir.join(sub)).with_context(|| format!("{}", dir.join(sub).display()))?;
        }
        let status = dir.join("status");
        fs::write(&status, "")?;
        // Hooks of the machine (`APT::Update::Post-Invoke`) must not run, so its configuration is not read; but how it
        // reaches the mirrors (proxies, time-outs, clocks) is kept.
        let mut config: String = output(Command::new("apt-config").arg("dump"))?
            .lines()
            .filter(|line| line.starts_with("Acquire::") && !line.starts_with("Acquire::IndexTargets"))
            .map(|line| format!("{line}\n"))
            .collect();
        let archs: String = architectures.iter().map(|a| format!("\"{a}\"; ")).collect();
        config.push_str(&format!(
            "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"{0}/empty\";\nDir::State \"{0}/state\";\n\
             Dir::State::status \"{1}\";\nDir::Cache \"{0}/cache\";\nAPT::Architecture \"{2}\";\n\
             APT::Architectures {{ {archs}}};\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n",
            dir.display(),
            status.display(),
            architectures.first().context("no architecture")?,
        ));
        let apt = Self { config: dir.join("apt.conf"), debs };
        fs::write(&apt.config, config)?;
        // A source that is out of step for one architecture (a mirror being synchronised, a foreign source without it) is
        // no reason to stop: what is really missing shows when it is downloaded.
        let update = apt.command("apt-get").args(["-q", "update"]).output().context("apt-get")?;
        if !update.status.success() {
            let text = String::from_utf8_lossy(&update.stderr);
            eprintln!("apt-get update: {}", text.lines().next().unwrap_or_default());
        }
        Ok(apt)
    }

    /// The packages that a package depends on, by name.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = output(self.command("apt-cache").args(["depends", package]))?;
        Ok(text.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }

    /// Downloads a package (`name:architecture`) and returns its file, whose name tells the version.
    pub(crate) fn download(&self, package: &str) -> Result<PathBuf> {
        let text = output(self.command("apt-get").args(["download", "--print-uris", package]))?;
        // 'URI' FILE SIZE HASH
        let file = text.split_whitespace().nth(1).with_context(|| format!("no package {package}"))?;
        let path = self.debs.join(file);
        if !path.exists() {
            println!("downloading {file}");
            output(self.command("apt-get").args(["-q", "download", package]).current_dir(&self.debs))?;
        }
        Ok(path)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }
}

/// Unpacks a package. Its maintainer scripts do not run.
pub(crate) fn unpack(deb: &Path, dir: &Path) -> Result<()> {
    output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(dir)).map(drop)
}

/// Runs a command and returns what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().with_context(|| name.clone())?;
    if !done.status.success() {
        bail!("{name}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    String::from_utf8(done.stdout).with_context(|| format!("{name}: output is not text"))
}
