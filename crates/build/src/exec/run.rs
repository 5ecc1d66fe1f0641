//! RUN: one process in the step's file system.

use std::collections::VecDeque;
use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use archipel_dockerfile::redacted;
use archipel_sandbox as sandbox;
use archipel_store::{Draft, SnapshotId};

use super::key::{self, Record, Records as _};
use super::mounts::{Mounts, Part, collect};
use super::{Executor, blocking};
use crate::engine::warn;
use crate::event::Stream;
use crate::plan::{NetworkMode, NodeId, Op, RunOp};
use crate::{Error, Event, How};

/// How many lines of a failed step's output its error repeats.
const TAIL_LINES: usize = 20;
/// The longest line of them.
const TAIL_WIDTH: usize = 2000;

/// SIGILL and SIGSEGV.
const CRASHES: [i32; 2] = [4, 11];

pub(super) async fn run(
    executor: Arc<Executor>,
    id: NodeId,
    op: &RunOp,
    parent: Option<SnapshotId>,
    made: SnapshotId,
) -> Result<(), Error> {
    if op.insecure && !executor.request.allow.iter().any(|a| a == "security.insecure") {
        let reason = "entitlement security.insecure is not allowed; build with --allow security.insecure to permit it";
        return Err(executor.step_failed(id, reason.into(), String::new()));
    }
    let platform = &op.platform;
    if let sandbox::emulation::Support::Missing { remedy } =
        executor.engine.emulation()?.support(&platform.architecture, platform.variant.as_deref())
    {
        let reason = format!("this machine cannot run {platform} binaries; {remedy}");
        return Err(executor.step_failed(id, reason, String::new()));
    }
    let mounts = collect(&executor, op, id).await?;
    let exec = executor.clone();
    blocking(move || {
        let Op::Run(op) = &exec.node(id).op else { return Ok(()) };
        // What a first attempt left in mounts that are results cannot be taken back.
        let mut again = exec.node(id).how == How::Emulated && mounts.parts.is_empty();
        loop {
            let draft = exec.engine.store.draft(parent.as_ref())?;
            let request = request(op, &draft, &mounts)?;
            let Some(failure) = execute(&exec, id, &request)? else {
                for Part { number, tree, draft } in mounts.parts {
                    drop(tree);
                    let key = key::part(&made, number);
                    let record = Record::new(exec.now, false);
                    draft.commit(&record.snapshot(&key))?;
                    exec.engine.store.remember(&key, &record)?;
                }
                return draft.commit(&made).map(drop).map_err(Error::from);
            };
            // QEMU crashes now and then where the program under it is well; a program that is not crashes again.
            if !(failure.crashed && std::mem::take(&mut again)) {
                return Err(exec.step_failed(id, failure.reason, failure.tail));
            }
            let what = format!("{} crashed under emulation, and is tried once more", exec.node(id).name);
            warn(&exec.sink.0, what);
        }
    })
    .await
}

fn request(op: &RunOp, draft: &Draft, mounts: &Mounts) -> Result<sandbox::Request, Error> {
    let mut env = op.env.clone();
    env.extend(op.hidden_env.iter().cloned());
    env.extend(mounts.env.iter().cloned());
    Ok(sandbox::Request {
        rootfs: draft.rootfs()?,
        argv: op.argv.clone(),
        env,
        cwd: op.cwd.clone(),
        user: op.user.clone(),
        groups: mounts.groups.clone(),
        mounts: mounts.list.clone(),
        network: match op.network {
            NetworkMode::Host => sandbox::Network::Host,
            NetworkMode::None => sandbox::Network::None,
        },
        extra_hosts: op.hosts.clone(),
        shm_size: op.shm_size,
        ulimits: op.ulimits.clone(),
        privileged: op.insecure,
        read_only: op.read_only,
        hostname: op.hostname.clone(),
        role: sandbox::Role::Step,
        ..sandbox::Request::default()
    })
}

/// How a process failed.
struct Failure {
    reason: String,
    /// The end of its output.
    tail: String,
    /// Killed for an invalid access or instruction; or a shell says so of what it ran.
    crashed: bool,
}

/// Runs the process to its end and passes on what it writes. Returns how it failed, if it did.
fn execute(exec: &Arc<Executor>, id: NodeId, request: &sandbox::Request) -> Result<Option<Failure>, Error> {
    let mut running = match sandbox::spawn(request, Stdio::null(), Stdio::piped(), Stdio::piped()) {
        Err(sandbox::Error::Exec { message, .. } | sandbox::Error::Stage(message)) => {
            return Ok(Some(never_ran(request, &message)));
        }
        running => running?,
    };
    let killer = running.killer()?;
    let runtime = tokio::runtime::Handle::current();
    let cancel = exec.cancel.clone();
    let watch = runtime.spawn(async move {
        cancel.cancelled().await;
        killer.kill();
    });
    let tail = Arc::new(Mutex::new(Tail::default()));
    let stdout = running.take_stdout();
    let stderr = running.take_stderr();
    std::thread::scope(|scope| {
        if let Some(stdout) = stdout {
            scope.spawn(|| pass_on(exec, id, Stream::Stdout, stdout, &tail));
        }
        if let Some(stderr) = stderr {
            scope.spawn(|| pass_on(exec, id, Stream::Stderr, stderr, &tail));
        }
    });
    let exit = running.wait();
    watch.abort();
    let exit = match exit {
        Err(sandbox::Error::Exec { message, .. } | sandbox::Error::Stage(message)) => {
            return Ok(Some(never_ran(request, &message)));
        }
        exit => exit?,
    };
    if exec.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let Op::Run(op) = &exec.node(id).op else { return Ok(None) };
    if exit.success() && op.exit_codes.is_empty() || op.exit_codes.contains(&exit.shell_code()) {
        return Ok(None);
    }
    let tail = tail.lock().map(|tail| tail.text()).unwrap_or_default();
    let crashed = CRASHES.iter().any(|signal| exit.shell_code() == 128 + signal);
    let mut reason = describe(&exit, request, &exec.node(id).op);
    if crashed && exec.node(id).how == How::Emulated {
        reason.push_str("; it crashed, which under emulation is often QEMU's doing: a newer one may help");
    }
    if wanted_device(&tail) {
        reason.push_str("; the kernel makes no devices in a user namespace, and every step runs in one");
    }
    Ok(Some(Failure { reason, tail, crashed }))
}

/// Whether a process says that it could not make a device. It has the capability (docker's steps have it), which is no help here.
fn wanted_device(tail: &str) -> bool {
    tail.lines().any(|line| line.contains("mknod") && line.contains("Operation not permitted"))
}

/// A process that could not be begun is a step that failed, in the words that people know.
fn never_ran(request: &sandbox::Request, why: &str) -> Failure {
    let command = redacted(&request.argv.join(" "));
    let reason = format!("process {command:?} did not complete successfully: {why}");
    Failure { reason, tail: String::new(), crashed: false }
}

fn describe(exit: &sandbox::Exit, request: &sandbox::Request, op: &Op) -> String {
    let command = redacted(&request.argv.join(" "));
    let emulated = match op {
        Op::Run(run) if run.platform != archipel_oci::Platform::host() => format!(" (run as {})", run.platform),
        _ => String::new(),
    };
    match exit {
        sandbox::Exit::Code(code) => {
            format!("process {command:?} did not complete successfully: exit code: {code}{emulated}")
        }
        sandbox::Exit::Signal(signal) => format!("process {command:?} was killed by signal {signal}{emulated}"),
    }
}

fn pass_on(exec: &Executor, id: NodeId, stream: Stream, mut from: impl Read, tail: &Mutex<Tail>) {
    let step = exec.steps[id.0];
    let mut buffer = [0; 16 * 1024];
    // A read error means that the other end is gone, which the exit status tells better.
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if let Ok(mut tail) = tail.lock() {
            tail.add(&buffer[..n]);
        }
        exec.tell(Event::Output { step, stream, bytes: buffer[..n].to_vec() });
    }
}

/// The last lines of an output.
#[derive(Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    open: bool,
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            if !self.open {
                self.lines.push_back(Vec::new());
                if self.lines.len() > TAIL_LINES {
                    self.lines.pop_front();
                }
            }
            if let Some(line) = self.lines.back_mut() {
                let room = TAIL_WIDTH.saturating_sub(line.len());
                line.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            self.open = !piece.ends_with(b"\n");
        }
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }
}
