//! Certificates in `data`: `ca.pem` signed `server.pem` (for 127.0.0.1), `other.pem` (for another name) and `client.pem`;
//! `self.pem` signed itself. All have the key `server.key`, which is worth nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use archipel_remote::{Client, Config, Credentials, Error, ErrorKind, Fault};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::server::{Server, Step, on};
use crate::{configured, index, options, reference};

const CA: &str = include_str!("data/ca.pem");
const SERVER: &str = include_str!("data/server.pem");
const OTHER: &str = include_str!("data/other.pem");
const SELF: &str = include_str!("data/self.pem");
const CLIENT: &str = include_str!("data/client.pem");
const KEY: &str = include_str!("data/server.key");

fn server(script: Vec<Step>, certificate: &str, asks: bool) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(CA.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap()).unwrap();
    Server::tls(script, Arc::new(config))
}

fn manifest() -> Step {
    on("GET", "/v2/a/manifests/1", 200).body(index().bytes())
}

/// `http = false`: loopback would be spoken to in plain HTTP.
fn told(server: &Server, more: &str) -> Client {
    configured(&format!("[registry.\"{}\"]\nhttp = false\n{more}\n", server.host))
}

async fn tls_error(client: &Client, server: &Server) -> String {
    let error = client.manifest(&reference(&server.host, "a:1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(matches!(&error, Error::Network { fault: Fault::Tls { .. }, .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn certificates_that_are_not_believed_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, CA).unwrap();
    // With an authority of our own, the test does not need those of the machine; they are not that of the certificate.
    let other = folder.path().join("other.pem");
    std::fs::write(&other, SELF).unwrap();
    let believe = |path: &std::path::Path| format!("ca = [\"{}\"]", path.display());

    let unknown = server(vec![], SERVER, false);
    let text = tls_error(&told(&unknown, &believe(&other)), &unknown).await;
    assert!(text.contains("authority that is not known") && text.contains("ca = ["), "{text}");
    assert!(text.contains(&format!("[registry.\"{}\"]", unknown.host)), "{text}");

    let alone = server(vec![], SELF, false);
    let text = tls_error(&told(&alone, &believe(&ca)), &alone).await;
    assert!(text.contains("authority that is not known") || text.contains("self-signed"), "{text}");

    let misnamed = server(vec![], OTHER, false);
    let text = tls_error(&told(&misnamed, &believe(&ca)), &misnamed).await;
    assert!(text.contains("for another name"), "{text}");

    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = plain.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = stream.read(&mut [0; 16]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let client = configured(&format!("[registry.\"{host}\"]\nhttp = false\n{}\n", believe(&ca)));
    let text = client.manifest(&reference(&host, "a:1")).await.unwrap_err().to_string();
    assert!(text.contains("http = true"), "{text}");
}

#[tokio::test]
async fn private_authorities_and_insecure() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, CA).unwrap();

    let known = server(vec![manifest()], SERVER, false);
    let client = told(&known, &format!("ca = [\"{}\"]", ca.display()));
    client.manifest(&reference(&known.host, "a:1")).await.unwrap();
    known.done();

    let anybody = server(vec![manifest()], SELF, false);
    told(&anybody, "insecure = true").manifest(&reference(&anybody.host, "a:1")).await.unwrap();
    anybody.done();

    let unreadable = told(&known, "ca = [\"/nonexistent/ca.pem\"]");
    let error = unreadable.manifest(&reference(&known.host, "a:1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Local);
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
}

#[tokio::test]
async fn a_folder_as_dockers_certs_d_has_roots_and_a_keypair() {
    let server = server(vec![manifest()], SERVER, true);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(&server.host);
    std::fs::create_dir(&own).unwrap();
    for (name, text) in [("ca.crt", CA), ("client.cert", CLIENT), ("client.key", KEY)] {
        std::fs::write(own.join(name), text).unwrap();
    }
    let mut config = Config::parse(&format!("[registry.\"{}\"]\nhttp = false\n", server.host)).unwrap();
    config.certs_d.push(folder.path().to_owned());
    let client = Client::new(config.clone(), Credentials::default(), options());
    client.manifest(&reference(&server.host, "a:1")).await.unwrap();

    std::fs::remove_file(own.join("client.cert")).unwrap();
    let without = Client::new(config, Credentials::default(), options());
    let text = tls_error(&without, &server).await;
    assert!(text.contains("keypair"), "{text}");
    server.done();
}

#[tokio::test]
async fn nothing_steps_down_from_https() {
    let server = server(
        vec![
            on("GET", "/v2/a/manifests/1", 302).header("Location", "http://storage.example/x"),
            on("GET", "/v2/a/manifests/1", 401)
                .header("WWW-Authenticate", "Bearer realm=\"http://{host}/token\",service=\"reg\""),
        ],
        SERVER,
        false,
    );
    let client = told(&server, "insecure = true");
    let wanted = reference(&server.host, "a:1");
    let text = client.manifest(&wanted).await.unwrap_err().to_string();
    assert!(text.contains("from HTTPS to plain HTTP at storage.example"), "{text}");
    let error = client.manifest(&wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("plain HTTP; nothing is sent there"), "{error}");
    server.done();
}
