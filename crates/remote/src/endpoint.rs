//! A place where a registry is served: the registry itself or one of its mirrors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archipel_oci::DOCKER_HUB;
use reqwest::Url;
use tokio::sync::Semaphore;

use crate::auth::Session;
use crate::tls::Trust;
use crate::{Config, ConfigError, Options};

/// Where Docker Hub serves what is named `docker.io`.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Requests that answer at once, beside the blobs that travel: a listing must not wait behind gigabytes.
const SMALL_REQUESTS: usize = 16;

#[derive(Debug)]
pub(crate) struct Endpoint {
    /// What messages call it.
    pub(crate) name: String,
    /// What configuration and credentials call it.
    pub(crate) host: String,
    /// `https://host/v2/prefix/`.
    base: Url,
    /// `prefix/`, or nothing: it stands before the repository's name, in addresses and in scopes.
    prefix: String,
    /// The registry that it mirrors.
    mirror_of: Option<String>,
    pub(crate) trust: Trust,
    pub(crate) session: Session,
    /// Blobs on their way to us. Apart from those on their way from us, so that a copy within one host cannot wait for itself.
    pub(crate) downloads: Arc<Semaphore>,
    pub(crate) uploads: Semaphore,
    pub(crate) small: Semaphore,
    answered: AtomicBool,
}

impl Endpoint {
    /// `place` is `HOST[:PORT][/PREFIX]`.
    pub(crate) fn new(
        place: &str,
        mirror_of: Option<&str>,
        config: &Config,
        options: &Options,
    ) -> Result<Self, ConfigError> {
        let (host, own) = place.split_once('/').unwrap_or((place, ""));
        let (served, before) = config.location(host).map_or((host, ""), |l| l.split_once('/').unwrap_or((l, "")));
        let prefix: String =
            [before, own].iter().filter(|part| !part.is_empty()).map(|part| format!("{part}/")).collect();
        let scheme = if config.plain(served) { "http" } else { "https" };
        let address = if served == DOCKER_HUB { DOCKER_HUB_HOST } else { served };
        let base = Url::parse(&format!("{scheme}://{address}/v2/{prefix}"))
            .map_err(|e| ConfigError { message: format!("`{place}` is not a registry's host: {e}"), span: None })?;
        Ok(Self {
            name: mirror_of.map_or_else(|| host.to_owned(), |of| format!("{place} (mirror of {of})")),
            host: host.to_owned(),
            base,
            prefix,
            mirror_of: mirror_of.map(str::to_owned),
            trust: config.trust(served),
            session: Session::default(),
            downloads: Arc::new(Semaphore::new(options.max_requests_per_host.max(1))),
            uploads: Semaphore::new(options.max_requests_per_host.max(1)),
            small: Semaphore::new(SMALL_REQUESTS),
            answered: AtomicBool::new(false),
        })
    }

    /// The repository's name as this place knows it.
    pub(crate) fn repository(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }

    /// The address of something in a repository. Names, tags and digests need no escaping: their grammar sees to it.
    pub(crate) fn url(&self, repository: &str, tail: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{repository}/{tail}", self.base.path()));
        if let Some(registry) = &self.mirror_of {
            // A cache of several registries learns from it which one is meant (the convention of containerd's mirrors).
            url.query_pairs_mut().append_pair("ns", registry);
        }
        url
    }

    /// The address of something that is not in a repository (`""`, `_catalog`).
    pub(crate) fn top(&self, tail: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{tail}"));
        url
    }

    /// Whether an address belongs to this place, so that its credentials may go there.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        same_origin(&self.base, url)
    }

    /// Reads a `Location`. A registry behind a proxy that ends TLS often believes that it is spoken to in plain HTTP and
    /// says so; the same host is then asked the way that is known to work. Any other step down from HTTPS is refused.
    pub(crate) fn follow(&self, from: &Url, location: &str) -> Result<Url, String> {
        let mut to =
            from.join(location).map_err(|e| format!("the registry sends us to an address that is none: {e}"))?;
        if !matches!(to.scheme(), "http" | "https") {
            return Err(format!("the registry sends us to an address of the kind `{}`", to.scheme()));
        }
        if from.scheme() == "https" && to.scheme() == "http" {
            let same_port = to.port().is_none_or(|port| Some(port) == from.port_or_known_default());
            if to.host_str() != from.host_str() || !same_port {
                return Err(format!("the registry sends us from HTTPS to plain HTTP at {}", host_of(&to)));
            }
            // Both are known to be valid for this kind of address.
            let _ = to.set_scheme("https");
            let _ = to.set_port(from.port());
        }
        Ok(to)
    }

    /// It has answered in this process, so that a refused connection means that it restarts and not that it is misnamed.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn answers(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// `host[:port]` of an address: all of it that is fit for messages.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(place: &str, of: Option<&str>) -> Endpoint {
        Endpoint::new(place, of, &Config::default(), &Options::default()).unwrap()
    }

    #[test]
    fn addresses() {
        let hub = endpoint("docker.io", None);
        assert_eq!(
            hub.url("library/busybox", "manifests/1").as_str(),
            "https://registry-1.docker.io/v2/library/busybox/manifests/1"
        );
        let mirror = endpoint("127.0.0.1:5/hub", Some("docker.io"));
        assert_eq!(mirror.url("a/b", "tags/list").as_str(), "http://127.0.0.1:5/v2/hub/a/b/tags/list?ns=docker.io");
        assert_eq!(mirror.repository("a/b"), "hub/a/b");
        assert_eq!(mirror.name, "127.0.0.1:5/hub (mirror of docker.io)");
        let config = Config::parse("[registry.\"docker.io\"]\nlocation = \"127.0.0.1:5/hub\"").unwrap();
        let moved = Endpoint::new("docker.io", None, &config, &Options::default()).unwrap();
        assert_eq!(moved.url("a/b", "tags/list").as_str(), "http://127.0.0.1:5/v2/hub/a/b/tags/list");
        assert_eq!((moved.host.as_str(), moved.repository("a/b").as_str()), ("docker.io", "hub/a/b"));
    }

    #[test]
    fn locations() {
        let here = endpoint("r.example", None);
        let from = here.url("a", "blobs/uploads/");
        assert_eq!(here.follow(&from, "/v2/x?y=1").unwrap().as_str(), "https://r.example/v2/x?y=1");
        assert_eq!(here.follow(&from, "http://r.example/x").unwrap().as_str(), "https://r.example/x");
        assert_eq!(here.follow(&from, "http://r.example:443/x").unwrap().as_str(), "https://r.example/x");
        assert!(here.follow(&from, "http://r.example:8080/x").is_err());
        assert!(here.follow(&from, "http://other.example/x").unwrap_err().contains("plain HTTP"));
        assert!(here.follow(&from, "file:///etc/passwd").is_err());
        assert!(here.owns(&from) && !here.owns(&Url::parse("https://r.example:444/").unwrap()));
    }
}
