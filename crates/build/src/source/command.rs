//! Runs `git`. Repositories are strangers' and so are the servers that they come from: no configuration, hook or helper of
//! this machine takes part, nobody is asked for a password, and only the protocols of the network are spoken. Credentials go
//! by the environment, never by arguments, which every user of the machine can read.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use archipel_dockerfile::{GitSource, redacted};
use archipel_remote::Secret;
use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::secret;
use crate::ssh::Agent;
use crate::{Engine, Error, Request};

/// The most that is kept of what git says. It answers our questions in a few lines.
const MAX_OUTPUT: usize = 1024 * 1024;

/// Variables by which git, started from within a repository's hook or by a person who debugs, would do something else.
const UNSET: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASKPASS",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_DEFAULT_HASH",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_PROXY_COMMAND",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_SSH",
    "GIT_TEMPLATE_DIR",
    "GIT_WORK_TREE",
    "SSH_ASKPASS",
    "XDG_CONFIG_HOME",
];

/// Settings of every run: no hooks, no work in the background, no waiting for a server that sends nothing.
const SETTINGS: &[(&str, &str)] = &[
    ("advice.detachedHead", "false"),
    ("core.hooksPath", "/dev/null"),
    ("fetch.recurseSubmodules", "false"),
    ("gc.auto", "0"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
    ("init.defaultBranch", "master"),
    ("maintenance.auto", "false"),
];

/// How git is run for one remote.
#[derive(Debug)]
pub(super) struct Git {
    /// The remote as messages show it.
    pub(super) shown: String,
    remote: String,
    authorization: Option<Secret>,
    agent: Option<Agent>,
    known_hosts: PathBuf,
}

/// What git said when it did not do it, fit to be shown.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

impl Git {
    pub(super) async fn new(engine: &Engine, source: &GitSource, request: &Request) -> Result<Self, Error> {
        let agent = match is_ssh(&source.remote) {
            true => engine.ssh_agent(request, "default").await?,
            false => None,
        };
        Ok(Self {
            shown: redacted(&source.remote),
            authorization: authorization(&source.remote, request)?,
            remote: source.remote.clone(),
            agent,
            known_hosts: engine.store.root().join("known_hosts"),
        })
    }

    /// Runs git in a folder and returns what it prints.
    pub(super) async fn run<A: AsRef<OsStr>>(&self, folder: &Path, args: &[A]) -> Result<String, Error> {
        self.attempt(folder, args).await?.map_err(|refused| self.error(&refused.0))
    }

    /// As [`Git::run`], where a refusal is no failure yet.
    pub(super) async fn attempt<A: AsRef<OsStr>>(
        &self,
        folder: &Path,
        args: &[A],
    ) -> Result<Result<String, Refused>, Error> {
        self.spawn(folder, args, "http:https:git:ssh").await
    }

    /// As [`Git::run`], for a repository on this machine that is ours.
    pub(super) async fn run_local<A: AsRef<OsStr>>(&self, folder: &Path, args: &[A]) -> Result<String, Error> {
        self.spawn(folder, args, "file").await?.map_err(|refused| self.error(&refused.0))
    }

    /// As [`Git::attempt`], for commands with `--depth=1`: without it where the server cannot do that. The simplest servers
    /// know nothing but files.
    pub(super) async fn attempt_shallow(
        &self,
        folder: &Path,
        args: &[&OsStr],
    ) -> Result<Result<String, Refused>, Error> {
        match self.attempt(folder, args).await? {
            Err(Refused(said)) if said.contains("shallow") || said.contains("--depth") => {
                let deep: Vec<&OsStr> = args.iter().copied().filter(|arg| *arg != "--depth=1").collect();
                self.attempt(folder, &deep).await
            }
            done => Ok(done),
        }
    }

    /// It is the remote's failure, or this machine's, and not a wrong request.
    pub(super) fn error(&self, reason: &str) -> Error {
        Error::Io { what: self.shown.clone(), source: io::Error::other(reason) }
    }

    async fn spawn<A: AsRef<OsStr>>(
        &self,
        folder: &Path,
        args: &[A],
        protocols: &str,
    ) -> Result<Result<String, Refused>, Error> {
        // By way of a shell for the file mode mask: it decides about the modes of the files in a checkout.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 022 && exec git \"$@\"", "git"]).args(args).current_dir(folder);
        for name in UNSET {
            command.env_remove(name);
        }
        command
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_SSH_COMMAND", self.ssh())
            .env("GIT_SSH_VARIANT", "ssh")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("HOME", "/dev/null")
            .env("LC_ALL", "C");
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent.socket());
        } else {
            // The person's keys are for those whom they were given to, with --ssh.
            command.env_remove("SSH_AUTH_SOCK");
        }
        let scope = format!("http.{}.extraheader", token_scope(&self.remote));
        let header = self.authorization.as_ref().map(|secret| format!("Authorization: {}", secret.expose()));
        let mut count = 0;
        let settings = SETTINGS.iter().copied().chain(header.as_ref().map(|header| (scope.as_str(), header.as_str())));
        for (key, value) in settings {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its helpers are stopped along with it.
        command.process_group(0);
        let mut child = command.spawn().map_err(Error::io("start git"))?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (out, err, status) = tokio::join!(bounded(stdout), bounded(stderr), child.wait());
        let status = status.map_err(Error::io("wait for git"))?;
        group.0 = None;
        if status.success() {
            return Ok(Ok(String::from_utf8_lossy(&out).into_owned()));
        }
        if status.code() == Some(127) {
            return Err(self.error("repositories need the program `git`, which is not installed"));
        }
        Ok(Err(Refused(self.said(&err))))
    }

    /// What git says on standard error, in one line and without anything secret.
    fn said(&self, err: &[u8]) -> String {
        let text = String::from_utf8_lossy(err);
        let lines = text.lines().map(|line| line.trim().trim_start_matches("fatal: ").trim_start_matches("error: "));
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let mut said = lines.join("; ").replace(&self.remote, &self.shown);
        if let Some(user) = user_of(&self.remote) {
            said = said.replace(&format!("{user}@"), "");
        }
        if let Some(secret) = &self.authorization {
            said = said.replace(secret.expose(), "***");
        }
        if said.is_empty() {
            return "git does not say why".into();
        }
        if self.agent.is_none() && is_ssh(&self.remote) && said.contains("Permission denied") {
            said.push_str(" This build has no keys: give it an agent's or one of your own, --ssh default[=KEYFILE]");
        }
        said
    }

    /// No configuration of ssh's, no questions. A host's key is believed when it is first seen, and then kept.
    fn ssh(&self) -> OsString {
        let mut command = OsString::from(
            "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o 'UserKnownHostsFile=\"",
        );
        // It is read by a shell and then by ssh; of a store in such a place no host key is kept.
        let path = self.known_hosts.as_os_str();
        let plain = !path.to_string_lossy().contains(['\'', '"', '\\', '%', '\n', '$']);
        command.push(if plain { path } else { OsStr::new("/dev/null") });
        command.push("\"'");
        command
    }
}

/// Processes that are killed unless they ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // They may have gone by themselves.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// Reads to the end and keeps the beginning.
async fn bounded(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut buffer = vec![0; 16 * 1024];
    // An error means that the other end is gone, which its status tells better.
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
    kept
}

/// The secrets that BuildKit knows: for this host first, then for all.
fn authorization(remote: &str, request: &Request) -> Result<Option<Secret>, Error> {
    let Some((_, rest)) = remote.split_once("://").filter(|_| remote.starts_with("http")) else { return Ok(None) };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    for suffix in [format!(".{host}"), String::new()] {
        if let Some(header) = secret(request, &format!("GIT_AUTH_HEADER{suffix}"))? {
            return Ok(Some(header));
        }
        if let Some(token) = secret(request, &format!("GIT_AUTH_TOKEN{suffix}"))? {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", token.expose()));
            return Ok(Some(Secret::new(format!("basic {pair}"))));
        }
    }
    Ok(None)
}

/// Where a token goes. One for GitHub is good for all of it, so that submodules can be had; any other for its repository.
fn token_scope(remote: &str) -> &str {
    ["https://github.com/", "https://www.github.com/"].into_iter().find(|p| remote.starts_with(p)).unwrap_or(remote)
}

fn is_ssh(remote: &str) -> bool {
    remote.starts_with("ssh://") || !remote.contains("://")
}

/// `user[:password]` of an address.
fn user_of(remote: &str) -> Option<&str> {
    let (_, rest) = remote.split_once("://")?;
    rest.split('/').next()?.rsplit_once('@').map(|(user, _)| user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tokens_go() {
        assert_eq!(token_scope("https://github.com/o/r.git"), "https://github.com/");
        assert_eq!(token_scope("https://h.example/r.git"), "https://h.example/r.git");
        assert!(is_ssh("git@h:r") && is_ssh("ssh://h/r") && !is_ssh("https://h/r.git"));
    }
}
