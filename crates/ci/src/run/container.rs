//! A job's container: what is mounted where, and with what its processes start.
//!
//! Our own program is in it three times: as `archipel`, as `docker` in `/usr/local/bin`, and over every `docker` that the image has on
//! its path. It works in a store that the jobs of one work tree share, so that what is built in one job is there for the next.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use archipel_build::{ContainerRoot, Engine};
use archipel_oci::Digest;
use archipel_sandbox::{self as sandbox, Mount};

use super::request::Request;
use crate::job::Image;
use crate::script;
use crate::variable::Values;

/// Where a job has what belongs to us.
pub(super) const OURS: &str = "/run/archipel";

/// Where our program looks for QEMU, which no image of a job has.
const EMULATORS: &str = "/usr/libexec/qemu-binfmt";

/// Files of trusted certificates, where the usual programs look for them: Debian, Alpine and what is made of them; Red Hat's only
/// where the image has it.
const CERTIFICATES: &[(&str, bool)] = &[
    ("/etc/ssl/certs/ca-certificates.crt", true),
    ("/etc/ssl/cert.pem", true),
    ("/etc/pki/tls/certs/ca-bundle.crt", false),
];

/// The largest such file that is read; real ones have some hundred kilobytes.
const MAX_CERTIFICATES: u64 = 16 << 20;

/// The longest value that a process can start with: the kernel takes 128 KiB for name and value. Scripts export all of them anyway.
const MAX_VALUE: usize = 100 << 10;

/// What a process of a job's container starts with. The caller adds what it is about.
pub(super) fn request(
    root: &ContainerRoot,
    image: &Image,
    values: &Values,
    asked: &Request,
    hostname: &str,
) -> sandbox::Request {
    sandbox::Request {
        rootfs: root.rootfs(),
        argv: entrypoint(root, image),
        env: environment(root, values, hostname),
        user: image.user.clone().unwrap_or_else(|| root.config().config.user.clone()),
        hostname: hostname.to_owned(),
        extra_hosts: asked.add_hosts.clone(),
        ..sandbox::Request::default()
    }
}

/// The image's variables and the job's over them.
fn environment(root: &ContainerRoot, values: &Values, hostname: &str) -> Vec<(String, String)> {
    let mut env = root.environment(hostname);
    let fits = |name: &str, value: &str| script::is_name(name) && value.len() < MAX_VALUE && !value.contains('\0');
    for (name, value) in values.iter().filter(|(name, value)| fits(name, value)) {
        match env.iter_mut().find(|(known, _)| known == name) {
            Some(known) => value.clone_into(&mut known.1),
            None => env.push((name.to_owned(), value.to_owned())),
        }
    }
    env
}

/// The file's entry point, else the image's; `[""]` is none.
fn entrypoint(root: &ContainerRoot, image: &Image) -> Vec<String> {
    let mut words = image.entrypoint.clone().or_else(|| root.config().config.entrypoint.clone()).unwrap_or_default();
    words.retain(|word| !word.is_empty());
    words
}

/// What a service runs: its entry point, and the command of the file or the image.
pub(super) fn service_command(root: &ContainerRoot, image: &Image, command: Option<&Vec<String>>) -> Vec<String> {
    let mut words = entrypoint(root, image);
    // An entry point of the file's replaces the image's command too, which was meant for the other one.
    let default = if image.entrypoint.is_none() { root.config().config.cmd.as_ref() } else { None };
    words.extend(command.or(default).into_iter().flatten().cloned());
    words
}

/// Our program, store, configuration, emulators and certificates in a job; and the variables that say where they are.
pub(super) fn ours(
    root: &ContainerRoot,
    asked: &Request,
    engine: &Engine,
    env: &mut Vec<(String, String)>,
) -> Result<Vec<Mount>, archipel_build::Error> {
    let bind =
        |source: &Path, target: String, read_only: bool| Mount::Bind { source: source.into(), target, read_only };
    let store = format!("{OURS}/store");
    let mut mounts = vec![bind(&own_store(asked)?, store.clone(), false)];
    env.push(("ARCHIPEL_STORE".into(), store));
    let (registries, variable) = asked.registries.mounts();
    mounts.extend(registries);
    env.extend(variable);
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone()).unwrap_or_default();
    for target in programs(root, &path) {
        mounts.push(bind(&asked.program, target, true));
    }
    for emulator in engine.emulators()? {
        let name = emulator.file_name().unwrap_or_default().to_string_lossy();
        mounts.push(bind(&emulator, format!("{EMULATORS}/{name}"), true));
    }
    if let Some(ca) = &asked.ca {
        mounts.extend(certificates(root, ca)?);
    }
    Ok(mounts)
}

/// The store of a work tree's jobs, made where it is missing. Not ours: whoever can write a store decides what the images in it are,
/// and these jobs may be anybody's. We never look into it.
fn own_store(asked: &Request) -> Result<PathBuf, archipel_build::Error> {
    let store = asked.stores.join(Digest::of(asked.worktree.as_os_str().as_bytes()).hex());
    let told = |source| archipel_build::Error::Io { what: store.display().to_string(), source };
    fs::create_dir_all(&store).map_err(told)?;
    Ok(store)
}

/// Where our program comes.
fn programs(root: &ContainerRoot, path: &str) -> Vec<String> {
    let mut found: Vec<String> = ["/usr/local/bin/archipel", "/usr/local/bin/docker"].map(str::to_owned).to_vec();
    let folders: Vec<&str> = path.split(':').filter(|folder| folder.starts_with('/')).collect();
    if let (Some(first), false) = (folders.first(), folders.contains(&"/usr/local/bin")) {
        found.push(format!("{}/docker", first.trim_end_matches('/')));
    }
    for folder in folders {
        // A link is followed here, for what it leads to is what runs.
        if let Some(real) = root.locate(&format!("{folder}/docker")).map(|real| real.to_string_lossy().into_owned())
            && !found.contains(&real)
        {
            found.push(real);
        }
    }
    found
}

/// The image's certificates with ours after them, at each place where they are looked for.
fn certificates(root: &ContainerRoot, ca: &[u8]) -> Result<Vec<Mount>, archipel_build::Error> {
    let mut mounts: Vec<Mount> = Vec::new();
    let mut of_image = None;
    for (path, always) in CERTIFICATES {
        let there = root.read(path, MAX_CERTIFICATES)?;
        if there.is_none() && !always {
            continue;
        }
        let target = root.locate(path).map_or_else(|| (*path).to_owned(), |real| real.to_string_lossy().into_owned());
        if mounts.iter().any(|mount| mount.target() == target) {
            continue;
        }
        if there.is_some() {
            of_image.clone_from(&there);
        }
        // Where the image has only one of the files, the other gets the same.
        let mut content = there.or_else(|| of_image.clone()).unwrap_or_default();
        if !content.is_empty() && !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        content.extend_from_slice(ca);
        mounts.push(Mount::File { target, content, mode: 0o644, uid: 0, gid: 0, read_only: false });
    }
    Ok(mounts)
}
