//! A certificate and its key in files, which are read again when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    certificate_error::CertificateError,
    current::Current,
    pair::Pair,
    validity_remark::{self, Remark},
};

/// The interval at which the files are checked for changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The files of `--tls-cert` and `--tls-key`.
#[derive(Debug)]
pub(super) struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// The time and the length of a file's last change.
type Version = Option<(SystemTime, u64)>;

impl CertificateFiles {
    /// Names the files; nothing is read yet.
    pub(super) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub(super) fn read(&self) -> Result<Pair, CertificateError> {
        Pair::read(&self.certificate, &self.key)
    }

    /// Returns remarks on the certificate that was read from the files, such as that clients refuse
    /// it, today or soon.
    pub(super) fn remarks(&self, pair: &Pair, now: SystemTime) -> Vec<Remark> {
        let path = self.certificate.display();
        let subject = format!("the certificate in --tls-cert {path}");
        let validity =
            pair.validity.and_then(|validity| validity_remark::remark(&subject, validity, now));
        let subject =
            format!("a certificate in --tls-cert {path} that vouches for the server's own one");
        let issuers =
            pair.issuers.iter().filter_map(|of| validity_remark::remark(&subject, *of, now));
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

    /// Reads the files again, and logs the result.
    pub(super) fn reload_and_tell(&self, current: &Current) {
        match self.reload(current) {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!(%error, "the old certificate stays"),
        }
    }

    /// Reads the files again whenever they have changed, until dropped.
    pub(super) async fn follow(&self, current: &Current) {
        let mut seen = self.versions();
        let mut remarks = Vec::new();
        self.tell_news(current, &mut remarks);
        // Files that are read between two writes cause an error, and need not look changed
        // afterwards.
        let mut failed: Option<String> = None;
        let mut interval = tokio::time::interval(LOOK_AGAIN);
        loop {
            interval.tick().await;
            let now = self.versions();
            if now == seen && failed.is_none() {
                self.tell_news(current, &mut remarks);
                continue;
            }
            seen = now;
            let error = self.reload(current).err().map(|error| error.to_string());
            match &error {
                None => tracing::info!("the certificate was read again"),
                Some(_) if error == failed => {}
                Some(error) => tracing::error!(%error, "the old certificate stays"),
            }
            failed = error;
            self.tell_news(current, &mut remarks);
        }
    }

    /// Reads the files again. After an error, the old certificate remains.
    fn reload(&self, current: &Current) -> Result<(), CertificateError> {
        current.set(self.read()?);
        Ok(())
    }

    /// Returns the present versions of both files.
    fn versions(&self) -> [Version; 2] {
        [&self.certificate, &self.key].map(|path| version(path))
    }

    /// Logs each remark on the files once.
    fn tell_news(&self, current: &Current, logged: &mut Vec<Remark>) {
        let remarks = self.remarks(&current.get(), SystemTime::now());
        for remark in remarks.iter().filter(|remark| !logged.contains(remark)) {
            match remark.is_serious {
                true => tracing::error!("{}", remark.text),
                false => tracing::warn!("{}", remark.text),
            }
        }
        *logged = remarks;
    }
}

/// Returns the present version of a file; through links, as ACME clients make them.
fn version(path: &Path) -> Version {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

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
        let files = CertificateFiles::new(certificate.clone(), key.clone());
        let current = Arc::new(Current::new(files.read().unwrap()));
        let served = || current.get().key.cert[0].clone();
        let old = served();
        tokio::spawn({
            let current = current.clone();
            async move { files.follow(&current).await }
        });
        sleep(LOOK_AGAIN / 2).await;

        fs::write(&certificate, new_cert).unwrap();
        sleep(3 * LOOK_AGAIN).await;
        assert_eq!(served(), old);
        // The other half is written without a visible change: with the same length and time.
        assert_eq!(new_key.len(), old_key.len());
        write(&key, &new_key);
        sleep(LOOK_AGAIN).await;
        assert_ne!(served(), old);

        sleep(3 * LOOK_AGAIN).await;
        let log = fs::read_to_string(log).unwrap();
        for line in ["the old certificate stays", "the certificate was read again"] {
            assert_eq!(log.matches(line).count(), 1, "{log}");
        }
    }
}
