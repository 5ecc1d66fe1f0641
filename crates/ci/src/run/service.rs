//! `services`: what runs beside a job.
//!
//! They share the machine's network with the job, so that a service's names are the machine itself, and two services that listen at one
//! port cannot run at the same time: jobs wait for each other, and where another program listens the job fails, for it would talk to
//! that one. Docker in docker starts nothing: what a job would ask it for, our program does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archipel_build::ContainerRoot;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::container;
use super::failure::Failure;
use super::port::{self, Claim};
use super::process::{self, End};
use super::runner::Run;
use crate::job::Service;
use crate::mask::Masker;
use crate::variable::{Values, Variables};

/// How long the job waits for a service to listen (the runner's number).
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(50);

/// How much of a service's output is kept, to be shown if it fails.
const TAIL: usize = 4 << 10;

/// Names the port to wait for, instead of those of the image (the runner's). There a job's variables say it of each of its services,
/// which have addresses of their own; on one network two cannot be meant, so that here they say it of the only one.
const PORT_VARIABLE: &str = "HEALTHCHECK_TCP_PORT";

/// Longer than any job.
const FOR_EVER: Duration = Duration::from_secs(366 * 24 * 3600);

/// Services that run. They end when [`Services::stop`] is called, or when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Services {
    cancel: CancellationToken,
    running: Vec<JoinHandle<()>>,
    /// After what runs, for the ports are free when that is gone.
    claim: Option<Claim>,
    /// Names that the job knows them by.
    pub(super) names: Vec<String>,
}

impl Drop for Services {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Services {
    /// Ends them, and returns when nothing of them is left.
    pub(super) async fn stop(mut self) {
        self.cancel.cancel();
        for service in self.running.drain(..) {
            let _ = service.await; // how it ended is of no interest now
        }
    }

    /// Starts all services of a job. If one cannot be started, those before it are gone again when this returns.
    pub(super) async fn start(run: &Run, services: &[Service], values: &Values) -> Result<Self, Failure> {
        let mut all = Self::default();
        let mut opened = Vec::new();
        for service in services {
            let name = values.apply(&service.image.name.value);
            if is_dind(&name) {
                run.note(&format!("Service {name}: archipel answers for it, and starts nothing."));
                // Scripts may ask for it by name; nobody listens, but the name resolves.
                all.names.extend(names(&name).into_iter().chain(service.aliases.iter().cloned()));
            } else {
                opened.push(Opened::new(run, service, name, values, services.len() == 1).await?);
            }
        }
        let ports = ports(&opened)?;
        let waiting = |ports: &BTreeSet<u16>| {
            run.note(&format!("Waiting for services of other jobs to end: they have port {}.", list(ports)));
        };
        all.claim = Some(tokio::select! {
            claim = run.ports().claim(ports, waiting) => claim,
            () = run.cancel().cancelled() => return Err(Failure::Cancelled),
        });
        for service in opened {
            if let Err(failure) = all.start_one(run, service).await {
                all.stop().await;
                return Err(failure);
            }
        }
        Ok(all)
    }

    async fn start_one(&mut self, run: &Run, service: Opened) -> Result<(), Failure> {
        let Opened { name, names, root, request, ports } = service;
        run.note(&format!("Starting service {name}, on this machine's network, as {}...", names.join(", ")));
        if let Some(port) = ports.iter().find(|port| port::is_taken(**port)) {
            return Err(Failure::System(format!(
                "the service {name} could not listen at port {port}, for something else on this machine does (services share the \
                 machine's network): end that, or set {PORT_VARIABLE} in the service's `variables` to the port that it really \
                 listens at"
            )));
        }
        let tail = Arc::new(Mutex::new(Tail::new(run.masker())));
        let (written, cancel) = (tail.clone(), self.cancel.child_token());
        let keep = move |bytes: &[u8]| locked(&written).push(bytes);
        let ended = CancellationToken::new();
        let (end, teller, told, words) = (ended.clone(), run.clone(), name.clone(), tail.clone());
        self.running.push(tokio::spawn(async move {
            let result = process::run(request, Vec::new(), keep, FOR_EVER, &cancel).await;
            drop(root);
            let how = match result {
                Ok(End::Cancelled) => return,
                Ok(End::Exit(exit)) => process::ending(exit),
                Ok(End::TimedOut) => "it ran for a year".into(),
                Err(error) => error.to_string(),
            };
            // The runner too only warns: a service may be meant to do its work and end.
            teller.warn(&format!("Service {told} has ended before the job: {how}. The last that it wrote:"));
            let words = locked(&words).finish();
            words.lines().for_each(|line| teller.note(line));
            end.cancel();
        }));
        self.names.extend(names);
        if !wait(&ports, &ended, run.cancel()).await {
            if run.cancel().is_cancelled() {
                return Err(Failure::Cancelled);
            }
            if !ended.is_cancelled() {
                let ports = list(&ports);
                run.warn(&format!("Service {name} does not listen at port {ports} yet. The last that it wrote:"));
                let words = locked(&tail).text();
                words.lines().for_each(|line| run.note(line));
            }
        }
        Ok(())
    }
}

/// The last that a service wrote. What is kept has no secrets any more: half of one would not be known as one.
struct Tail {
    masker: Masker,
    kept: Vec<u8>,
}

impl Tail {
    fn new(masker: Masker) -> Self {
        Self { masker, kept: Vec::new() }
    }

    fn push(&mut self, written: &[u8]) {
        let masked = self.masker.push(written);
        self.keep(&masked);
    }

    fn keep(&mut self, masked: &[u8]) {
        self.kept.extend_from_slice(masked);
        let surplus = self.kept.len().saturating_sub(TAIL);
        self.kept.drain(..surplus);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// Of a service that writes no more.
    fn finish(&mut self) -> String {
        let masked = self.masker.finish();
        self.keep(&masked);
        self.text()
    }
}

fn locked(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A service that can be started.
struct Opened {
    name: String,
    /// Names that the job knows it by.
    names: Vec<String>,
    root: ContainerRoot,
    request: archipel_sandbox::Request,
    /// Where it listens.
    ports: BTreeSet<u16>,
}

impl Opened {
    async fn new(run: &Run, service: &Service, name: String, values: &Values, only: bool) -> Result<Self, Failure> {
        let names: Vec<String> = names(&name).into_iter().chain(service.aliases.iter().cloned()).collect();
        let root = run.open(&service.image, &name).await?;
        let mut variables: Variables = values.iter().map(|(n, v)| crate::Variable::raw(n, v)).collect();
        variables.extend(service.variables.iter().cloned());
        let values = variables.expand().map_err(|e| Failure::System(e.to_string()))?;
        let hostname = names.first().cloned().unwrap_or_else(|| "service".into());
        let mut request = container::request(&root, &service.image, &values, run.asked(), &hostname);
        request.argv = container::service_command(&root, &service.image, service.command.as_ref());
        request.cwd = match root.config().config.working_dir.as_str() {
            "" => "/".into(),
            dir => dir.into(),
        };
        if request.argv.is_empty() {
            return Err(Failure::System(format!("the service {name} has no command")));
        }
        let said = only || service.variables.iter().any(|variable| variable.name == PORT_VARIABLE);
        let ports = match values.get(PORT_VARIABLE).filter(|_| said) {
            None => exposed(&root.config().config.exposed_ports),
            Some(text) => [text.parse().map_err(|_| {
                Failure::System(format!(
                    "{PORT_VARIABLE} of the service {name} is `{text}`; it should be the number of a port"
                ))
            })?]
            .into(),
        };
        Ok(Self { name, names, root, request, ports })
    }
}

/// The ports of all, unless two have the same.
fn ports(services: &[Opened]) -> Result<BTreeSet<u16>, Failure> {
    let mut owners = BTreeMap::new();
    for service in services {
        for port in &service.ports {
            if let Some(other) = owners.insert(*port, service) {
                let [first, second] = [other, service].map(|one| format!("{} ({})", one.name, one.names.join(", ")));
                return Err(Failure::System(format!(
                    "two services of the job cannot both listen at port {port}, for they share the machine's network: {first} and \
                     {second}. Let one listen at another port, and set {PORT_VARIABLE} in its `variables` to that"
                )));
            }
        }
    }
    Ok(owners.into_keys().collect())
}

fn list(ports: &BTreeSet<u16>) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Waits until somebody listens at each port. Without ports there is nothing to wait for.
async fn wait(ports: &BTreeSet<u16>, ended: &CancellationToken, cancel: &CancellationToken) -> bool {
    let listening = async {
        for port in ports {
            while TcpStream::connect(("127.0.0.1", *port)).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = listening => true,
        () = ended.cancelled() => false,
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(PATIENCE) => false,
    }
}

/// The TCP ports that an image says it listens at.
fn exposed<V>(ports: &BTreeMap<String, V>) -> BTreeSet<u16> {
    let port = |text: &String| match text.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    };
    ports.keys().filter_map(port).collect()
}

/// Whether an image is docker in docker: the repository is `docker`, and the tag says `dind`.
fn is_dind(image: &str) -> bool {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').is_some_and(|(name, tag)| name == "docker" && tag.split('-').any(|part| part == "dind"))
}

/// The names of a service after its image: without registry port and tag, `/` as `__` and as `-` (the runner's).
fn names(image: &str) -> Vec<String> {
    let image = image.split('@').next().unwrap_or_default();
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let bare = match image[slash..].find(':') {
        Some(at) => &image[..slash + at],
        None => image,
    };
    // A port is no part of a host name.
    let bare: Vec<&str> = bare.split('/').map(|part| part.split(':').next().unwrap_or_default()).collect();
    let mut names = vec![bare.join("__"), bare.join("-")];
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dind_is_known() {
        for (image, expected) in [
            ("docker:dind", true),
            ("docker:19.03.15-dind", true),
            ("public.ecr.aws/docker/library/docker:19.03.15-dind", true),
            ("host:5000/docker:24-dind-rootless", true),
            ("docker:19.03.15", false),
            ("docker", false),
            ("my/docker-app:dind", false),
            ("postgres:15", false),
        ] {
            assert_eq!(is_dind(image), expected, "{image}");
        }
    }

    #[test]
    fn ports_are_those_of_tcp() {
        let ports = ["5432", "80/tcp", "53/udp", "x/tcp"].map(|text| (text.to_owned(), ()));
        assert_eq!(exposed(&ports.into()), [80, 5432].into());
    }

    #[test]
    fn last_words_have_no_half_of_a_secret() {
        let (secret, mut tail) = ("0123456789", Tail::new(Masker::new(["0123456789"])));
        for piece in secret.repeat(2 * TAIL / secret.len()).as_bytes().chunks(7) {
            tail.push(piece);
        }
        tail.push(b"0123");
        assert!(tail.text().ends_with("[MASKED]"), "more of a secret may come");
        let text = tail.finish();
        let masked = text.strip_suffix("0123").unwrap();
        assert_eq!((text.len(), masked.find(|char: char| char.is_ascii_digit())), (TAIL, None));
    }

    #[test]
    fn names_of_services() {
        assert_eq!(names("postgres:15"), ["postgres"]);
        assert_eq!(names("tutum/wordpress:latest"), ["tutum__wordpress", "tutum-wordpress"]);
        assert_eq!(names("host:5000/a/b"), ["host__a__b", "host-a-b"]);
    }
}
