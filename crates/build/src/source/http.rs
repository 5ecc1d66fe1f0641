//! Files of web servers. The store keeps them as blobs, and remembers which tag a server gave to which content: a file that
//! has not changed is not fetched again.

use std::fs::File;
use std::path::PathBuf;

use archipel_dockerfile::redacted;
use archipel_oci::{Algorithm, Digest, DigestError};
use archipel_remote::{DownloadRequest, DownloadStream, Secret};
use archipel_store::{Store, layer};
use jiff::fmt::rfc2822;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{once, secret};
use crate::exec::blocking;
use crate::spool::Spool;
use crate::{Engine, Error, Request};

/// A file that is here now.
#[derive(Clone, Debug)]
pub(crate) struct HttpFile {
    pub(crate) digest: Digest,
    /// The store's blob. It never changes.
    pub(crate) path: PathBuf,
    /// `Last-Modified` in seconds since 1970. Where the server does not say, the file has the time 0, as with BuildKit.
    pub(crate) modified: Option<i64>,
}

/// What makes two answers the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    url: String,
    algorithm: Algorithm,
}

/// What the store remembers of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    digest: Digest,
    size: u64,
    etag: Option<String>,
    modified: Option<i64>,
}

impl Engine {
    /// The file of an address. With a `checksum` it must have that digest; one that is here already is then not asked for.
    pub(crate) async fn http_file(
        &self,
        url: &str,
        checksum: Option<&str>,
        request: &Request,
    ) -> Result<HttpFile, Error> {
        let checksum = checksum.map(parse_checksum).transpose()?;
        let algorithm = checksum.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let address = Address { url: url.to_owned(), algorithm };
        let record = self.http_record(&address).await?;
        if let Some(record) = record.as_ref().filter(|record| Some(&record.digest) == checksum.as_ref()) {
            return Ok(self.http_file_of(record));
        }
        let wanted = address.clone();
        let file = once(&self.sources.files, address, async {
            let record = self.http_fetch(&wanted, record, request).await?;
            Ok(self.http_file_of(&record))
        })
        .await?;
        match checksum {
            Some(expected) if expected != file.digest => {
                let shown = super::address(url);
                Err(Error::Request(format!("digest mismatch for {shown}: {} (expected: {expected})", file.digest)))
            }
            _ => Ok(file),
        }
    }

    fn http_file_of(&self, record: &Record) -> HttpFile {
        let path = self.store.blobs().path(&record.digest);
        HttpFile { digest: record.digest.clone(), path, modified: record.modified }
    }

    /// What is remembered of an address, if its content is still here.
    async fn http_record(&self, address: &Address) -> Result<Option<Record>, Error> {
        let (store, key) = (self.store.clone(), key(address));
        blocking(move || {
            let Some(bytes) = store.cache_get(&key)? else { return Ok(None) };
            let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(None) };
            Ok((store.blobs().size(&record.digest)? == Some(record.size)).then_some(record))
        })
        .await
        .map_err(|e: archipel_store::Error| e.into())
    }

    async fn http_fetch(&self, address: &Address, known: Option<Record>, request: &Request) -> Result<Record, Error> {
        let asked = DownloadRequest {
            url: address.url.clone(),
            // What a person adds may be as large as the disk is.
            limit: u64::MAX,
            authorization: authorization(&address.url, request)?,
            etag: known.as_ref().and_then(|record| record.etag.clone()),
        };
        let fetched = async {
            match (self.client.download(&asked).await?, known) {
                (Some(stream), _) => self.http_store(address, stream).await,
                (None, Some(record)) => Ok(record),
                // Nothing was asked about that could be unchanged.
                (None, None) => Err(Error::Request(format!("{}: the server sends nothing", redacted(&address.url)))),
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Interrupted),
            fetched = fetched => fetched,
        }
    }

    async fn http_store(&self, address: &Address, mut stream: DownloadStream) -> Result<Record, Error> {
        let etag = stream.etag().map(str::to_owned);
        let modified = stream.last_modified().and_then(seconds);
        let (packed, algorithm) = (stream.is_packed(), address.algorithm);
        let spool = Spool::new(&self.store, address.algorithm);
        while let Some(piece) = stream.chunk().await? {
            if !spool.write(piece).await {
                break;
            }
        }
        let ingest = spool.finish().await?;
        let (store, key) = (self.store.clone(), key(address));
        blocking(move || {
            let (mut digest, mut size) = ingest.commit(None).map_err(archipel_store::Error::from)?;
            if packed {
                (digest, size) = unpacked(&store, &digest, algorithm)?;
            }
            let record = Record { digest, size, etag, modified };
            store.cache_put(&key, json!(record).to_string().as_bytes())?;
            Ok(record)
        })
        .await
    }
}

/// Takes in the file that a server packed for the way.
fn unpacked(store: &Store, packed: &Digest, algorithm: Algorithm) -> Result<(Digest, u64), Error> {
    let path = store.blobs().path(packed);
    let told = || Error::io(format!("unpack {}", path.display()));
    let mut content = File::open(&path).and_then(layer::decompress).map_err(told())?;
    let mut ingest = store.blobs().ingest(algorithm).map_err(archipel_store::Error::from)?;
    std::io::copy(&mut content, &mut ingest).map_err(told())?;
    Ok(ingest.commit(None).map_err(archipel_store::Error::from)?)
}

/// An address may carry a signature, so the store knows it by its digest only.
fn key(address: &Address) -> Digest {
    Digest::of(json!({ "http": address.url, "algorithm": address.algorithm.name() }).to_string().as_bytes())
}

/// `--checksum` of an ADD of a file. The words are those of BuildKit's library, which people search for.
pub(crate) fn parse_checksum(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|e| {
        let what = match e {
            DigestError::Form(_) => "invalid checksum digest format",
            DigestError::Algorithm(_) => "unsupported digest algorithm",
        };
        Error::Request(format!(
            "--checksum={text}: {what}; it should be sha256: and 64 digits, sha384: and 96, or sha512: and 128"
        ))
    })
}

/// The secrets that BuildKit knows for a host.
fn authorization(url: &str, request: &Request) -> Result<Option<Secret>, Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    if let Some(header) = secret(request, &format!("HTTP_AUTH_HEADER_{host}"))? {
        return Ok(Some(header));
    }
    let token = secret(request, &format!("HTTP_AUTH_TOKEN_{host}"))?;
    Ok(token.map(|token| Secret::new(format!("Bearer {}", token.expose()))))
}

/// The time of a header. The two forms that RFC 9110 calls obsolete are not read: no server sends them.
fn seconds(date: &str) -> Option<i64> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok().map(|time| time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Secret as Given, SecretSource};

    #[test]
    fn times_and_checksums() {
        assert_eq!(seconds("Sun, 13 Sep 2020 12:26:40 GMT"), Some(1_600_000_000));
        assert_eq!(seconds("yesterday"), None);
        let hex = "a".repeat(64);
        assert!(parse_checksum(&format!("sha256:{hex}")).is_ok());
        for (text, message) in [
            (hex.clone(), "invalid checksum digest format"),
            (format!("unknown:{hex}"), "unsupported digest algorithm"),
        ] {
            assert!(parse_checksum(&text).unwrap_err().to_string().contains(message));
        }
    }

    #[test]
    fn secrets_of_a_host() {
        let mut request = Request::empty();
        let given = |id: &str, value: &str| Given { id: id.into(), source: SecretSource::Value(value.into()) };
        request.secrets = vec![given("HTTP_AUTH_TOKEN_h.example", "hush\n"), given("HTTP_AUTH_HEADER_::1", "Basic x")];
        let header = |url: &str| authorization(url, &request).unwrap().map(|secret| secret.expose().to_owned());
        assert_eq!(header("https://me@h.example:444/x?y").as_deref(), Some("Bearer hush"));
        assert_eq!(header("https://other.example/h.example"), None);
        assert_eq!(header("http://[::1]:80/").as_deref(), Some("Basic x"));
    }
}
