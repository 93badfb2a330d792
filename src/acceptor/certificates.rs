//! The certificate of the server: read from files and read again when they change, obtained by
//! ACME, or made at the start for development.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use tokio::sync::watch;

use super::{
    acme::{self, Acme},
    pair::Pair,
    shown::Shown,
    standing::{self, Remark},
};

/// The protocols that a client may ask for within TLS (RFC 7301): HTTP in two versions, TURN and
/// STUN (RFC 7443).
const ALPN: [&[u8]; 4] = [b"h2", b"http/1.1", b"stun.turn", b"stun.nat-discovery"];

/// The interval at which the files are checked for changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

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

/// The reason why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{option} {path}: {source}", path = path.display())]
    Read {
        /// The option of the file.
        option: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file does not contain what it should.
    #[error("{option} {path} has no {what} in PEM form in it{what_else}", path = path.display())]
    Nothing {
        /// The option of the file.
        option: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The kind of content that it should have.
        what: &'static str,
        /// The contents that it has instead, as text that continues the message.
        what_else: String,
    },
    /// The certificate is where the key should be, and the other way round.
    #[error(
        "--tls-cert {certificate} has a private key in it and --tls-key {key} a certificate: give \
         them the other way round",
        certificate = certificate.display(), key = key.display()
    )]
    Swapped {
        /// `--tls-cert`
        certificate: PathBuf,
        /// `--tls-key`
        key: PathBuf,
    },
    /// The key can be read with a passphrase only.
    #[error(
        "--tls-key {path} is encrypted with a passphrase, and there is nobody to ask for it: take \
         that away with `openssl pkey -in {path} -out FILE`, and let nobody but the server read FILE",
        path = path.display()
    )]
    Encrypted {
        /// The path of the file.
        path: PathBuf,
    },
    /// The key does not belong to the certificate.
    #[error(
        "--tls-cert and --tls-key cannot be used: the key in {key} belongs to no certificate in \
         {certificate}; were they made together?",
        certificate = certificate.display(), key = key.display()
    )]
    Strangers {
        /// `--tls-cert`
        certificate: PathBuf,
        /// `--tls-key`
        key: PathBuf,
    },
    /// The key is damaged, or of a kind that TLS does not support here.
    #[error(
        "--tls-key {path} has no key in it that can be used, which is one of RSA, of P-256 or P-384, \
         or of Ed25519: make another one, and have the certificate made for it",
        path = path.display()
    )]
    Key {
        /// The path of the file.
        path: PathBuf,
    },
    /// One of the two is of an unsupported kind.
    #[error("--tls-cert and --tls-key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The directory for persistent state cannot be used.
    #[error("--state-dir {path}: cannot be written: {source}", path = path.display())]
    State {
        /// The path of the directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
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
    Files { certificate: PathBuf, key: PathBuf },
    Acme(Acme),
    SelfSigned,
}

/// The certificate that is shown now: read for each handshake, written when it changes.
#[derive(Debug)]
pub(super) struct Current {
    pair: RwLock<Arc<Pair>>,
    changes: watch::Sender<()>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().key.clone())
    }
}

impl Current {
    fn new(pair: Pair) -> Self {
        Self { pair: RwLock::new(Arc::new(pair)), changes: watch::Sender::new(()) }
    }

    pub fn get(&self) -> Arc<Pair> {
        self.pair.read().expect("replacing it does not panic").clone()
    }

    /// Replaces the certificate. Open connections keep theirs; new ones are shown the new one.
    pub fn set(&self, pair: Pair) {
        *self.pair.write().expect("replacing it does not panic") = Arc::new(pair);
        self.changes.send_replace(());
    }
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
                let pair = Pair::read(&certificate, &key)?;
                (Origin::Files { certificate, key }, pair)
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
            Origin::Acme(acme) => acme.challenges.answer(hello),
            Origin::Files { .. } | Origin::SelfSigned => None,
        }
    }

    /// Returns the certificate that a server would show, and the remarks on it, without writing
    /// anything. A certificate that is not ordered yet is treated as if it existed.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub fn preview(source: CertificateSource) -> Result<(Shown, Vec<Remark>), CertificateError> {
        match source {
            CertificateSource::Acme(settings) => {
                Ok((Shown::to_come(Pair::make(settings.domains)?), Vec::new()))
            }
            source => {
                let certificates = Self::new(source)?;
                Ok((certificates.shown(), certificates.remarks(SystemTime::now())))
            }
        }
    }

    /// Returns the certificate that is shown now.
    pub fn shown(&self) -> Shown {
        Shown::new(self.current.get())
    }

    /// Notifies when another certificate is shown.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.current.changes.subscribe()
    }

    /// Returns remarks on the certificate files, such as that clients refuse the certificate, today
    /// or soon.
    pub fn remarks(&self, now: SystemTime) -> Vec<Remark> {
        let Origin::Files { certificate, .. } = &self.origin else { return Vec::new() };
        let pair = self.current.get();
        let path = certificate.display();
        let which = format!("the certificate in --tls-cert {path}");
        let validity = pair.validity.and_then(|validity| standing::remark(&which, validity, now));
        let which =
            format!("a certificate in --tls-cert {path} that vouches for the server's own one");
        let issuers = pair.issuers.iter().filter_map(|of| standing::remark(&which, *of, now));
        // Clients may have another chain to a root.
        let issuers = issuers.map(|remark| Remark { is_serious: false, ..remark });
        let order = pair.was_reordered.then(|| Remark {
            is_serious: false,
            text: format!(
                "the certificates in --tls-cert {path} are not in the order of TLS, the server's own \
                 first and each followed by the one that vouches for it; they are shown in that order"
            ),
        });
        validity.into_iter().chain(issuers).chain(order).collect()
    }

    /// Returns the time at which the certificate expires, in seconds since 1970; 0 for a
    /// self-signed one, which nobody trusts anyway.
    pub fn expiry(&self) -> u64 {
        let until = self.current.get().validity.map(|validity| validity.until);
        until.and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs())
    }

    /// Reads the files again. Open connections keep their certificate; new ones are shown the new
    /// one.
    ///
    /// # Errors
    /// [`CertificateError`]; the old certificate remains then.
    pub fn reload(&self) -> Result<(), CertificateError> {
        if let Origin::Files { certificate, key } = &self.origin {
            self.current.set(Pair::read(certificate, key)?);
        }
        Ok(())
    }

    /// Reads the files again, and logs the result. An order that waits to be tried again is tried
    /// at once.
    pub fn reload_and_tell(&self) {
        if let Origin::Acme(acme) = &self.origin {
            return acme.hurry();
        }
        match self.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!(%error, "the old certificate stays"),
        }
    }

    /// Reads the files again whenever they have changed, or orders and renews the certificate, until
    /// dropped.
    pub async fn follow(&self) {
        match &self.origin {
            Origin::Files { certificate, key } => self.follow_files([certificate, key]).await,
            Origin::Acme(acme) => acme.keep_up(&self.current).await,
            Origin::SelfSigned => {}
        }
    }

    async fn follow_files(&self, paths: [&PathBuf; 2]) {
        let look = || paths.map(|path| changed(path));
        let mut seen = look();
        let mut remarks = Vec::new();
        self.tell_news(&mut remarks);
        // Files that are read between two writes cause an error, and need not look changed
        // afterwards.
        let mut failed: Option<String> = None;
        let mut interval = tokio::time::interval(LOOK_AGAIN);
        loop {
            interval.tick().await;
            let now = look();
            if now == seen && failed.is_none() {
                self.tell_news(&mut remarks);
                continue;
            }
            seen = now;
            let error = self.reload().err().map(|error| error.to_string());
            match &error {
                None => tracing::info!("the certificate was read again"),
                Some(_) if error == failed => {}
                Some(error) => tracing::error!(%error, "the old certificate stays"),
            }
            failed = error;
            self.tell_news(&mut remarks);
        }
    }

    /// Logs each remark on the files once.
    fn tell_news(&self, logged: &mut Vec<Remark>) {
        let remarks = self.remarks(SystemTime::now());
        for remark in remarks.iter().filter(|remark| !logged.contains(remark)) {
            match remark.is_serious {
                true => tracing::error!("{}", remark.text),
                false => tracing::warn!("{}", remark.text),
            }
        }
        *logged = remarks;
    }
}

/// Returns the time and the length of a file's last change; through links, as ACME clients make
/// them.
fn changed(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::SystemTime};

    use base64::{Engine, engine::general_purpose::STANDARD};
    use tokio::time::sleep;

    use super::*;

    /// Returns a certificate and its key as PEM texts.
    fn pair() -> [String; 2] {
        let made = rcgen::generate_simple_self_signed(["turn.example.com".to_owned()]).unwrap();
        let pem = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        };
        let key = pem("PRIVATE KEY", &made.signing_key.serialize_der());
        [pem("CERTIFICATE", made.cert.der()), key]
    }

    /// Writes a file so that its time of change is not visible.
    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pair_that_is_half_written_is_read_again_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let [certificate, key, log] =
            ["cert.pem", "key.pem", "log"].map(|name| dir.path().join(name));
        let writer = Arc::new(File::create(&log).unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
        let _log = tracing::subscriber::set_default(subscriber);

        let [[old_cert, old_key], [new_cert, new_key]] = [pair(), pair()];
        write(&certificate, &old_cert);
        write(&key, &old_key);
        let source =
            CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
        let certificates = Arc::new(Certificates::new(source).unwrap());
        let shown = || certificates.current.get().key.cert[0].clone();
        let old = shown();
        tokio::spawn({
            let certificates = certificates.clone();
            async move { certificates.follow().await }
        });
        sleep(LOOK_AGAIN / 2).await;

        fs::write(&certificate, new_cert).unwrap();
        sleep(3 * LOOK_AGAIN).await;
        assert_eq!(shown(), old);
        // The other half is written without a visible change: with the same length and time.
        assert_eq!(new_key.len(), old_key.len());
        write(&key, &new_key);
        sleep(LOOK_AGAIN).await;
        assert_ne!(shown(), old);

        sleep(3 * LOOK_AGAIN).await;
        let log = fs::read_to_string(log).unwrap();
        for line in ["the old certificate stays", "the certificate was read again"] {
            assert_eq!(log.matches(line).count(), 1, "{log}");
        }
    }
}
