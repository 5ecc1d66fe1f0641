//! The sandbox of a frontend: its image's program, with the protocol on its standard streams.

use std::collections::VecDeque;
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use archipel_dockerfile::boolean;
use archipel_gateway::{pb, serve};
use archipel_oci::ContainerConfig;
use archipel_sandbox as sandbox;
use serde_json::json;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::AbortHandle;

use super::options::{INPUTS, SUBREQUESTS};
use super::session::Session;
use super::{Frontend, caps};
use crate::around::Around;
use crate::event::Stream;
use crate::job::ContainerRoot;
use crate::progress::Work;
use crate::{Engine, Error};

/// What is run where the image names no program.
const PROGRAM: &str = "/run";

/// The labels by which an image says what its program can do, and that it needs no network.
const CAPS: &str = "moby.buildkit.frontend.caps";
const NO_NETWORK: &str = "moby.buildkit.frontend.network.none";

/// How long a program may go on after its last word.
const GRACE: Duration = Duration::from_secs(5);

/// How much of what a program wrote last its error repeats.
const TAIL: usize = 2000;

/// Runs the frontend to its end and gives what it returned.
pub(super) async fn converse(
    engine: &Engine,
    frontend: &Frontend,
    session: &Arc<Session>,
    around: &Around,
) -> Result<pb::Result, Error> {
    let name = frontend.image.familiar();
    let Ok(_conversation) = session.conversations.clone().try_acquire_owned() else {
        return Err(session.wrong("is one of too many frontends that ask for others"));
    };
    let root = open(engine, session, frontend).await.map_err(|e| frontend.at(e, &around.loaded))?;
    must_have(&name, &root.config().config, session.needs())?;
    let work = Work::start(&around.sink, &around.steps, format!("[internal] frontend {name}"), Vec::new());
    let ended = run(engine, root, session, &work).await;
    let returned = match ended {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        // An error that it told counts more than how it ended, and how it ended more than a result (BuildKit).
        ended => match (session.outcome(), ended) {
            (Some(Err(told)), _) => Err(told),
            (_, Err(Error::Frontend(reason))) => Err(session.wrong(&reason)),
            (_, Err(Error::Sandbox(e @ sandbox::Error::Exec { .. }))) => {
                Err(session.wrong(&format!("cannot be run: {e}")))
            }
            (_, Err(other)) => Err(other),
            (Some(Ok(result)), Ok(())) => Ok(result),
            (None, Ok(())) => Err(session.wrong("ended and has not said what to build")),
        },
    };
    work.finish(returned)
}

/// The files of the image. As with every image that a build needs, it gets no name in the store.
async fn open(engine: &Engine, session: &Session, frontend: &Frontend) -> Result<ContainerRoot, Error> {
    let around = &session.around;
    let name = format!("[internal] load metadata for {}", frontend.image);
    let work = Work::start(&around.sink, &around.steps, name, Vec::new());
    let found = async {
        let image = session.program(&frontend.image).await?;
        Ok(Arc::unwrap_or_clone(image))
    };
    let image = work.finish(found.await)?;
    let snapshot = engine.unpack(&image, &around.sink, &around.steps).await?;
    engine.root_of(image, snapshot).await
}

fn must_have(name: &str, config: &ContainerConfig, needs: &[&str]) -> Result<(), Error> {
    let label = config.labels.get(CAPS).map(String::as_str).unwrap_or_default();
    let Some(need) = needs.iter().find(|need| !label.split(',').any(|cap| cap.trim() == **need)) else {
        return Ok(());
    };
    let flag = match *need {
        SUBREQUESTS => "--call",
        INPUTS => "inputs of another frontend",
        _ => "--build-context",
    };
    Err(Error::Request(format!(
        "the frontend {name} does not know {flag}: the label {CAPS} of its image does not name {need}; leave it out, or take a \
         version that does"
    )))
}

async fn run(engine: &Engine, root: ContainerRoot, session: &Arc<Session>, work: &Work) -> Result<(), Error> {
    let told = || Error::io("a pipe to the frontend");
    let (request_end, their_output) = std::io::pipe().map_err(told())?;
    let (their_input, answer_end) = std::io::pipe().map_err(told())?;
    let requests = Receiver::from_owned_fd(request_end.into()).map_err(told())?;
    let answers = Sender::from_owned_fd(answer_end.into()).map_err(told())?;
    let (request, log) = (request(&root, session), work.clone());
    let (started, killer) = tokio::sync::oneshot::channel();
    // One thread spawns and waits: the end of the thread would end the process.
    let mut process = tokio::task::spawn_blocking(move || {
        let mut running =
            sandbox::spawn(&request, Stdio::from(their_input), Stdio::from(their_output), Stdio::piped())?;
        let _ = started.send(running.killer()?);
        let tail = running.take_stderr().map(|stderr| pass_on(stderr, &log)).unwrap_or_default();
        let exit = running.wait()?;
        drop(root);
        Ok::<_, Error>((exit, tail))
    });
    let Ok(killer) = killer.await else { return joined(process.await).map(drop) };
    let stream = tokio::io::join(requests, answers);
    let mut talk = tokio::spawn(serve(stream, session.clone()));
    // Whoever asked for this frontend may not wait for it any more.
    let _end = End { killer: killer.clone(), talk: talk.abort_handle() };
    let (mut talking, mut over) = (true, false);
    let ended = loop {
        tokio::select! {
            ended = &mut process => break joined(ended),
            () = engine.cancel.cancelled() => {
                killer.kill();
                let _ = process.await;
                return Err(Error::Interrupted);
            }
            said = &mut talk, if talking => {
                talking = false;
                // Without a conversation there is nothing that it could do.
                if let Ok(Err(e)) = said {
                    killer.kill();
                    let _ = process.await;
                    return Err(not_understood(&e));
                }
            }
            () = after_the_last_word(session), if !over => {
                over = true;
                killer.kill();
            }
        }
    };
    // What it wrote before its end may not have been read yet.
    if talking && let Ok(Err(e)) = talk.await {
        return Err(not_understood(&e));
    }
    let (exit, tail) = ended?;
    if over || exit.success() {
        return Ok(());
    }
    let said = if tail.is_empty() { String::new() } else { format!(": {tail}") };
    Err(Error::Frontend(format!("failed with exit code {}{said}", exit.shell_code())))
}

fn not_understood(error: &archipel_gateway::server::Error) -> Error {
    Error::Frontend(format!("cannot be understood: {error}"))
}

/// Ends a conversation and its process.
struct End {
    killer: sandbox::Killer,
    talk: AbortHandle,
}

impl Drop for End {
    fn drop(&mut self) {
        self.killer.kill();
        self.talk.abort();
    }
}

async fn after_the_last_word(session: &Session) {
    session.has_returned().await;
    tokio::time::sleep(GRACE).await;
}

fn joined<T>(ended: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    match ended {
        Ok(ended) => ended,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

fn request(root: &ContainerRoot, session: &Session) -> sandbox::Request {
    let config = &root.config().config;
    let mut env: Vec<(String, String)> =
        config.env.iter().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect();
    for (n, (name, value)) in session.option_values().iter().enumerate() {
        env.push((format!("BUILDKIT_FRONTEND_OPT_{n}"), format!("{name}={value}")));
    }
    let platforms: Vec<_> = session.worker_platforms();
    let workers = json!([{ "id": caps::WORKER, "labels": {}, "platforms": platforms }]);
    env.push(("BUILDKIT_SESSION_ID".into(), caps::WORKER.into()));
    env.push(("BUILDKIT_WORKERS".into(), workers.to_string()));
    env.push(("BUILDKIT_EXPORTEDPRODUCT".into(), "archipel".into()));
    let has_no_network = config.labels.get(NO_NETWORK).and_then(|value| boolean(value)) == Some(true);
    sandbox::Request {
        rootfs: root.rootfs(),
        argv: config.entrypoint.clone().unwrap_or_else(|| vec![PROGRAM.into()]),
        env,
        cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone() },
        network: if has_no_network { sandbox::Network::None } else { sandbox::Network::Host },
        role: sandbox::Role::Step,
        ..sandbox::Request::default()
    }
}

/// Passes on what a program writes of itself, and keeps the end.
fn pass_on(mut from: impl Read, work: &Work) -> String {
    let mut tail = VecDeque::new();
    let mut buffer = [0; 4096];
    // A read error means that the other end is gone, which the exit status tells better.
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        work.output(Stream::Stderr, &buffer[..n]);
        tail.extend(&buffer[..n]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    String::from_utf8_lossy(tail.make_contiguous()).trim().to_owned()
}
