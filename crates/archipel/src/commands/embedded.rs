//! The registry that a pipeline has when nobody names another: on a free loopback port, for as long as the pipeline runs. What is in it
//! stays.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use archipel_registry::{FsStorage, Login, Registry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::errors::Error;

/// A registry that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Embedded {
    /// How jobs reach it.
    pub(super) registry: archipel_ci::Registry,
    /// Where its content is.
    pub(super) root: PathBuf,
    _end: oneshot::Sender<()>,
}

impl Embedded {
    /// Starts one. Whoever else has a shell on this machine can reach its port, so it wants a login.
    pub(super) async fn start(root: &Path) -> Result<Self, Error> {
        let told = |e: std::io::Error| Error::io(root.display().to_string())(e);
        let storage = FsStorage::open(root).map_err(|e| told(std::io::Error::other(e)))?;
        let listening = || Error::io("a registry for the pipeline");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(listening())?;
        let host = listener.local_addr().map_err(listening())?.to_string();
        let registry = login(host)?;
        let served = Registry::new(storage).with_login(Login::new(&registry.user, &registry.password));
        let (sender, ended) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stop = async move {
                let _ = ended.await; // sent or dropped, it is over
            };
            served.serve(listener, stop).await
        });
        Ok(Self { registry, root: root.to_owned(), _end: sender })
    }
}

/// A registry at that place with the user that GitLab has, and a password that nobody can guess.
pub(super) fn login(host: String) -> Result<archipel_ci::Registry, Error> {
    let mut bytes = [0; 20];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("/dev/urandom"))?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(archipel_ci::Registry { host, user: "gitlab-ci-token".into(), password })
}
