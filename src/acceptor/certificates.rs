//! The certificate of the server: read from files, read again when they change, or made on the fly
//! for development.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// What a client may ask for within TLS (RFC 7301): HTTP in two versions, TURN and STUN (RFC 7443).
const ALPN: [&[u8]; 4] = [b"h2", b"http/1.1", b"stun.turn", b"stun.nat-discovery"];

/// How often it is looked whether the files have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Where a certificate is from.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// PEM files: the certificate with those between it and the root behind it, and its key.
    Files {
        /// `--tls-cert`
        certificate: PathBuf,
        /// `--tls-key`
        key: PathBuf,
    },
    /// One of our own making for loopback addresses, which nobody trusts: for development.
    SelfSigned,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{option} {path}: {source}", path = path.display())]
    Read {
        /// Which option names it.
        option: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has not in it what it should have.
    #[error("{option} {path} has no {what} in PEM form in it", path = path.display())]
    Nothing {
        /// Which option names it.
        option: &'static str,
        /// Which file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// The two do not belong together, or are of a kind that is not known.
    #[error("--tls-cert and --tls-key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
    /// None could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// The certificate that is shown to clients, which may change at any time.
#[derive(Debug)]
pub struct Certificates {
    source: CertificateSource,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// Read for each handshake, written when the certificate changes.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        self.0.read().expect("replacing it does not panic").clone()
    }
}

impl Certificates {
    /// Loads or makes the certificate.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub fn new(source: CertificateSource) -> Result<Self, CertificateError> {
        let current = Arc::new(Current(RwLock::new(Arc::new(load(&source)?))));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self { source, current, config: Arc::new(config) })
    }

    /// The settings for a connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// The first name that the certificate is for, if it is one that clients can be sent to.
    pub fn name(&self) -> Option<String> {
        let current = self.current.get();
        let certificate = webpki::EndEntityCert::try_from(current.cert.first()?).ok()?;
        let name = certificate.valid_dns_names().find(|name| !name.starts_with('*'))?;
        Some(name.to_owned())
    }

    /// Reads the files again. Connections that are open stay; new ones see what was read.
    ///
    /// # Errors
    /// [`CertificateError`]; then what was there stays.
    pub fn reload(&self) -> Result<(), CertificateError> {
        if let CertificateSource::SelfSigned = self.source {
            return Ok(());
        }
        let new = Arc::new(load(&self.source)?);
        *self.current.0.write().expect("replacing it does not panic") = new;
        Ok(())
    }

    /// Reads the files again, and says in the log how it went.
    pub fn reload_and_tell(&self) {
        match self.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!(%error, "the old certificate stays"),
        }
    }

    /// Reads the files again whenever they have changed, until dropped.
    pub async fn follow(&self) {
        let CertificateSource::Files { certificate, key } = &self.source else { return };
        let look = || [certificate, key].map(|path| changed(path));
        let mut seen = look();
        let mut interval = tokio::time::interval(LOOK_AGAIN);
        loop {
            interval.tick().await;
            let now = look();
            if now != seen {
                seen = now;
                self.reload_and_tell();
            }
        }
    }
}

/// When a file was changed; through links, as ACME clients make them.
fn changed(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(source: &CertificateSource) -> Result<CertifiedKey, CertificateError> {
    let (chain, key) = match source {
        CertificateSource::Files { certificate, key } => read(certificate, key)?,
        CertificateSource::SelfSigned => make()?,
    };
    let key = ring::default_provider().key_provider.load_private_key(key)?;
    let pair = CertifiedKey::new(chain, key);
    pair.keys_match()?;
    Ok(pair)
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(certificate: &Path, key: &Path) -> Result<Pair, CertificateError> {
    let text = |option, path: &Path| {
        fs::read(path).map_err(|source| CertificateError::Read {
            option,
            path: path.into(),
            source,
        })
    };
    let nothing = |option, path: &Path, what| {
        let path = path.into();
        CertificateError::Nothing { option, path, what }
    };
    let pem = text("--tls-cert", certificate)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| nothing("--tls-cert", certificate, "certificate"))?;
    let pem = text("--tls-key", key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| nothing("--tls-key", key, "private key"))?;
    Ok((chain, key))
}

/// Makes a certificate for this machine itself.
fn make() -> Result<Pair, CertificateError> {
    let ips = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let names = ips.map(|ip| ip.to_string()).into_iter().chain(["localhost".to_owned()]);
    let made = rcgen::generate_simple_self_signed(names.collect::<Vec<_>>())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.der().clone()], key))
}
