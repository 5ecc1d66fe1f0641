//! Which registries are reached how, and where devices are described: the keys that users know from `buildkitd.toml`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use archipel_oci::is_loopback;
use serde::Deserialize;
use toml::Spanned;

use crate::tls::Trust;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong.
    pub message: String,
    /// Where in the text, in bytes.
    pub span: Option<Range<usize>>,
}

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[registry."HOST"]`: one entry per registry, named as in references (`docker.io`, `127.0.0.1:5000`).
    pub registry: BTreeMap<String, RegistryConfig>,
    /// Folders in the form of Docker's `certs.d`: in `HOST[:PORT]/` every `*.crt` is a root, `X.cert` with `X.key` a client's
    /// keypair.
    pub certs_d: Vec<PathBuf>,
    /// `[cdi] specDirs`: where devices are described, if not at the usual places. No registry's business, but the file is one.
    pub cdi_spec_dirs: Option<Vec<PathBuf>>,
}

/// How one registry is reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// Where to ask first when reading: `HOST[:PORT][/PREFIX]`, in this order, then the registry itself.
    pub mirrors: Vec<String>,
    /// Where the registry really is, for reading and writing: `HOST[:PORT][/PREFIX]` (`location` of Podman's
    /// `registries.conf`). Its credentials stay those of its name.
    pub location: Option<String>,
    /// Plain HTTP. Without a word, a registry on loopback is spoken to in plain HTTP, unless certificates are named for it,
    /// and every other one in HTTPS.
    pub http: Option<bool>,
    /// HTTPS without looking at the certificate. Says nothing where plain HTTP is spoken.
    pub insecure: bool,
    /// Files with more root certificates, PEM.
    pub ca: Vec<PathBuf>,
    /// A client's certificate.
    pub keypair: Option<Keypair>,
}

/// A client's certificate, two PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keypair {
    /// The private key.
    pub key: PathBuf,
    /// The certificate, with its chain.
    pub cert: PathBuf,
}

/// The file as written, with places for messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    registry: BTreeMap<Spanned<String>, Section>,
    #[serde(default)]
    cdi: Cdi,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cdi {
    #[serde(rename = "specDirs")]
    spec_dirs: Option<Vec<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    mirrors: Vec<Spanned<String>>,
    location: Option<Spanned<String>>,
    http: Option<bool>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    ca: Vec<Spanned<PathBuf>>,
    #[serde(default)]
    keypair: Vec<Spanned<WrittenKeypair>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKeypair {
    key: Spanned<PathBuf>,
    cert: Spanned<PathBuf>,
}

impl Config {
    /// Reads the text of a `config.toml`. Paths in it are used as they are written.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = File::parse(text)?;
        let mut registry = BTreeMap::new();
        for (name, section) in file.registry {
            check_host(&name)?;
            for place in section.mirrors.iter().chain(&section.location) {
                check_host(place)?;
            }
            if let Some(second) = section.keypair.get(1) {
                let message = format!("registry `{}` has more than one keypair: one is used", name.get_ref());
                return Err(ConfigError { message, span: Some(second.span()) });
            }
            let section = RegistryConfig {
                mirrors: section.mirrors.into_iter().map(place).collect(),
                location: section.location.map(place),
                http: section.http,
                insecure: section.insecure,
                ca: section.ca.into_iter().map(Spanned::into_inner).collect(),
                keypair: section.keypair.into_iter().next().map(|pair| {
                    let WrittenKeypair { key, cert } = pair.into_inner();
                    Keypair { key: key.into_inner(), cert: cert.into_inner() }
                }),
            };
            registry.insert(name.into_inner(), section);
        }
        Ok(Self { registry, certs_d: Vec::new(), cdi_spec_dirs: file.cdi.spec_dirs })
    }

    /// The text with other paths of certificates and keys, for where they are somewhere else. `place` is asked for each, and `None`
    /// leaves it as it is.
    ///
    /// # Errors
    /// The text is no `config.toml`.
    pub fn relocated(text: &str, mut place: impl FnMut(&Path) -> Option<String>) -> Result<String, ConfigError> {
        let file = File::parse(text)?;
        let pairs = |pair| {
            let WrittenKeypair { key, cert } = Spanned::into_inner(pair);
            [key, cert]
        };
        let written = file
            .registry
            .into_values()
            .flat_map(|one| one.ca.into_iter().chain(one.keypair.into_iter().flat_map(pairs)));
        let mut written: Vec<Spanned<PathBuf>> = written.collect();
        written.sort_by_key(|path| path.span().start);
        let (mut moved, mut end) = (String::new(), 0);
        for path in written {
            if let Some(other) = place(path.get_ref()) {
                moved.push_str(&text[end..path.span().start]);
                // What JSON takes for a string TOML does too.
                moved.push_str(&serde_json::Value::from(other).to_string());
                end = path.span().end;
            }
        }
        Ok(moved + &text[end..])
    }

    /// Where a registry really is, if that is not where its name says.
    pub(crate) fn location(&self, host: &str) -> Option<&str> {
        self.registry.get(host).and_then(|r| r.location.as_deref())
    }

    /// The mirrors of a registry.
    pub(crate) fn mirrors(&self, host: &str) -> &[String] {
        self.registry.get(host).map_or(&[], |r| &r.mirrors)
    }

    /// Whether a host is spoken to in plain HTTP.
    pub(crate) fn plain(&self, host: &str) -> bool {
        let own = self.registry.get(host);
        let certificates = own.is_some_and(|r| !r.ca.is_empty() || r.keypair.is_some());
        own.and_then(|r| r.http).unwrap_or_else(|| is_loopback(host) && !certificates)
    }

    /// Whom to believe, and who to be, at a host.
    pub(crate) fn trust(&self, host: &str) -> Trust {
        let own = self.registry.get(host);
        Trust {
            direct: is_loopback(host),
            tls: !self.plain(host),
            insecure: own.is_some_and(|r| r.insecure),
            ca: own.map(|r| r.ca.clone()).unwrap_or_default(),
            keypair: own.and_then(|r| r.keypair.clone()),
            folders: self.certs_d.iter().map(|folder| folder.join(host)).collect(),
        }
    }

    /// Whether anything is said about a host.
    pub(crate) fn names(&self, host: &str) -> bool {
        self.registry.contains_key(host)
    }
}

impl File {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|e| ConfigError { message: e.message().to_owned(), span: e.span() })
    }
}

fn place(text: Spanned<String>) -> String {
    text.into_inner().trim_end_matches('/').to_owned()
}

/// A host is written as in references. `https://` in front is the most common mistake.
fn check_host(host: &Spanned<String>) -> Result<(), ConfigError> {
    let text = host.get_ref().as_str();
    let message = if let Some((scheme, rest)) = text.split_once("://") {
        let key = if scheme == "http" { " and set `http = true` for it" } else { "" };
        format!("`{text}` has a scheme: write `{}`{key}", rest.trim_end_matches('/'))
    } else if text.is_empty() || text.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@' | '\\')) {
        format!("`{text}` is not a registry's host")
    } else {
        return Ok(());
    };
    Err(ConfigError { message, span: Some(host.span()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_keys_of_buildkitd() {
        let text = r#"
            [registry."docker.io"]
            mirrors = ["127.0.0.1:5555", "cache.example/hub/"]
            [registry."127.0.0.1:5555"]
            http = false
            insecure = true
            ca = ["/etc/ca.pem"]
            keypair = [{ key = "/k", cert = "/c" }]
            [registry."10.0.0.1"]
            http = true
            [registry."ghcr.io"]
            location = "127.0.0.1:5000/ghcr/"
            [cdi]
            specDirs = ["/my/cdi"]
        "#;
        let config = Config::parse(text).unwrap();
        assert_eq!(config.mirrors("docker.io"), ["127.0.0.1:5555", "cache.example/hub"]);
        assert!(!config.plain("127.0.0.1:5555") && config.plain("10.0.0.1") && config.plain("localhost:1"));
        assert!(!config.plain("docker.io"));
        assert_eq!(config.location("ghcr.io"), Some("127.0.0.1:5000/ghcr"));
        assert_eq!(config.cdi_spec_dirs, Some(vec![PathBuf::from("/my/cdi")]));
        let trust = config.trust("127.0.0.1:5555");
        assert!(trust.insecure && trust.tls && trust.keypair.is_some());
    }

    #[test]
    fn files_can_be_somewhere_else() {
        let text = r#"# mine
            [registry."b"]
            keypair = [{ key = '/k', cert = "/c" }]
            mirrors = ["/k"]
            [registry."a"]
            ca = ["/ca", """/gone"""] # why
        "#;
        let mut asked = Vec::new();
        let moved = Config::relocated(text, |path| {
            asked.push(path.display().to_string());
            (path != Path::new("/gone")).then(|| format!("/in\"side{}", path.display()))
        });
        let expected = text
            .replace("'/k'", r#""/in\"side/k""#)
            .replace("\"/c\"", r#""/in\"side/c""#)
            .replace("\"/ca\"", r#""/in\"side/ca""#);
        assert_eq!(moved.unwrap(), expected);
        assert_eq!(asked, ["/k", "/c", "/ca", "/gone"]);
        assert_eq!(Config::parse(&expected).unwrap().registry["a"].ca[0], Path::new("/in\"side/ca"));
        assert!(Config::relocated("[registri]", |_| None).is_err());
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, message, place) in [
            ("[registry.\"a\"]\nmirors = []", "unknown field `mirors`", "mirors"),
            ("[registri.\"a\"]", "unknown field `registri`", "registri"),
            ("[registry.\"a\"]\nmirrors = [\"http://b/\"]", "write `b` and set `http = true`", "\"http://b/\""),
            ("[registry.\"https://a\"]", "write `a`", "\"https://a\""),
            ("[registry.\"a\"]\nhttp = 1", "expected a boolean", "1"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.message.contains(message), "{error}");
            assert_eq!(error.span.map(|s| &text[s]), Some(place), "{message}");
        }
    }
}
