//! One process of a job: its input, its output, its end.

use std::io::{PipeReader, Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use archipel_sandbox::{self as sandbox, Exit, Killer};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Exit(Exit),
    /// It took too long.
    TimedOut,
    /// Somebody stopped the pipeline.
    Cancelled,
}

/// What people call the end of a process.
pub(super) fn ending(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
    }
}

/// Runs a process to its end. `input` goes to its standard input; what it writes goes to `output`, both streams in one, in the order
/// in which it is written. When this returns nothing of it is left.
pub(super) async fn run(
    request: sandbox::Request,
    input: Vec<u8>,
    output: impl FnMut(&[u8]) + Send + 'static,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<End, sandbox::Error> {
    let (started, killer) = oneshot::channel();
    // One thread spawns and waits: for the kernel the end of that thread is the end of the parent.
    let mut running = tokio::task::spawn_blocking(move || whole_life(&request, &input, output, started));
    let Ok(killer) = killer.await else { return joined(running.await).map(End::Exit) };
    let end = tokio::select! {
        ended = &mut running => return joined(ended).map(End::Exit),
        () = cancel.cancelled() => End::Cancelled,
        () = tokio::time::sleep(timeout) => End::TimedOut,
    };
    killer.kill();
    // Its own error does not matter any more, but its end does.
    let _ = running.await;
    Ok(end)
}

fn whole_life(
    request: &sandbox::Request,
    input: &[u8],
    mut output: impl FnMut(&[u8]) + Send,
    started: oneshot::Sender<Killer>,
) -> Result<Exit, sandbox::Error> {
    let pipe = |source| sandbox::Error::Io { path: "a pipe".into(), source };
    let (mut reader, writer) = std::io::pipe().map_err(pipe)?;
    let second = writer.try_clone().map_err(pipe)?;
    let mut running = sandbox::spawn(request, Stdio::piped(), writer.into(), second.into())?;
    // Nobody listens any more if the call was dropped, and then the process ends with this thread.
    let _ = started.send(running.killer()?);
    let stdin = running.take_stdin();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A process that does not read to the end has its reasons.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        pass_on(&mut reader, &mut output);
    });
    running.wait()
}

/// Until the last process that could write is gone.
fn pass_on(reader: &mut PipeReader, output: &mut impl FnMut(&[u8])) {
    let mut buffer = vec![0; 32 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => output(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn joined(ended: Result<Result<Exit, sandbox::Error>, tokio::task::JoinError>) -> Result<Exit, sandbox::Error> {
    ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
