//! Our own registry, in the test's process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use archipel_registry::{FsStorage, Login, Registry};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Our registry on a free loopback port, over a folder that goes with the value.
#[derive(Debug)]
pub struct OwnRegistry {
    address: String,
    dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl OwnRegistry {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::serve(|registry| registry)
    }

    /// Starts one that wants a login.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_login(user: &str, secret: &str) -> Self {
        Self::serve(|registry| registry.with_login(Login::new(user, secret)))
    }

    fn serve(prepare: impl FnOnce(Registry<FsStorage>) -> Registry<FsStorage>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let registry = prepare(Registry::new(FsStorage::open(dir.path()).expect("a storage")));
        // Bound here, so that whoever has the value can connect.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let address = listener.local_addr().expect("its address").to_string();
        let (stop, stopped) = oneshot::channel();
        // A thread with a runtime of its own: the test may have none, or one that it blocks.
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let stopped = async { drop(stopped.await) };
                registry.serve(listener, stopped).await.expect("the registry serves");
            });
        });
        Self { address, dir, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The folder that it keeps things in.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().into()
    }

    /// Stops it, once the requests that run have ended; the address refuses connections from then on.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}
