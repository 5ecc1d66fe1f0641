//! Who may use the registry: everybody, or whoever knows one login.

use archipel_oci::Digest;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Code, Error, Result};

/// One user and their secret, as HTTP's Basic scheme sends them (RFC 7617). Kept as a digest: comparing those says nothing, by
/// the time that it takes, about the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login(Digest);

impl Login {
    /// A user's name and secret.
    #[must_use]
    pub fn new(user: &str, secret: &str) -> Self {
        Self(Digest::of(format!("{user}:{secret}").as_bytes()))
    }

    /// Lets a request in, or says how to log in.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<()> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let detail = match given {
            None => "this registry needs a login",
            Some(given) => match basic(given) {
                Some(pair) if Digest::of(&pair) == self.0 => return Ok(()),
                _ => "the user or the password is wrong",
            },
        };
        Err(Error::new(Code::Unauthorized, detail).with(header::WWW_AUTHENTICATE, "Basic realm=\"archipel registry\""))
    }
}

/// `user:secret` of a Basic header.
fn basic(header: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_once(' ')?;
    STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_login_and_no_other() {
        let login = Login::new("me", "a:b");
        let check = |value: Option<String>| {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (header::AUTHORIZATION, value.parse().unwrap())));
            login.check(&headers).is_ok()
        };
        let of = |pair: &str| Some(format!("Basic {}", STANDARD.encode(pair)));
        assert!(check(of("me:a:b")));
        assert!(check(of("me:a:b").map(|value| value.replace("Basic", "basic"))));
        for wrong in
            [None, of("me:a"), of("you:a:b"), Some("Bearer x".into()), Some("Basic !".into()), Some("Basic".into())]
        {
            assert!(!check(wrong.clone()), "{wrong:?}");
        }
    }
}
