//! Credential helpers: `docker-credential-NAME get|store|erase`, a word on the command line, the question on standard
//! input, the answer on standard output.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{CredentialsError, Secret};

/// A helper may have to ask a person, or a cloud; but a build in CI must not hang on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What every helper says, with a status of 1, when it knows nothing (docker-credential-helpers, `ErrCredentialsNotFound`).
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// The user and secret that a helper keeps for a registry.
pub(crate) async fn get(name: &str, server: &str) -> Result<Option<(String, Secret)>, CredentialsError> {
    let output = run(name, "get", server.as_bytes()).await?;
    if !output.status.success() {
        let said = said(&output);
        return if said == NOT_FOUND { Ok(None) } else { Err(wrong(name, said)) };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|e| wrong(name, format!("its answer is not valid at line {}, column {}", e.line(), e.column())))?;
    Ok((!answer.secret.expose().is_empty()).then_some((answer.username, answer.secret)))
}

pub(crate) async fn store(name: &str, server: &str, user: &str, secret: &Secret) -> Result<(), CredentialsError> {
    let question = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": secret.expose() }).to_string();
    let output = run(name, "store", question.as_bytes()).await?;
    if output.status.success() { Ok(()) } else { Err(wrong(name, said(&output))) }
}

pub(crate) async fn erase(name: &str, server: &str) -> Result<(), CredentialsError> {
    let output = run(name, "erase", server.as_bytes()).await?;
    let said = said(&output);
    if output.status.success() || said == NOT_FOUND { Ok(()) } else { Err(wrong(name, said)) }
}

async fn run(name: &str, verb: &str, question: &[u8]) -> Result<Output, CredentialsError> {
    if name.contains('/') {
        return Err(wrong(name, "a helper's name has no `/`".into()));
    }
    let program = format!("docker-credential-{name}");
    let conversation = async {
        let mut child = Command::new(&program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its question answers all the same.
            let _ = stdin.write_all(question).await;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(PATIENCE, conversation).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(wrong(name, "the docker configuration names it, but it is not installed".into()))
        }
        Ok(Err(e)) => Err(wrong(name, e.to_string())),
        Err(_) => Err(wrong(name, "it does not answer".into())),
    }
}

/// What a helper that failed says of it: on standard output by its protocol, else on standard error.
fn said(output: &Output) -> String {
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    String::from_utf8_lossy(text).trim().chars().filter(|c| !c.is_control()).take(500).collect()
}

fn wrong(name: &str, reason: String) -> CredentialsError {
    CredentialsError::Helper { name: name.to_owned(), reason }
}
