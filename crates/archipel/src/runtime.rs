//! The asynchronous runtime, for the commands that wait for a network, and the signals that stop them.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::errors::Error;

/// How long work that was told to stop may take to kill its processes and throw away what is half done.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `work` to its end; Ctrl-C or SIGTERM drops it.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    start(async {
        let mut stop = Stop::new()?;
        tokio::select! {
            result = work => result,
            () = stop.asked() => Err(Error::Interrupted),
        }
    })
}

/// Runs `work` to its end; Ctrl-C or SIGTERM calls `tell`, upon which it should end soon. A second one does not wait.
pub(crate) fn block_on_telling<T>(
    work: impl Future<Output = Result<T, Error>>,
    tell: impl FnOnce(),
) -> Result<T, Error> {
    start(async {
        let mut stop = Stop::new()?;
        let mut work = std::pin::pin!(work);
        tokio::select! {
            result = &mut work => return result,
            () = stop.asked() => tell(),
        }
        tokio::select! {
            result = work => result,
            () = stop.asked() => Err(Error::Interrupted),
            () = tokio::time::sleep(GRACE) => Err(Error::Interrupted),
        }
    })
}

/// Runs `work`, which sees to its own end.
pub(crate) fn start<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(Error::io("starting threads"))?;
    let result = runtime.block_on(work);
    // Blocking threads are not waited for: after a stop they may hang in a read, and what they leave is swept later.
    runtime.shutdown_background();
    result
}

/// The signals that `docker run` passes on, as they come. From here on they do nothing else to this program.
pub(crate) fn signals() -> Result<UnboundedReceiver<i32>, Error> {
    let (sender, receiver) = unbounded_channel();
    let kinds: [fn() -> SignalKind; 6] = [
        SignalKind::interrupt,
        SignalKind::terminate,
        SignalKind::hangup,
        SignalKind::quit,
        SignalKind::user_defined1,
        SignalKind::user_defined2,
    ];
    for kind in kinds.map(|kind| kind()) {
        let mut signals = signal(kind).map_err(Error::io("listening for signals"))?;
        let sender = sender.clone();
        tokio::spawn(
            async move { while signals.recv().await.is_some() && sender.send(kind.as_raw_value()).is_ok() {} },
        );
    }
    Ok(receiver)
}

/// The wish of the person or the system that the program end.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From here on the signals do not end the program by themselves.
    pub(crate) fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::io("listening for signals"));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
