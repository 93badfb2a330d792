//! The certificate of the server: read from files and read again when they change, obtained by
//! ACME, or made at the start for development.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{ServerConfig, crypto::ring, server::ClientHello};
use tokio::sync::watch;

use super::{
    acme::{self, Acme},
    certificate_error::CertificateError,
    certificate_files::CertificateFiles,
    current::Current,
    pair::Pair,
    server_certificate::ServerCertificate,
    validity_remark::Remark,
};

/// The protocols that a client may ask for within TLS (RFC 7301): HTTP in two versions, TURN and
/// STUN (RFC 7443).
const ALPN: [&[u8]; 4] = [b"h2", b"http/1.1", b"stun.turn", b"stun.nat-discovery"];

/// The source of a certificate.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// PEM files: the certificate, followed by the intermediate ones, and its key.
    Files {
        /// `--tls-cert`
        certificate: PathBuf,
        /// `--tls-key`
        key: PathBuf,
    },
    /// A CA with ACME.
    Acme(acme::Settings),
    /// A self-signed certificate for loopback addresses, which nobody trusts: for development.
    SelfSigned,
}

/// The certificate that is shown to clients, which may change at any time.
#[derive(Debug)]
pub struct Certificates {
    origin: Origin,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// The source of the next certificate.
#[derive(Debug)]
enum Origin {
    Files(CertificateFiles),
    Acme(Acme),
    SelfSigned,
}

impl Certificates {
    /// Loads or makes the certificate. By ACME it loads the stored one, or makes one until
    /// [`follow`](Self::follow) has obtained one.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub fn new(source: CertificateSource) -> Result<Self, CertificateError> {
        let (origin, pair) = match source {
            CertificateSource::Files { certificate, key } => {
                let files = CertificateFiles::new(certificate, key);
                let pair = files.read()?;
                (Origin::Files(files), pair)
            }
            CertificateSource::Acme(settings) => {
                let (acme, pair) = Acme::open(settings)?;
                (Origin::Acme(acme), pair)
            }
            CertificateSource::SelfSigned => (Origin::SelfSigned, Pair::make_for_loopback()?),
        };
        let current = Arc::new(Current::new(pair));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self { origin, current, config: Arc::new(config) })
    }

    /// Returns the settings for a connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Returns the settings for a connection that only asks for the answer to a challenge.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        match &self.origin {
            Origin::Acme(acme) => acme.answer_challenge(hello),
            Origin::Files(_) | Origin::SelfSigned => None,
        }
    }

    /// Returns the certificate that a server would show, and the remarks on it, without writing
    /// anything. A certificate that is not ordered yet is treated as if it existed.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub fn preview(
        source: CertificateSource,
    ) -> Result<(ServerCertificate, Vec<Remark>), CertificateError> {
        match source {
            CertificateSource::Acme(settings) => {
                Ok((ServerCertificate::to_come(Pair::make(settings.domains)?), Vec::new()))
            }
            source => {
                let certificates = Self::new(source)?;
                Ok((certificates.server_certificate(), certificates.remarks(SystemTime::now())))
            }
        }
    }

    /// Returns the certificate that is shown now.
    pub fn server_certificate(&self) -> ServerCertificate {
        ServerCertificate::new(self.current.get())
    }

    /// Notifies when another certificate is shown.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.current.changes()
    }

    /// Returns remarks on the certificate files, such as that clients refuse the certificate, today
    /// or soon.
    pub fn remarks(&self, now: SystemTime) -> Vec<Remark> {
        match &self.origin {
            Origin::Files(files) => files.remarks(&self.current.get(), now),
            Origin::Acme(_) | Origin::SelfSigned => Vec::new(),
        }
    }

    /// Returns the time at which the certificate expires, in seconds since 1970; 0 for a
    /// self-signed one, which nobody trusts anyway.
    pub fn expiry(&self) -> u64 {
        let until = self.current.get().validity.map(|validity| validity.until);
        until.and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs())
    }

    /// Reads the files again, and logs the result. An order that waits to be tried again is tried
    /// at once.
    pub fn reload_and_tell(&self) {
        match &self.origin {
            Origin::Files(files) => files.reload_and_tell(&self.current),
            Origin::Acme(acme) => acme.hurry(),
            Origin::SelfSigned => tracing::info!("the certificate was read again"),
        }
    }

    /// Reads the files again whenever they have changed, or orders and renews the certificate,
    /// until dropped.
    pub async fn follow(&self) {
        match &self.origin {
            Origin::Files(files) => files.follow(&self.current).await,
            Origin::Acme(acme) => acme.keep_up(&self.current).await,
            Origin::SelfSigned => {}
        }
    }
}
