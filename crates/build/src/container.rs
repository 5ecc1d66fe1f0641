//! `docker run`: a command in a container of an image. What it changes is thrown away when it ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use archipel_oci::{Digest, ImageConfig, Platform, Reference};
use archipel_sandbox as sandbox;
use archipel_store::{Draft, SnapshotId};
use rustix::process::Signal;
use sandbox::emulation::Support;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::warn;
use crate::exec::blocking;
use crate::image::{BaseImage, runs};
use crate::pull::Pull;
use crate::steps::Steps;
use crate::tree::View;
use crate::{Engine, Error, Sink};

/// Where programs are looked up in an image that does not say (docker's).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// After so many requests to end, the container is killed (docker's).
const PATIENCE: u32 = 3;

/// A container to be.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The image.
    pub image: Reference,
    /// The platform, where the person said one.
    pub platform: Option<Platform>,
    /// When the registry is asked.
    pub pull: PullPolicy,
    /// The command, instead of the image's.
    pub command: Vec<String>,
    /// The program to start, instead of the image's; empty for none.
    pub entrypoint: Option<String>,
    /// Variables, over the image's.
    pub env: Vec<(String, String)>,
    /// The folder to start in, instead of the image's.
    pub workdir: Option<String>,
    /// `USER[:GROUP]`, instead of the image's.
    pub user: Option<String>,
    /// Files and folders of this machine.
    pub volumes: Vec<Volume>,
    /// Empty folders in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// `none` is a loopback device alone; everything else is the machine's network.
    pub network: Option<String>,
    /// Its host name, instead of a random one.
    pub hostname: Option<String>,
    /// Lines for `/etc/hosts`: name and address.
    pub add_hosts: Vec<(String, String)>,
    /// Standard input is a terminal, and the command's own.
    pub terminal: bool,
    /// The image's files cannot be changed.
    pub read_only: bool,
    /// All capabilities that this user has.
    pub privileged: bool,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
    /// Name, soft and hard limit.
    pub ulimits: Vec<(String, u64, u64)>,
}

impl RunRequest {
    /// The image's own command, as it is meant to run.
    #[must_use]
    pub fn new(image: Reference) -> Self {
        Self {
            image,
            platform: None,
            pull: PullPolicy::Missing,
            command: Vec::new(),
            entrypoint: None,
            env: Vec::new(),
            workdir: None,
            user: None,
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            network: None,
            hostname: None,
            add_hosts: Vec::new(),
            terminal: false,
            read_only: false,
            privileged: false,
            shm_size: None,
            ulimits: Vec::new(),
        }
    }
}

/// When `run` asks the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Where the store has no such image.
    #[default]
    Missing,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A file or folder of this machine in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it is. A folder is made where there is nothing, as docker does.
    pub source: PathBuf,
    /// Where it comes.
    pub target: String,
    /// Whether the container can only read it.
    pub read_only: bool,
}

/// A folder in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it comes.
    pub target: String,
    /// Its bound in bytes.
    pub size: Option<u64>,
    /// Its mode; docker's default is 1777.
    pub mode: u32,
}

/// Standard input, output and error of a container.
#[derive(Debug)]
pub struct Streams {
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
}

impl Streams {
    /// This process's own, with or without standard input.
    #[must_use]
    pub fn inherit(stdin: bool) -> Self {
        let stdin = if stdin { Stdio::inherit() } else { Stdio::null() };
        Self { stdin, stdout: Stdio::inherit(), stderr: Stdio::inherit() }
    }
}

impl Engine {
    /// Runs a container to its end. `signals` are passed on to its command; before there is one, they end the call.
    ///
    /// A command that is not there or not executable is [`archipel_sandbox::Error::Exec`], with the status that a shell has
    /// for it; every other error is from before the command (docker's 125).
    pub async fn run(
        &self,
        request: &RunRequest,
        streams: Streams,
        mut signals: UnboundedReceiver<i32>,
        sink: &Sink,
    ) -> Result<sandbox::Exit, Error> {
        let prepared = tokio::select! {
            prepared = self.prepare(request, sink) => prepared?,
            Some(_) = signals.recv() => return Err(Error::Interrupted),
            () = self.cancel.cancelled() => return Err(Error::Interrupted),
        };
        let (image, snapshot) = prepared;
        let (engine, request) = (self.clone(), request.clone());
        let (started, killer) = tokio::sync::oneshot::channel();
        // One thread spawns and waits: the end of the thread would end the container.
        let running = tokio::task::spawn_blocking(move || {
            let draft = engine.store.draft(snapshot.as_ref())?;
            let mut held = Vec::new();
            let sandboxed = engine.sandboxed(&request, &image, snapshot.as_ref(), &draft, &mut held)?;
            let running = sandbox::spawn(&sandboxed, streams.stdin, streams.stdout, streams.stderr)?;
            // Nobody listens any more if the call was dropped, and then the process is about to end.
            let _ = started.send(running.killer()?);
            Ok::<_, Error>(running.wait()?)
        });
        let mut running = std::pin::pin!(running);
        let Ok(killer) = killer.await else { return joined(running.await) };
        let mut asked = 0;
        loop {
            tokio::select! {
                ended = &mut running => return joined(ended),
                () = self.cancel.cancelled() => {
                    killer.kill();
                    let _ = running.await;
                    return Err(Error::Interrupted);
                }
                Some(number) = signals.recv() => {
                    let Some(signal) = Signal::from_named_raw(number) else { continue };
                    asked += u32::from(matches!(signal, Signal::INT | Signal::TERM));
                    if asked >= PATIENCE { killer.kill() } else { killer.signal(signal) }
                }
            }
        }
    }

    pub(crate) async fn prepare(
        &self,
        request: &RunRequest,
        sink: &Sink,
    ) -> Result<(BaseImage, Option<SnapshotId>), Error> {
        // Fetching and unpacking are steps of one list.
        let steps = &Steps::default();
        let image = self.image_to_run(request, sink, steps).await?;
        let platform = &image.platform;
        let host = Platform::host();
        if request.platform.is_none() && host.same_architecture_distance(platform).is_none() {
            warn(
                sink,
                format!(
                    "The requested image's platform ({platform}) does not match the detected host platform ({host}) \
                     and no specific platform was requested"
                ),
            );
        }
        let (engine, wanted) = (self.clone(), platform.clone());
        let support = blocking(move || {
            let emulation = engine.emulation()?;
            Ok::<_, Error>(emulation.support(&wanted.architecture, wanted.variant.as_deref()))
        });
        if let Support::Missing { remedy } = support.await? {
            return Err(Error::Request(format!("this machine cannot run {platform} binaries; {remedy}")));
        }
        let snapshot = self.unpack(&image, sink, steps).await?;
        Ok((image, snapshot))
    }

    async fn image_to_run(&self, request: &RunRequest, sink: &Sink, steps: &Steps) -> Result<BaseImage, Error> {
        let platform = request.platform.clone().unwrap_or_else(Platform::host);
        match self.image_for(request, &platform, sink, steps).await {
            // Without a word of the person, what there is is what is meant; that it is foreign is told.
            Err(Error::NoPlatform(missing)) if request.platform.is_none() && !missing.available.is_empty() => {
                self.image_for(request, &missing.available[0], sink, steps).await
            }
            other => other,
        }
    }

    async fn image_for(
        &self,
        request: &RunRequest,
        platform: &Platform,
        sink: &Sink,
        steps: &Steps,
    ) -> Result<BaseImage, Error> {
        let reference = &request.image;
        let which = Pull::Only(vec![platform.clone()]);
        if request.pull == PullPolicy::Always {
            self.pull_among(reference, &which, sink, steps).await?;
        }
        if let Some(top) = self.local_top(reference).await? {
            match self.variant(reference, &top, platform).await {
                Ok(image) if request.platform.is_none() || runs(platform, &image.platform) => return Ok(image),
                Ok(_) | Err(Error::NoPlatform(_))
                    if request.pull == PullPolicy::Missing && request.platform.is_some() => {}
                Ok(image) => {
                    return Err(Error::no_platform(reference, platform, vec![image.platform]));
                }
                Err(e) => return Err(e),
            }
        } else if request.pull == PullPolicy::Never {
            return Err(Error::Request(format!("{} is not in the store, and may not be pulled", reference.familiar())));
        }
        self.pull_among(reference, &which, sink, steps).await?;
        let Some(top) = self.local_top(reference).await? else {
            return Err(Error::Request(format!("{} was removed while it was pulled", reference.familiar())));
        };
        let image = self.variant(reference, &top, platform).await?;
        if request.platform.is_some() && !runs(platform, &image.platform) {
            return Err(Error::no_platform(reference, platform, vec![image.platform]));
        }
        Ok(image)
    }

    fn sandboxed(
        &self,
        request: &RunRequest,
        image: &BaseImage,
        snapshot: Option<&SnapshotId>,
        draft: &Draft,
        held: &mut Vec<Box<dyn Send>>,
    ) -> Result<sandbox::Request, Error> {
        let mut mounts = Vec::new();
        if request.read_only {
            // What the image declares as volumes can be written to all the same.
            for target in image.config.config.volumes.keys() {
                mounts.push(self.volume(target, snapshot, held)?);
            }
        }
        for volume in &request.volumes {
            if !volume.source.exists() {
                let told = Error::io(format!("volume {}", volume.source.display()));
                std::fs::create_dir_all(&volume.source).map_err(told)?;
            }
            let (source, target, read_only) = (volume.source.clone(), volume.target.clone(), volume.read_only);
            // There it would be moved to the container and back: too much for what is not ours.
            if !read_only && sandbox::chroot::is_chosen() && (source.is_dir() || source.is_file()) {
                return Err(Error::Request(format!(
                    "volume {}: nothing can be mounted here, so a container can only read a copy: end it in `:ro`",
                    source.display()
                )));
            }
            mounts.push(sandbox::Mount::Bind { source, target, read_only });
        }
        for Tmpfs { target, size, mode } in request.tmpfs.clone() {
            mounts.push(sandbox::Mount::Tmpfs { target, size, mode });
        }
        let hostname = request.hostname.clone().unwrap_or_else(random_name);
        let config = &image.config;
        let dir = |dir: &str| if dir.is_empty() { "/".to_owned() } else { dir.to_owned() };
        Ok(sandbox::Request {
            rootfs: draft.rootfs()?,
            argv: command(request, config)?,
            env: environment(request, config, &hostname),
            cwd: dir(request.workdir.as_deref().unwrap_or(&config.config.working_dir)),
            user: request.user.clone().unwrap_or_else(|| config.config.user.clone()),
            groups: Vec::new(),
            mounts,
            network: match request.network.as_deref() {
                Some("none") => sandbox::Network::None,
                _ => sandbox::Network::Host,
            },
            hostname,
            role: sandbox::Role::Container,
            extra_hosts: request.add_hosts.clone(),
            shm_size: request.shm_size,
            ulimits: request.ulimits.clone(),
            privileged: request.privileged,
            read_only: request.read_only,
            terminal: request.terminal,
        })
    }

    /// A folder of the image that can be written to, while the rest cannot.
    fn volume(
        &self,
        target: &str,
        snapshot: Option<&SnapshotId>,
        held: &mut Vec<Box<dyn Send>>,
    ) -> Result<sandbox::Mount, Error> {
        let memory = sandbox::Mount::Tmpfs { target: target.to_owned(), size: None, mode: 0o755 };
        let Some(snapshot) = snapshot else { return Ok(memory) };
        let mounted = self.store.view(Some(snapshot))?;
        // Links in an image must not lead out of it.
        let Ok(place) = View::open(mounted.path(), None, true)?.locate(Path::new(target), true) else {
            return Ok(memory);
        };
        let scratch = self.store.draft(None)?;
        let mount = scratch.writable(mounted.path().join(place.path), target.to_owned())?;
        held.push(Box::new(scratch));
        held.push(Box::new(mounted));
        Ok(mount)
    }
}

fn joined(ended: Result<Result<sandbox::Exit, Error>, tokio::task::JoinError>) -> Result<sandbox::Exit, Error> {
    ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}

/// The command line. An entry point of the person's replaces the image's command too, which was meant for the other one.
fn command(request: &RunRequest, config: &ImageConfig) -> Result<Vec<String>, Error> {
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (mut argv, default) = match request.entrypoint.as_deref() {
        Some("") => (Vec::new(), Vec::new()),
        Some(program) => (vec![program.to_owned()], Vec::new()),
        None => (of_image(&config.config.entrypoint), of_image(&config.config.cmd)),
    };
    argv.extend(if request.command.is_empty() { default } else { request.command.clone() });
    if argv.is_empty() {
        return Err(Error::Request(format!("{} has no command of its own; give one", request.image.familiar())));
    }
    Ok(argv)
}

/// The image's variables, the person's over them, and what docker adds.
pub(crate) fn environment(request: &RunRequest, config: &ImageConfig, hostname: &str) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = vec![("PATH".into(), DEFAULT_PATH.into())];
    env.push(("HOSTNAME".into(), hostname.into()));
    if request.terminal {
        env.push(("TERM".into(), "xterm".into()));
    }
    let of_image = config.config.env.iter().filter_map(|line| line.split_once('='));
    let of_image = of_image.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in of_image.chain(request.env.iter().cloned()) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => env.push((name, value)),
        }
    }
    env
}

/// Twelve digits, as docker's containers have.
fn random_name() -> String {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    Digest::of(format!("{time} {}", std::process::id()).as_bytes()).short().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str]) -> ImageConfig {
        let words = |w: &[&str]| (!w.is_empty()).then(|| w.iter().map(|w| (*w).to_owned()).collect());
        let mut config = ImageConfig::default();
        config.config.entrypoint = words(entrypoint);
        config.config.cmd = words(cmd);
        config
    }

    #[test]
    fn commands_as_docker_puts_them_together() {
        let image = image(&["e"], &["c"]);
        for (entrypoint, command, expected) in [
            (None, "", "e c"),
            (None, "x y", "e x y"),
            (Some("p"), "", "p"),
            (Some("p"), "x", "p x"),
            (Some(""), "x", "x"),
        ] {
            let request = RunRequest {
                entrypoint: entrypoint.map(Into::into),
                command: command.split_whitespace().map(Into::into).collect(),
                ..RunRequest::new("x".parse().unwrap())
            };
            assert_eq!(super::command(&request, &image).unwrap().join(" "), expected);
        }
        let request = RunRequest { entrypoint: Some(String::new()), ..RunRequest::new("x".parse().unwrap()) };
        assert!(super::command(&request, &image).unwrap_err().to_string().contains("x:latest has no command"));
    }

    #[test]
    fn the_persons_variables_win() {
        let mut image = image(&[], &[]);
        image.config.env = vec!["PATH=/bin".into(), "A=1=2".into(), "B=".into()];
        let env = vec![("A".into(), "x".into()), ("C".into(), "y".into())];
        let request = RunRequest { env, terminal: true, ..RunRequest::new("x".parse().unwrap()) };
        let env = environment(&request, &image, "h");
        let shown: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(shown, ["PATH=/bin", "HOSTNAME=h", "TERM=xterm", "A=x", "B=", "C=y"]);
    }
}
