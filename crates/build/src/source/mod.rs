//! What comes from elsewhere: files of web servers and the trees of git repositories, for ADD and for contexts.
//!
//! Both are known by content before anything is done with them, so that a step's key can be made: a file by its digest, a
//! repository by the files of the commit that a name stands for. To learn which that is costs a question; of a commit that was
//! seen before nothing is fetched.

mod checkout;
mod command;
mod git;
mod http;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use archipel_dockerfile::redacted;
use archipel_remote::Secret;
use tokio::sync::OnceCell;

pub(crate) use git::{GitCommit, GitTree};
pub(crate) use http::HttpFile;

use crate::request::SecretSource;
use crate::{Error, Request};

/// What an engine remembers of sources while it lives: all platforms and stages of a build see the same content, even while
/// somebody changes it.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Known<http::Address, HttpFile>,
    commits: Known<git::Name, GitCommit>,
}

/// Answers that are asked for once.
type Known<K, V> = Mutex<HashMap<K, Arc<OnceCell<V>>>>;

async fn once<K: Eq + Hash, V: Clone>(
    known: &Known<K, V>,
    key: K,
    ask: impl Future<Output = Result<V, Error>>,
) -> Result<V, Error> {
    let cell = known.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
    cell.get_or_try_init(|| ask).await.cloned()
}

/// An address as it may be shown and published: without a login, and without a query, which may hold a signature.
pub(crate) fn address(url: &str) -> String {
    redacted(url.split(['?', '#']).next().unwrap_or(url))
}

/// A secret of the request, if there is one of that name. A line's end at its end is an editor's and no part of it.
fn secret(request: &Request, name: &str) -> Result<Option<Secret>, Error> {
    let Some(given) = request.secrets.iter().find(|secret| secret.id == name) else { return Ok(None) };
    let bytes = match &given.source {
        SecretSource::Value(bytes) => bytes.clone(),
        SecretSource::File(path) => {
            std::fs::read(path).map_err(Error::io(format!("secret {name} from {}", path.display())))?
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| Error::Request(format!("secret {name} is not UTF-8 text")))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}
