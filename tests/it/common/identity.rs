//! TLS in the tests: servers with a certificate that nobody trusts unless told so, and clients that
//! trust one certificate.

use std::{fs, net::TcpStream, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// A session that has come.
pub type Tls = StreamOwned<ServerConnection, TcpStream>;

/// The settings of a client that trusts one certificate, or what it has signed.
pub fn trusting(certificate: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The certificate, for 127.0.0.1.
pub struct Identity {
    config: Arc<ServerConfig>,
    file: tempfile::NamedTempFile,
}

impl Identity {
    pub fn new() -> Self {
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

    /// What `--trust-ca` names.
    pub fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// A session on this connection.
    pub fn take(&self, stream: TcpStream) -> Tls {
        StreamOwned::new(ServerConnection::new(self.config.clone()).unwrap(), stream)
    }
}
