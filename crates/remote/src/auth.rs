//! Logging in: challenges, tokens, and what is kept of them.
//!
//! A registry says at the first 401 how it wants to be asked (RFC 9110 section 11.6.1; Docker's "Token Authentication
//! Specification"). The challenge is kept for the endpoint, so that a token for another scope is fetched without running
//! into another 401 first; tokens are kept until shortly before they expire.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::credentials::BASE64;
use crate::{Credential, Secret};

/// The specification's default for a token that does not say how long it lives.
const DEFAULT_LIFE: u64 = 60;

/// No token is kept longer without asking again.
const LONGEST_LIFE: u64 = 3600;

/// What a request needs to be allowed to do: resources (`repository:a/b`) with actions (`pull`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    resources: BTreeMap<String, BTreeSet<String>>,
    /// The repository that the request is about, which decides whose credentials are used.
    repository: String,
}

impl Scope {
    pub(crate) fn pull(repository: &str) -> Self {
        Self::of(repository, &["pull"])
    }

    pub(crate) fn push(repository: &str) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    pub(crate) fn delete(repository: &str) -> Self {
        Self::of(repository, &["delete", "pull"])
    }

    fn of(repository: &str, actions: &[&str]) -> Self {
        Self { repository: repository.to_owned(), ..Self::default() }.and(repository, actions)
    }

    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// The same, and `actions` on one more repository.
    pub(crate) fn and(mut self, repository: &str, actions: &[&str]) -> Self {
        let entry = self.resources.entry(format!("repository:{repository}")).or_default();
        entry.extend(actions.iter().map(|&a| a.to_owned()));
        self
    }

    /// Reads the `scope` of a challenge: words of the form `type:name:action,action`; names may have colons.
    fn parse(text: &str) -> Self {
        let mut scope = Self::default();
        for word in text.split_ascii_whitespace() {
            if let Some((resource, actions)) = word.rsplit_once(':') {
                let entry = scope.resources.entry(resource.to_owned()).or_default();
                entry.extend(actions.split(',').map(str::to_owned));
            }
        }
        scope
    }

    fn merge(&mut self, other: Self) {
        for (resource, actions) in other.resources {
            self.resources.entry(resource).or_default().extend(actions);
        }
    }

    fn covers(&self, other: &Self) -> bool {
        other
            .resources
            .iter()
            .all(|(resource, actions)| self.resources.get(resource).is_some_and(|own| own.is_superset(actions)))
    }

    fn words(&self) -> impl Iterator<Item = String> {
        self.resources.iter().map(|(resource, actions)| {
            format!("{resource}:{}", actions.iter().map(String::as_str).collect::<Vec<_>>().join(","))
        })
    }
}

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The best of those in an answer.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            for (scheme, parameters) in parse_challenges(&String::from_utf8_lossy(value.as_bytes())) {
                let parameter = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
                match scheme.as_str() {
                    "bearer" => {
                        if let Some(realm) = parameter("realm") {
                            return Some(Self::Bearer {
                                realm,
                                service: parameter("service"),
                                scope: parameter("scope"),
                            });
                        }
                    }
                    "basic" => basic = Some(Self::Basic),
                    _ => {}
                }
            }
        }
        basic
    }
}

/// `Scheme a="b", c=d, Other e="f"` as pairs of scheme and parameters, both in lower case.
fn parse_challenges(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = read_value(value.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            if !word.is_empty() {
                found.push((word.to_ascii_lowercase(), Vec::new()));
            }
            rest = after;
        }
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    found
}

/// A token or a quoted string, and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// What goes along with a request.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) header: HeaderValue,
    /// For whom it is; nobody for an anonymous token.
    pub(crate) user: Option<String>,
    /// A password itself, so that a refusal means that it is wrong; a token was given for a right one.
    pub(crate) basic: bool,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Authorization {
    pub(crate) fn basic(user: &str, secret: &Secret) -> Option<Self> {
        let pair = Zeroizing::new(format!("{user}:{}", secret.expose()));
        let header = secret_header(&Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes()))))?;
        Some(Self { header, user: Some(user.to_owned()), basic: true })
    }
}

/// A header that debug output does not show.
fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// What is known of logging in at one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Session {
    challenge: Mutex<Option<Challenge>>,
    granted: Mutex<Vec<Grant>>,
    /// Held while a token is fetched: a hundred blobs that start at once need one token, not a hundred.
    pub(crate) fetching: tokio::sync::Mutex<()>,
    /// Why no credentials are known although some should be.
    note: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Grant {
    scope: Scope,
    authorization: Authorization,
    until: Option<Instant>,
}

impl Session {
    pub(crate) fn challenge(&self) -> Option<Challenge> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a challenge, without its scope: that is the one request's.
    pub(crate) fn challenged(&self, mut challenge: Challenge) {
        if let Challenge::Bearer { scope, .. } = &mut challenge {
            *scope = None;
        }
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    pub(crate) fn note(&self) -> Option<String> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_note(&self, note: Option<String>) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// A kept authorization for the scope.
    pub(crate) fn granted(&self, scope: &Scope) -> Option<Authorization> {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let valid = |grant: &&Grant| grant.until.is_none_or(|until| now < until) && grant.scope.covers(scope);
        granted.iter().rev().find(valid).map(|grant| grant.authorization.clone())
    }

    /// Keeps one.
    pub(crate) fn grant(&self, scope: Scope, authorization: Authorization, life: Option<Duration>) {
        let now = Instant::now();
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.retain(|grant| grant.until.is_none_or(|until| now < until) && !scope.covers(&grant.scope));
        granted.push(Grant { scope, authorization, until: life.map(|life| now + life) });
    }

    /// Forgets one that the registry does not take any more.
    pub(crate) fn revoke(&self, header: &HeaderValue) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.retain(|grant| grant.authorization.header != header);
    }
}

/// A request for a token, ready to be sent.
pub(crate) struct TokenRequest {
    pub(crate) url: Url,
    pub(crate) basic: Option<Authorization>,
    /// The form of an OAuth2 POST; without one it is a GET.
    pub(crate) form: Option<Zeroizing<String>>,
    /// What the token will be good for.
    pub(crate) scope: Scope,
}

impl TokenRequest {
    /// `realm`, `service` and `asked` are the challenge's.
    pub(crate) fn new(
        realm: Url,
        service: Option<&str>,
        asked: Option<&str>,
        wanted: &Scope,
        credential: Option<&Credential>,
    ) -> Self {
        let mut scope = wanted.clone();
        scope.merge(Scope::parse(asked.unwrap_or_default()));
        let mut url = realm;
        if let Some(Credential::IdentityToken(token)) = credential {
            // The encoder for forms is the one for queries.
            let mut form = Url::parse("form:").unwrap_or_else(|_| url.clone());
            form.query_pairs_mut()
                .append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "archipel")
                .append_pair("refresh_token", token.expose())
                .append_pair("scope", &scope.words().collect::<Vec<_>>().join(" "))
                .extend_pairs(service.map(|s| ("service", s)));
            let form = Zeroizing::new(form.query().unwrap_or_default().to_owned());
            return Self { url, basic: None, form: Some(form), scope };
        }
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(service.map(|s| ("service", s)));
            query.extend_pairs(scope.words().map(|word| ("scope", word)));
        }
        let basic = match credential {
            Some(Credential::Password { user, secret }) => {
                url.query_pairs_mut().append_pair("account", user);
                Authorization::basic(user, secret)
            }
            _ => None,
        };
        Self { url, basic, form: None, scope }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

/// Reads a token server's answer: the authorization and how long to keep it.
pub(crate) fn read_token(bytes: &[u8], user: Option<&str>) -> Option<(Authorization, Duration)> {
    let answer: TokenAnswer = serde_json::from_slice(bytes).ok()?;
    let filled = |secret: &Secret| !secret.expose().is_empty();
    let token = answer.token.filter(filled).or(answer.access_token.filter(filled))?;
    let header = secret_header(&Zeroizing::new(format!("Bearer {}", token.expose())))?;
    // A tenth less than its life, for the time that it and the request travel.
    let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE).clamp(1, LONGEST_LIFE)) * 9 / 10;
    Some((Authorization { header, user: user.map(str::to_owned), basic: false }, life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_all_kinds() {
        let challenge = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
            Challenge::of(&headers)
        };
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            })
        };
        assert_eq!(
            challenge(r#"Bearer realm="https://a/token",service="r", scope="repository:a/b:pull,push""#),
            bearer("https://a/token", Some("r"), Some("repository:a/b:pull,push"))
        );
        assert_eq!(challenge(r#"Basic realm="x", bearer REALM="r\"q" "#), bearer("r\"q", None, None));
        assert_eq!(challenge("Basic"), Some(Challenge::Basic));
        assert_eq!(challenge(r#"Digest realm="x", qop="auth, auth-int", Basic realm=y"#), Some(Challenge::Basic));
        for odd in ["", ",,=,", "Bearer", "Bearer realm", r#"Bearer scope="x"#, "=\"", "Negotiate abc=="] {
            assert_eq!(challenge(odd), None, "{odd}");
        }
    }

    #[test]
    fn scopes() {
        let mut scope = Scope::push("a/b").and("c", &["pull"]);
        assert_eq!(scope.words().collect::<Vec<_>>(), ["repository:a/b:pull,push", "repository:c:pull"]);
        assert!(scope.covers(&Scope::pull("c")) && !scope.covers(&Scope::push("c")));
        scope.merge(Scope::parse("registry:catalog:* repository:host:5000/x:pull"));
        assert!(scope.covers(&Scope::pull("host:5000/x")));
    }

    #[test]
    fn a_grant_serves_what_it_covers() {
        let session = Session::default();
        let (token, life) = read_token(br#"{"access_token":"t","expires_in":300}"#, None).unwrap();
        assert_eq!(life, Duration::from_secs(270));
        assert!(!format!("{token:?}").contains("Bearer"));
        session.grant(Scope::push("a"), token.clone(), Some(life));
        assert!(session.granted(&Scope::pull("a")).is_some() && session.granted(&Scope::pull("b")).is_none());
        session.revoke(&token.header);
        assert!(session.granted(&Scope::pull("a")).is_none());
        session.grant(Scope::push("a"), token, Some(Duration::ZERO));
        assert!(session.granted(&Scope::pull("a")).is_none());
    }
}
