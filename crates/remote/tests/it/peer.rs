//! Against a registry that somebody else wrote: Debian's `docker-registry` (distribution), with a password.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use archipel_oci::{Descriptor, Digest, Index, Manifest, RawManifest, media_type};
use archipel_remote::{AuthFailure, BlobSource, Client, Config, Credentials, Error, Options, Pushed, Secret};
use bytes::Bytes;

use crate::{blob, client_as, options, reference};

/// `me:secret` in bcrypt.
const HTPASSWD: &str = "me:$2b$04$wIFE1kJwJIjjML1Oiz.xPOxv6pK8cyNSXj1eBxVrfHjhgS5/ktHba\n";

struct Peer {
    host: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one on a free port, where it is installed.
fn peer() -> Option<Peer> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("htpasswd"), HTPASSWD).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:0\"}}\nauth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
        folder.path().display()
    );
    std::fs::write(path("config.yml"), config).unwrap();
    let started = Command::new("docker-registry")
        .arg("serve")
        .arg(path("config.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.ok()?;
    let log = BufReader::new(child.stderr.take().unwrap());
    let (found, host) = mpsc::channel();
    // The log is read to its end: a full pipe would stop the registry.
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on ") {
                let _ = found.send(rest.chars().take_while(|c| !matches!(c, '"' | ' ' | ',')).collect());
            }
        }
    });
    let host = host.recv_timeout(Duration::from_secs(20)).expect("docker-registry says where it listens");
    Some(Peer { host, child, _folder: folder })
}

#[expect(clippy::disallowed_methods, reason = "a test may read the environment")]
fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

async fn read(client: &Client, peer: &Peer, content: &[u8], offset: u64) -> Vec<u8> {
    let mut stream = client.blob(&reference(&peer.host, "team/app"), &blob(content), offset).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// Fails once in the middle.
struct Stumbles(Bytes, AtomicBool);

impl BlobSource for Stumbles {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        if offset > 0 && !self.1.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.0.open(offset)
    }
}

#[tokio::test]
async fn needs_docker_registry_a_life_of_an_image() {
    let Some(peer) = peer() else {
        // Where everything is said to be installed, nothing may go untested unseen.
        assert!(!in_ci(), "docker-registry is not installed");
        println!("skipped: docker-registry is not installed");
        return;
    };
    let client = client_as(&peer.host, "me", "secret");
    let name = |rest: &str| reference(&peer.host, rest);
    let content: Bytes = (0..3_000_000u32).map(|i| (i / 7) as u8).collect::<Vec<_>>().into();
    let push = |to: &'static str, from: &'static [&'static str]| {
        let (client, content) = (client.clone(), content.clone());
        let to = name(to);
        let from: Vec<String> = from.iter().map(|f| (*f).to_owned()).collect();
        async move { client.push_blob(&to, &blob(&content), &content, &from).await }
    };

    client.check_login(&peer.host, "me", &Secret::new("secret")).await.unwrap();
    let wrong = client.check_login(&peer.host, "me", &Secret::new("wrong")).await.unwrap_err();
    assert!(matches!(wrong, Error::Auth { failure: AuthFailure::Wrong { .. }, .. }), "{wrong}");
    let anonymous = Client::new(Config::default(), Credentials::default(), options());
    let missing = anonymous.tags(&name("team/app")).await.unwrap_err();
    assert!(matches!(missing, Error::Auth { failure: AuthFailure::Missing { .. }, .. }), "{missing}");

    assert_eq!(push("team/app", &[]).await.unwrap(), Pushed::Uploaded { bytes: content.len() as u64 });
    assert_eq!(push("team/app", &[]).await.unwrap(), Pushed::Existed);
    assert_eq!(push("team/other", &["none/such", "team/app"]).await.unwrap(), Pushed::Mounted);
    assert_eq!(read(&client, &peer, &content, 0).await, content);
    assert_eq!(read(&client, &peer, &content, 2_999_000).await, content.slice(2_999_000..));

    // In pieces, and after a source that failed, whose upload is left behind.
    let mut credentials = Credentials::default();
    credentials.insert(&peer.host, "me", Secret::new("secret"));
    let chunked = Client::new(Config::default(), credentials, Options { chunk_size: Some(1_000_000), ..options() });
    let again = Bytes::from([&content[..], b"!"].concat());
    let source = Stumbles(again.clone(), AtomicBool::new(false));
    let error = chunked.push_blob(&name("team/app"), &blob(&again), &source, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    let pushed = chunked.push_blob(&name("team/app"), &blob(&again), &source, &[]).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded { bytes: again.len() as u64 });
    assert_eq!(read(&client, &peer, &again, 0).await, again);

    // An image, then an index under a tag.
    let config = Bytes::from_static(b"{}");
    client.push_blob(&name("team/app"), &blob(&config), &config, &[]).await.unwrap();
    let layer = Descriptor { media_type: media_type::OCI_LAYER.into(), ..blob(&content) };
    let image =
        RawManifest::from_manifest(&Manifest::new(Descriptor::of(media_type::OCI_CONFIG, &config), vec![layer]));
    let index = RawManifest::from_index(&Index::new(vec![image.descriptor()]));
    client.push_manifest(&name("team/app").with_digest(image.digest().clone()), &image).await.unwrap();
    client.push_manifest(&name("team/app:1"), &index).await.unwrap();
    assert_eq!(client.resolve(&name("team/app:1")).await.unwrap(), index.descriptor());
    assert_eq!(client.manifest(&name("team/app:1")).await.unwrap(), index);
    assert_eq!(client.manifest(&name(&format!("team/app@{}", image.digest()))).await.unwrap(), image);
    assert_eq!(client.manifest_exists(&name("team/app:2")).await.unwrap(), None);
    assert_eq!(client.tags(&name("team/app")).await.unwrap(), ["1"]);
    assert_eq!(client.catalog(&peer.host).await.unwrap(), ["team/app", "team/other"]);
    assert!(client.referrers(&name("team/app:1"), None).await.unwrap().manifests.is_empty());

    // A child that is missing, in the registry's own words.
    let broken = RawManifest::from_index(&Index::new(vec![Descriptor::new(
        media_type::OCI_MANIFEST,
        Digest::of(b"missing"),
        7,
    )]));
    let error = client.push_manifest(&name("team/app:broken"), &broken).await.unwrap_err();
    assert!(error.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{error}");

    client.delete_manifest(&name(&format!("team/app@{}", index.digest()))).await.unwrap();
    assert!(client.manifest(&name("team/app:1")).await.unwrap_err().is_not_found());
    client.delete_blob(&name("team/other"), &Digest::of(&content)).await.unwrap();
    assert!(!client.blob_exists(&name("team/other"), &Digest::of(&content)).await.unwrap());
}
