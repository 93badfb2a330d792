//! The challenge tls-alpn-01 (RFC 8737): a certificate that contains the answer, shown only to
//! clients that ask for this protocol and this name.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// The name of the protocol (RFC 8737 §6.2).
const ALPN: &[u8] = b"acme-tls/1";

/// The open challenges, by name: as many as an order has names.
///
/// Each has TLS settings of its own. So the settings of all other connections do not contain the
/// protocol, and a client that asks for it without a challenge is refused as with any unknown
/// protocol (RFC 7301 §3.2); and no session of one can be resumed with the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Challenges(Arc<Mutex<HashMap<String, Arc<ServerConfig>>>>);

/// An open challenge. It is closed when this is dropped, however the order ends.
#[derive(Debug)]
pub(super) struct OpenChallenge {
    challenges: Challenges,
    domain: String,
}

/// The reason why a challenge cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChallengeError {
    /// The certificate cannot be made.
    #[error("no certificate for the challenge could be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate cannot be shown.
    #[error("the certificate for the challenge cannot be shown: {0}")]
    Show(#[from] rustls::Error),
}

impl Challenges {
    /// Shows the answer for a name from now on: the SHA-256 digest of the key authorization
    /// (RFC 8737 §3).
    ///
    /// # Errors
    /// [`ChallengeError`]
    pub(super) fn open(
        &self,
        domain: &str,
        digest: &[u8],
    ) -> Result<OpenChallenge, ChallengeError> {
        let config = Arc::new(answer(domain, digest)?);
        self.0.lock().expect("a map does not panic").insert(domain.to_owned(), config);
        Ok(OpenChallenge { challenges: self.clone(), domain: domain.to_owned() })
    }

    /// Returns the settings for a connection that asks for an open challenge. The CA offers only
    /// this protocol, and sends the name (RFC 8737 §3).
    pub(super) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !hello.alpn()?.eq([ALPN]) {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.lock().expect("a map does not panic").get(&name).cloned()
    }
}

impl Drop for OpenChallenge {
    fn drop(&mut self) {
        self.challenges.0.lock().expect("a map does not panic").remove(&self.domain);
    }
}

/// Returns the settings with a self-signed certificate for exactly this name, with the digest in
/// the critical extension acmeIdentifier (RFC 8737 §3), and without session resumption.
fn answer(domain: &str, digest: &[u8]) -> Result<ServerConfig, ChallengeError> {
    let mut params = rcgen::CertificateParams::new([domain.to_owned()])?;
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.der().clone();
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider.key_provider.load_private_key(key)?;
    // The shorter ways to configure this parse the certificate, and refuse it for the extension.
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
