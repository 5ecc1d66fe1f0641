//! Lists: tags of a repository, repositories of a registry.

use std::collections::BTreeSet;

use archipel_oci::{Reference, valid_repository, valid_tag};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::auth::Scope;
use crate::request::Call;
use crate::{Client, Error};

/// One page of a list. Registries have at most some thousands of names per page.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// Pages of one list: more than any list has, less than forever.
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    /// `null` in a repository without tags.
    #[serde(alias = "repositories")]
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of the reference's repository, as the registry sorts them. The registry itself is asked: a mirror has those
    /// that somebody pulled.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, Error> {
        let origin = self.origin(reference.registry())?;
        let subject = format!("tags of {}", reference.name());
        let url = origin.url(reference.repository(), "tags/list");
        let call = Call::new(&origin, Method::GET, url, Scope::pull(reference.repository()), &subject);
        self.list(call, valid_tag).await
    }

    /// All repositories of a registry.
    pub async fn catalog(&self, registry: &str) -> Result<Vec<String>, Error> {
        let origin = self.origin(registry)?;
        // The scope is the registry's to name: there are several conventions.
        let call = Call::new(&origin, Method::GET, origin.top("_catalog"), Scope::default(), "list of repositories");
        self.list(call, valid_repository).await
    }

    async fn list(&self, mut call: Call<'_>, valid: fn(&str) -> bool) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..MAX_PAGES {
            if !seen.insert(call.url.to_string()) {
                return Err(call.protocol("the list of the registry has no end"));
            }
            let reply = self.send(&call, MAX_PAGE).await?;
            let page: Page = serde_json::from_slice(&reply.bytes)
                .map_err(|e| call.protocol(format!("the list that the registry sends is not valid: {e}")))?;
            // Names end in terminals and in paths: those that no registry may have are left out.
            names.extend(page.tags.unwrap_or_default().into_iter().filter(|name| valid(name)));
            match next_page(&reply.headers, &reply.url) {
                Some(next) if call.endpoint.owns(&next) => call.url = next,
                Some(_) => return Err(call.protocol("the list of the registry goes on at another host")),
                None => return Ok(names),
            }
        }
        Err(call.protocol(format!("the list of the registry has more than {MAX_PAGES} pages")))
    }
}

/// `Link: </v2/a/tags/list?last=b&n=2>; rel="next"` (RFC 8288).
pub(crate) fn next_page(headers: &HeaderMap, from: &Url) -> Option<Url> {
    headers.get_all(LINK).iter().find_map(|value| {
        let (target, parameters) = value.to_str().ok()?.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        // Relative to the path alone: some registries behind a proxy name another scheme or host.
        let absolute = from.join(target).ok().filter(|_| next)?;
        let mut url = from.clone();
        url.set_path(absolute.path());
        url.set_query(absolute.query());
        Some(url)
    })
}
