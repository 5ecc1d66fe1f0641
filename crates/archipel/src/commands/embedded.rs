//! The registry that a pipeline has when nobody names another: on a free loopback port, for as long as the pipeline runs. What is in it
//! stays.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use archipel_ci::RegistryLogin;
use archipel_ci::mask::MASK;
use archipel_registry::{FsStorage, Login, Registry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::errors::Error;

/// The user that GitLab has.
const USER: &str = "gitlab-ci-token";

/// A registry that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Embedded {
    /// How jobs reach it.
    pub(super) registry: archipel_ci::Registry,
    /// Where its content is.
    pub(super) root: PathBuf,
    end: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Embedded {
    /// Starts one. Whoever else has a shell on this machine can reach its port, so it wants a login.
    pub(super) async fn start(root: &Path) -> Result<Self, Error> {
        let told = |e: std::io::Error| Error::io(root.display().to_string())(e);
        let storage = FsStorage::open(root).map_err(|e| told(std::io::Error::other(e)))?;
        let listening = || Error::io("a registry for the pipeline");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(listening())?;
        let host = listener.local_addr().map_err(listening())?.to_string();
        let login = random_login()?;
        let served = Registry::new(storage).with_login(Login::new(&login.user, &login.password));
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stop = async move {
                let _ = ended.await; // sent or dropped, it is over
            };
            served.serve(listener, stop).await
        });
        let registry = archipel_ci::Registry { host, login: Some(login) };
        Ok(Self { registry, root: root.to_owned(), end, serving })
    }

    /// What a pipeline is planned with that is not run: the registry that it would have, but for the port and the password, which are
    /// not known before one is there.
    pub(super) fn placeholder() -> archipel_ci::Registry {
        let login = RegistryLogin { user: USER.into(), password: MASK.into() };
        archipel_ci::Registry { host: "127.0.0.1:0".into(), login: Some(login) }
    }

    /// Ends it. If it had ended before, this says why: what jobs saw of that is a connection that nobody took.
    pub(super) async fn stop(self) -> Result<(), Error> {
        let _ = self.end.send(()); // nobody listens where serving has ended by itself
        let served = self.serving.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
        served.map_err(Error::io(format!("the pipeline's registry at {} ended before it", self.registry.host)))
    }
}

/// GitLab's user, and a password that nobody can guess.
fn random_login() -> Result<RegistryLogin, Error> {
    let mut bytes = [0; 20];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("/dev/urandom"))?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(RegistryLogin { user: USER.into(), password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_registry_is_told() {
        let root = tempfile::tempdir().unwrap();
        Embedded::start(root.path()).await.unwrap().stop().await.unwrap();
        let embedded = Embedded::start(root.path()).await.unwrap();
        embedded.serving.abort();
        let error = embedded.stop().await.unwrap_err().to_string();
        assert!(error.starts_with("the pipeline's registry at 127.0.0.1:"), "{error}");
    }
}
