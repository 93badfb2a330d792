//! TLS in the tests: servers with a self-signed certificate, and clients that trust one
//! certificate.

use std::{fs, net::TcpStream, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// An accepted TLS session.
pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Returns the settings of a client that trusts one certificate and those that it has signed.
pub(crate) fn trusting(certificate: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A self-signed certificate for 127.0.0.1 with its key.
pub(crate) struct Identity {
    config: Arc<ServerConfig>,
    file: tempfile::NamedTempFile,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = BASE64_STANDARD.encode(made.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        fs::write(&file, pem).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self { config: config.into(), file }
    }

    /// Returns the path for `--trust-ca`.
    pub(crate) fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// Accepts a TLS session on this connection.
    pub(crate) fn take(&self, stream: TcpStream) -> Tls {
        StreamOwned::new(ServerConnection::new(self.config.clone()).unwrap(), stream)
    }
}
