//! Digests of stored bytes, and the identities made of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The hash functions registered by the OCI image specification ("Digests"), and the one that docker's tools know beside them. SHA-256 is
/// what we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`, 64 hexadecimal digits.
    Sha256,
    /// `sha384`, 96 hexadecimal digits.
    Sha384,
    /// `sha512`, 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No `algorithm:hex` form.
    #[error("`{0}` is not a digest: expected `sha256:` and 64 hexadecimal digits")]
    Form(String),
    /// An algorithm that is not registered.
    #[error("`{0}` has an unknown digest algorithm: sha256, sha384 and sha512 are known")]
    Algorithm(String),
}

/// The digest of stored bytes. Invariant: lower-case hexadecimal of the algorithm's length, so it is safe as a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    text: Box<str>,
    algorithm: Algorithm,
}

impl Digest {
    /// The SHA-256 of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash function.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits after the colon.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    /// `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first twelve digits, as people read them. Not an identity.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(8 + raw.len() * 2);
        text.push_str(algorithm.name());
        text.push(':');
        for byte in raw {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Self { text: text.into(), algorithm }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let Some((name, hex)) = text.split_once(':') else { return Err(DigestError::Form(text.into())) };
        let Some(algorithm) = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name) else {
            let wrong = if name.is_empty() || hex.is_empty() { DigestError::Form } else { DigestError::Algorithm };
            return Err(wrong(text.into()));
        };
        let lower_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != algorithm.hex_len() || !lower_hex {
            return Err(DigestError::Form(text.into()));
        }
        Ok(Self { text: text.into(), algorithm })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A running hash. The functions come from RustCrypto; they are named here only, so that another can take their place.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha384(Box<Sha384>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// An empty hash.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha384 => State::Sha384(Box::new(Sha384::new())),
            Algorithm::Sha512 => State::Sha512(Box::new(Sha512::new())),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(h) => h.update(bytes),
            State::Sha384(h) => h.update(bytes),
            State::Sha512(h) => h.update(bytes),
        }
    }

    /// The digest of everything that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(h) => Digest::from_raw(Algorithm::Sha256, &h.finalize()),
            State::Sha384(h) => Digest::from_raw(Algorithm::Sha384, &h.finalize()),
            State::Sha512(h) => Digest::from_raw(Algorithm::Sha512, &h.finalize()),
        }
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new(Algorithm::Sha256)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl $name {
            /// The digest inside.
            #[must_use]
            pub fn digest(&self) -> &Digest {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.parse().map(Self)
            }
        }
    };
}

identity! {
    /// The digest of a layer's uncompressed tar (`rootfs.diff_ids` of an image config).
    DiffId
}
identity! {
    /// The identity of a stack of layers (OCI image specification, "Layer ChainID").
    ChainId
}

impl ChainId {
    /// The chain of one more layer on top of `parent`, or of the first layer.
    #[must_use]
    pub fn extend(parent: Option<&ChainId>, layer: &DiffId) -> ChainId {
        match parent {
            None => ChainId(layer.0.clone()),
            Some(parent) => ChainId(Digest::of(format!("{parent} {layer}").as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        let good = Digest::of(b"");
        assert_eq!(good.as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(good.as_str().parse::<Digest>().unwrap(), good);
        assert_eq!(good.short(), "e3b0c44298fc");
        for bad in
            ["", ":", "sha256", "sha256:", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../etc"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert!(good.as_str().to_uppercase().parse::<Digest>().is_err());
    }

    #[test]
    fn longer_ones_are_known() {
        for (algorithm, digits, begins) in [(Algorithm::Sha384, 96, "cb00753f"), (Algorithm::Sha512, 128, "ddaf35a1")] {
            let mut h = Hasher::new(algorithm);
            h.update(b"abc");
            let d = h.finish();
            assert_eq!((d.hex().len(), &d.hex()[..8]), (digits, begins));
            assert_eq!(d.to_string().parse::<Digest>().unwrap(), d);
        }
    }

    #[test]
    fn chains_as_the_specification_does() {
        let a = DiffId(Digest::of(b"a"));
        let b = DiffId(Digest::of(b"b"));
        let first = ChainId::extend(None, &a);
        assert_eq!(first.0, a.0);
        assert_eq!(ChainId::extend(Some(&first), &b).0, Digest::of(format!("{a} {b}").as_bytes()));
    }
}
