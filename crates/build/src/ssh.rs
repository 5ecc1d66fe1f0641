//! SSH agents: for `RUN --mount=type=ssh`, and for git over ssh.
//!
//! A step never meets the person's agent itself. It gets a socket of its own, with the owner and mode that its mount asks
//! for, behind which only two questions are answered: which keys there are, and to sign with one. To add, remove or lock keys
//! is not a build's business (BuildKit draws the same line). Key files are served by an `ssh-agent` that is started for them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use archipel_store::{Draft, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;

use crate::{Engine, Error, Request};

/// The longest message of the protocol; OpenSSH's own bound.
const MAX_MESSAGE: u32 = 256 * 1024;
/// The questions that are passed on (draft-ietf-sshm-ssh-agent, 5.1).
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
/// The answer to all others: `SSH_AGENT_FAILURE`.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// An agent that `--ssh` names.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
    /// One that was started here, with the keys of files.
    _own: Option<Own>,
}

/// An `ssh-agent` of ours. It is the child of `cat`, which ends when this end of its standard input is closed, as it is when
/// this process is killed: no agent with a person's keys is left behind.
#[derive(Debug)]
struct Own {
    _cat: Child,
    _place: Place,
}

/// A folder for a socket.
#[derive(Debug)]
struct Place {
    draft: Draft,
    folder: File,
}

/// A socket for one step. It is served for as long as this lives.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    serving: AbortHandle,
    _agent: Agent,
    _place: Place,
}

impl Engine {
    /// A socket for a step that mounts the agent `id`, owned by `owner` and with a mode; nothing if no such agent was given.
    pub(crate) async fn ssh_socket(
        &self,
        request: &Request,
        id: &str,
        owner: (u32, u32),
        mode: u32,
    ) -> Result<Option<Socket>, Error> {
        let Some(agent) = self.ssh_agent(request, id).await? else { return Ok(None) };
        Socket::open(&self.store, agent, owner, mode).map(Some)
    }

    /// The agent that `--ssh` gives under a name.
    pub(crate) async fn ssh_agent(&self, request: &Request, id: &str) -> Result<Option<Agent>, Error> {
        match request.ssh.iter().rev().find(|(known, _)| known == id) {
            Some((_, paths)) => Agent::open(&self.store, id, paths).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Agent {
    /// `paths` is the socket of an agent, or key files.
    async fn open(store: &Store, id: &str, paths: &[PathBuf]) -> Result<Self, Error> {
        let mut sockets = Vec::new();
        for path in paths {
            let meta = fs::metadata(path).map_err(Error::io(format!("--ssh {id}={}", path.display())))?;
            sockets.extend(meta.file_type().is_socket().then_some(path));
        }
        match sockets.as_slice() {
            [] if paths.is_empty() => Err(Error::Request(format!("--ssh {id}: no agent's socket and no key is named"))),
            [] => Self::start(store, id, paths).await,
            [only] if paths.len() == 1 => Ok(Self { socket: (*only).clone(), _own: None }),
            _ => Err(Error::Request(format!("--ssh {id}: give the socket of one agent, or key files, not both"))),
        }
    }

    /// Starts an agent and gives it keys.
    async fn start(store: &Store, id: &str, keys: &[PathBuf]) -> Result<Self, Error> {
        let place = Place::new(store)?;
        let folder = place.draft.upper();
        let mut cat = Command::new("ssh-agent")
            // A relative name: where the store lies deep, the whole path is longer than a socket's may be.
            .args(["-a", "agent", "cat"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| missing("ssh-agent", id, e))?;
        // The agent executes `cat` once its socket is there: the echo says so.
        let (mut stdin, stdout) = (cat.stdin.take(), cat.stdout.take());
        let mut echo = [0; 1];
        if let (Some(stdin), Some(mut stdout)) = (stdin.as_mut(), stdout) {
            let spoken = async {
                stdin.write_all(b"\n").await?;
                stdout.read_exact(&mut echo).await
            };
            spoken.await.map_err(Error::io(format!("--ssh {id}: start ssh-agent")))?;
        }
        cat.stdin = stdin;
        for key in keys {
            let path = fs::canonicalize(key).map_err(Error::io(format!("--ssh {id}={}", key.display())))?;
            let added = Command::new("ssh-add")
                .arg("-q")
                .arg("--")
                .arg(path)
                .current_dir(folder)
                .env("SSH_AUTH_SOCK", "agent")
                // Nobody is asked for a passphrase in the middle of a build.
                .env("SSH_ASKPASS", "false")
                .env("SSH_ASKPASS_REQUIRE", "force")
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output()
                .await
                .map_err(|e| missing("ssh-add", id, e))?;
            if !added.status.success() {
                let said = String::from_utf8_lossy(&added.stderr);
                let key = key.display();
                return Err(Error::Request(format!(
                    "--ssh {id}={key}: the key cannot be used: {}; one with a passphrase must be in an agent of your own, given \
                     as --ssh {id}",
                    said.trim().lines().last().unwrap_or("ssh-add does not say why"),
                )));
            }
        }
        let socket = place.socket();
        Ok(Self { socket, _own: Some(Own { _cat: cat, _place: place }) })
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

fn missing(program: &str, id: &str, error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::NotFound {
        return Error::io(format!("--ssh {id}: {program}"))(error);
    }
    Error::Request(format!(
        "--ssh {id}: key files need `{program}`, which is not here; install the OpenSSH client, or give an agent's socket"
    ))
}

impl Place {
    fn new(store: &Store) -> Result<Self, Error> {
        let draft = store.draft(None)?;
        let folder = File::open(draft.upper()).map_err(Error::io(draft.upper().display().to_string()))?;
        Ok(Self { draft, folder })
    }

    /// The socket by a path that is short whatever the store's is: a socket's may have 107 bytes. It holds for children too.
    fn socket(&self) -> PathBuf {
        format!("/proc/{}/fd/{}/agent", std::process::id(), self.folder.as_raw_fd()).into()
    }
}

impl Socket {
    fn open(store: &Store, agent: Agent, owner: (u32, u32), mode: u32) -> Result<Self, Error> {
        let place = Place::new(store)?;
        let path = place.draft.upper().join("agent");
        let what = || format!("socket {}", path.display());
        let listener = UnixListener::bind(place.socket()).map_err(Error::io(what()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Error::io(what()))?;
        if owner != (0, 0) {
            chown(&path, Some(owner.0), Some(owner.1)).map_err(Error::io(format!("owner {owner:?} of {}", what())))?;
        }
        let serving = tokio::spawn(serve(listener, agent.socket.clone())).abort_handle();
        Ok(Self { path, serving, _agent: agent, _place: place })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: UnixListener, agent: PathBuf) {
    // Dropped with this task, and what it holds with it.
    let mut talks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(talks.spawn(talk(client, agent.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "socket of an ssh mount");
                    return;
                }
            },
            Some(_) = talks.join_next() => {}
        }
    }
}

/// One client, until it goes away.
async fn talk(mut client: UnixStream, agent: PathBuf) -> io::Result<()> {
    let mut server = UnixStream::connect(&agent)
        .await
        .inspect_err(|error| tracing::warn!(agent = %agent.display(), %error, "ssh agent"))?;
    while let Some(question) = message(&mut client).await? {
        if !matches!(question.get(4), Some(&REQUEST_IDENTITIES | &SIGN_REQUEST)) {
            client.write_all(&FAILURE).await?;
            continue;
        }
        server.write_all(&question).await?;
        let Some(answer) = message(&mut server).await? else { return Ok(()) };
        client.write_all(&answer).await?;
    }
    Ok(())
}

/// A message with its length in front; nothing at the end.
async fn message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u32().await {
        Ok(length) => length,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    };
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = length.to_be_bytes().to_vec();
    stream.take(length.into()).read_to_end(&mut message).await?;
    let whole = message.len() as u64 == u64::from(length) + 4;
    Ok(whole.then_some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        // Deep enough for a path that no socket could have.
        let root = dir.path().join("deep/".repeat(30));
        fs::create_dir_all(&root).unwrap();
        let store = Store::open(&root).unwrap();
        (dir, store)
    }

    /// An agent that has one answer, and tells of the questions.
    fn agent(folder: &Path) -> (Agent, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
        let socket = folder.join("sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(question) = message(&mut stream).await.unwrap() {
                sender.send(question).unwrap();
                stream.write_all(&[0, 0, 0, 2, 12, 7]).await.unwrap();
            }
        });
        (Agent { socket, _own: None }, receiver)
    }

    #[tokio::test]
    async fn only_harmless_questions_reach_the_agent() {
        let (dir, store) = store();
        let (agent, mut asked) = agent(dir.path());
        let socket = Socket::open(&store, agent, (0, 0), 0o640).unwrap();
        assert_eq!(fs::metadata(socket.path()).unwrap().permissions().mode() & 0o777, 0o640);
        let mut client = UnixStream::connect(socket._place.socket()).await.unwrap();
        for (question, answer) in [
            (&[0, 0, 0, 1, 11][..], &[0, 0, 0, 2, 12, 7][..]),
            (&[0, 0, 0, 1, 19], &FAILURE),
            (&[0, 0, 0, 2, 13, 9], &[0, 0, 0, 2, 12, 7]),
        ] {
            client.write_all(question).await.unwrap();
            assert_eq!(message(&mut client).await.unwrap().unwrap(), answer);
        }
        assert_eq!(asked.recv().await.unwrap(), [0, 0, 0, 1, 11]);
        assert_eq!(asked.recv().await.unwrap(), [0, 0, 0, 2, 13, 9]);
        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn key_files_are_served_by_an_agent_of_ours() {
        let (dir, store) = store();
        let key = dir.path().join("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "a-name", "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .status()
            .await;
        if made.is_err() {
            eprintln!("skipped: there is no ssh-keygen here");
            return;
        }
        let agent = Agent::open(&store, "default", std::slice::from_ref(&key)).await.unwrap();
        let socket = Socket::open(&store, agent, (0, 0), 0o600).unwrap();
        let mut client = UnixStream::connect(socket._place.socket()).await.unwrap();
        client.write_all(&[0, 0, 0, 1, 11]).await.unwrap();
        let answer = message(&mut client).await.unwrap().unwrap();
        assert_eq!(answer.get(4), Some(&12));
        assert!(answer.windows(6).any(|name| name == b"a-name"));
        fs::write(&key, "no key").unwrap();
        let error = Agent::open(&store, "x", &[key]).await.unwrap_err().to_string();
        assert!(error.contains("--ssh x=") && error.contains("cannot be used"), "{error}");
    }
}
