//! What files of `bake` may ask for: their own folder, and what RUN steps usually may. For more the command line has to say so
//! (`--allow`), for whoever builds may not know the files.

use std::path::{Path, PathBuf};

use archipel_bake::{Bake, Entry, Target, clean, is_remote};

use super::bake::{dockerfile_path, text_of};
use super::csv::boolean;
use super::value;
use crate::environment::Environment;
use crate::errors::Error;

/// Refuses what is asked for and not allowed. What `--set` says is allowed by being said: only what is in `unchanged` too is the
/// files' own wish.
pub(crate) fn check(bake: &Bake, unchanged: &Bake, allow: &[String], environment: &Environment) -> Result<(), Error> {
    let mut allowed = Allowed::default();
    for text in allow {
        allowed.add(text)?;
    }
    if text_of(environment, "BUILDX_BAKE_ENTITLEMENTS_FS").and_then(|text| boolean(&text)) == Some(false) {
        allowed.add("fs=*")?;
        allowed.agent = true;
    }
    let here = std::path::absolute(".").map_err(Error::io("the working folder"))?;
    allowed.read.push(real(&here));
    allowed.write.push(real(&here));
    let mut missing: Vec<String> = Vec::new();
    for (name, target) in &bake.targets {
        let Some(own) = unchanged.targets.get(name).map(wishes) else { continue };
        let ungranted = |wish: &Wish| own.contains(wish) && !allowed.grants(wish);
        missing.extend(wishes(target).iter().filter(|wish| ungranted(wish)).map(Wish::text));
    }
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let flags: Vec<String> = missing.iter().map(|what| format!("--allow={what}")).collect();
    Err(Error::Usage(format!("the definition asks for more than is given; if that is meant, add {}", flags.join(" "))))
}

/// One thing beyond the usual.
#[derive(PartialEq, Eq)]
enum Wish {
    Entitlement(String),
    Read(String),
    Write(String),
    /// The agent that runs here.
    Agent,
}

impl Wish {
    fn text(&self) -> String {
        match self {
            Self::Entitlement(text) => text.clone(),
            Self::Read(path) => format!("fs.read={path}"),
            Self::Write(path) => format!("fs.write={path}"),
            Self::Agent => "ssh".into(),
        }
    }
}

fn wishes(target: &Target) -> Vec<Wish> {
    let local = |text: &str| {
        let bare = text.strip_prefix("cwd://").unwrap_or(text);
        let elsewhere = is_remote(bare) || bare.starts_with("target:") || bare.starts_with("docker-image:");
        (!elsewhere).then(|| Wish::Read(bare.strip_prefix("oci-layout://").unwrap_or(bare).to_owned()))
    };
    let fields = |entries: &Option<Vec<Entry>>, key: &str| -> Vec<String> {
        entries.iter().flatten().filter_map(|entry| entry.get(key)).map(str::to_owned).collect()
    };
    let mut all: Vec<Wish> = target.entitlements.iter().flatten().cloned().map(Wish::Entitlement).collect();
    all.extend(target.context.iter().chain(target.contexts.values()).filter_map(|text| local(text)));
    if let (Some(context), Some(dockerfile), None) = (&target.context, &target.dockerfile, &target.dockerfile_inline)
        && !is_remote(context)
    {
        all.extend(local(&dockerfile_path(context, dockerfile)));
    }
    all.extend(fields(&target.secret, "src").into_iter().map(Wish::Read));
    all.extend(fields(&target.cache_from, "src").into_iter().map(Wish::Read));
    all.extend(fields(&target.cache_to, "dest").into_iter().map(Wish::Write));
    all.extend(fields(&target.output, "dest").into_iter().filter(|path| path != "-").map(Wish::Write));
    for ssh in target.ssh.iter().flatten() {
        match ssh.paths.is_empty() {
            true => all.push(Wish::Agent),
            false => all.extend(ssh.paths.iter().cloned().map(Wish::Read)),
        }
    }
    all
}

/// What `--allow` gives.
#[derive(Default)]
struct Allowed {
    entitlements: Vec<String>,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    agent: bool,
}

impl Allowed {
    fn add(&mut self, text: &str) -> Result<(), Error> {
        let path = |path: &str| if path == "*" { PathBuf::from("/") } else { real(Path::new(path)) };
        match text.split_once('=') {
            Some(("fs.read", value)) => self.read.push(path(value)),
            Some(("fs.write", value)) => self.write.push(path(value)),
            Some(("fs", value)) => {
                self.read.push(path(value));
                self.write.push(path(value));
            }
            None if text == "ssh" => self.agent = true,
            // Outputs of `mode=delete` have limits of their own here.
            None if text == "buildx.local.delete" => {}
            _ => {
                let known = value::entitlements(text).map_err(|e| Error::Usage(format!("--allow {text}: {e}")))?;
                self.entitlements.extend(known.0);
            }
        }
        Ok(())
    }

    fn grants(&self, wish: &Wish) -> bool {
        let within = |folders: &[PathBuf], path: &str| {
            let path = real(Path::new(path));
            folders.iter().any(|folder| path.starts_with(folder))
        };
        match wish {
            Wish::Entitlement(what) => {
                let granted = |own: &String| own == what || (own == "device" && what.starts_with("device="));
                self.entitlements.iter().any(granted)
            }
            Wish::Read(path) => within(&self.read, path),
            Wish::Write(path) => within(&self.write, path),
            Wish::Agent => self.agent,
        }
    }
}

/// Where a path leads, links followed as far as there is anything. A `..` is what the system takes it for, so links come first.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut there = whole.as_path();
    loop {
        if let Ok(real) = there.canonicalize() {
            let rest = whole.strip_prefix(there).unwrap_or(Path::new(""));
            return clean(&real.join(rest).display().to_string()).into();
        }
        match there.parent() {
            Some(parent) => there = parent,
            None => return whole,
        }
    }
}
