//! Whom to believe, and the HTTP client that follows from it. The choice of the TLS library's provider is made here and
//! nowhere else, explicitly: with a provider installed for the whole process, the library would panic where a program
//! forgets to install one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{ConfigError, Keypair, Options};

/// What decides about a connection. Hosts with equal trust share a client, and with it connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// Never through a proxy: loopback, whatever the environment says.
    pub(crate) direct: bool,
    /// HTTPS is spoken, so roots are needed.
    pub(crate) tls: bool,
    pub(crate) insecure: bool,
    pub(crate) ca: Vec<PathBuf>,
    pub(crate) keypair: Option<Keypair>,
    /// This host's folders in `certs.d`.
    pub(crate) folders: Vec<PathBuf>,
}

/// Builds the client. Reads files, so not for an async thread.
pub(crate) fn http_client(trust: &Trust, options: &Options) -> Result<reqwest::Client, ConfigError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(client_config(trust)?)
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        // Followed by hand: what goes along (credentials, trust) is ours to decide.
        .redirect(reqwest::redirect::Policy::none())
        // Several connections carry several blobs faster than several streams in one, and break one at a time.
        .http1_only()
        .tcp_nodelay(true);
    let builder = if trust.direct { builder.no_proxy() } else { builder };
    builder.build().map_err(|e| broken(format!("HTTP client: {e}")))
}

fn broken(message: String) -> ConfigError {
    ConfigError { message, span: None }
}

fn client_config(trust: &Trust) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| broken(format!("TLS: {e}")))?;
    if !trust.tls {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let mut keypair = trust.keypair.clone();
    let mut ca = trust.ca.clone();
    for folder in &trust.folders {
        read_folder(folder, &mut ca, &mut keypair)?;
    }
    let builder = if trust.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        builder.with_root_certificates(roots(&ca)?)
    };
    let Some(Keypair { key, cert }) = keypair else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(&cert)?;
    let private =
        PrivateKeyDer::from_pem_file(&key).map_err(|e| broken(format!("private key {}: {e}", key.display())))?;
    builder.with_client_auth_cert(chain, private).map_err(|e| broken(format!("keypair {}: {e}", cert.display())))
}

/// Docker's `certs.d/HOST`. A folder that is not there says nothing.
fn read_folder(folder: &Path, ca: &mut Vec<PathBuf>, keypair: &mut Option<Keypair>) -> Result<(), ConfigError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|e| e.to_str()) {
            Some("crt") => ca.push(file),
            Some("cert") => {
                let key = file.with_extension("key");
                if !key.exists() {
                    return Err(broken(format!("{} has no {} beside it", file.display(), key.display())));
                }
                keypair.get_or_insert(Keypair { key, cert: file });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The system's roots, read once per process: they are many, and every client wants the same.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "root certificates");
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        store
    })
}

fn roots(ca: &[PathBuf]) -> Result<RootCertStore, ConfigError> {
    let mut store = system_roots().clone();
    for path in ca {
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|e| broken(format!("root certificate {}: {e}", path.display())))?;
        }
    }
    if store.is_empty() {
        return Err(broken(
            "this machine has no root certificates: install the package `ca-certificates`, or name a file with \
             `ca = [\"...\"]` in the registry's configuration"
                .into(),
        ));
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let wrong = |e: rustls::pki_types::pem::Error| broken(format!("certificate {}: {e}", path.display()));
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() {
        return Err(broken(format!("certificate {}: no certificate in it", path.display())));
    }
    Ok(found)
}

/// `insecure = true`: any certificate. The signature is still checked, so that the connection is with whoever holds it.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS error in words that say what to do.
pub(crate) fn explain(error: &rustls::Error, host: &str) -> String {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => format!(
            "its certificate is signed by an authority that is not known here; name the authority's file with \
             `ca = [\"...\"]` under `[registry.\"{host}\"]`"
        ),
        // What a self-signed certificate without the mark of an authority ends in.
        rustls::Error::InvalidCertificate(C::Other(other)) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            format!(
                "its certificate is self-signed; give it a certificate of an authority, or set `insecure = true` under \
                 `[registry.\"{host}\"]`"
            )
        }
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "its certificate has expired, or the clock of this machine is wrong".into()
        }
        rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "its certificate is not valid yet, or the clock of this machine is wrong".into()
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "its certificate is for another name".into()
        }
        rustls::Error::InvalidMessage(_) => {
            format!("it does not speak TLS; if it speaks plain HTTP, set `http = true` under `[registry.\"{host}\"]`")
        }
        rustls::Error::AlertReceived(alert) => {
            format!("it ends the handshake with {alert:?}; does it ask for a keypair?")
        }
        other => other.to_string(),
    }
}
