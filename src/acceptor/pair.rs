//! A certificate with its key, as it is shown to clients.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use callbox_tls::{Pem, Validity};
use rustls::{
    InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    sign::CertifiedKey,
};

use super::{certificate_error::CertificateError, chain};

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    /// The form of the pair that `rustls` uses.
    pub key: Arc<CertifiedKey>,
    /// The validity of the certificate; `None` for a self-signed one, which nobody trusts at any
    /// time.
    pub validity: Option<Validity>,
    /// The validity of the issuers' certificates, except roots.
    pub issuers: Vec<Validity>,
    /// True if the certificates were in another order than the one they are shown in.
    pub was_reordered: bool,
}

impl Pair {
    /// Pairs a key with its certificate among these, followed by the issuers' certificates, in the
    /// order of TLS (RFC 8446 §4.4.2).
    fn new(
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let key = ring::default_provider().key_provider.load_private_key(key)?;
        let (chain, was_reordered) = match chain::sort(&certificates, key.public_key().as_ref()) {
            Some(chain) => {
                let was_reordered = chain != certificates;
                (chain, was_reordered)
            }
            None => (certificates, false),
        };
        let key = CertifiedKey::new(chain, key);
        key.keys_match()?;
        let validity = key.cert.first().and_then(|leaf| Validity::of(leaf));
        let issuers = key.cert.iter().skip(1).filter(|der| !chain::is_root(der));
        let issuers = issuers.filter_map(|der| Validity::of(der)).collect();
        Ok(Self { key: Arc::new(key), validity, issuers, was_reordered })
    }

    /// Reads the files of `--tls-cert` and `--tls-key`.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |option, path: &Path| {
            let bytes = fs::read(path);
            let bytes = bytes.map_err(|source| CertificateError::Read {
                option,
                path: path.into(),
                source,
            });
            bytes.map(|bytes| Pem::parse(&bytes))
        };
        let nothing = |option, path: &Path, what, pem: &Pem| {
            let (path, what_else) = (path.into(), pem.other_contents());
            CertificateError::Nothing { option, path, what, what_else }
        };
        let cert_pem = read("--tls-cert", certificate)?;
        let key_pem = read("--tls-key", key)?;
        let has_certificate = !cert_pem.certificates().is_empty();
        if key_pem.is_encrypted() && key_pem.key().is_none() {
            return Err(CertificateError::Encrypted { path: key.into() });
        }
        if !has_certificate
            && key_pem.key().is_none()
            && (cert_pem.key().is_some() || cert_pem.is_encrypted())
            && !key_pem.certificates().is_empty()
        {
            let (certificate, key) = (certificate.into(), key.into());
            return Err(CertificateError::Swapped { certificate, key });
        }
        if !has_certificate {
            return Err(nothing("--tls-cert", certificate, "certificate", &cert_pem));
        }
        let Some(private) = key_pem.key() else {
            return Err(nothing("--tls-key", key, "private key", &key_pem));
        };
        if ring::default_provider().key_provider.load_private_key(private.clone_key()).is_err() {
            return Err(CertificateError::Key { path: key.into() });
        }
        let pair = Self::new(cert_pem.certificates().to_vec(), private.clone_key());
        pair.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let (certificate, key) = (certificate.into(), key.into());
                CertificateError::Strangers { certificate, key }
            }
            error => CertificateError::Pair(error),
        })
    }

    /// Parses both from one text. The error is the reason why that failed.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let pem = Pem::parse(pem);
        if pem.certificates().is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        let key = pem.key().ok_or("there is no key in it")?;
        let pair = Self::new(pem.certificates().to_vec(), key.clone_key());
        pair.map_err(|error| error.to_string())
    }

    /// Makes a self-signed certificate for these names.
    pub(super) fn make(names: Vec<String>) -> Result<Self, CertificateError> {
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        Ok(Self { validity: None, ..Self::new(vec![made.cert.der().clone()], key)? })
    }

    /// Makes a self-signed certificate for this machine.
    pub(super) fn make_for_loopback() -> Result<Self, CertificateError> {
        let ips = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let names = ips.map(|ip| ip.to_string()).into_iter().chain(["localhost".to_owned()]);
        Self::make(names.collect())
    }

    /// Returns the DNS names that the certificate is for.
    pub(super) fn names(&self) -> Vec<String> {
        let leaf =
            self.key.cert.first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
        let names = leaf.iter().flat_map(|leaf| leaf.valid_dns_names());
        names.map(ToOwned::to_owned).collect()
    }

    /// Returns true if a client that connected to this name or address accepts the certificate for
    /// it.
    pub(super) fn covers(&self, host: &ServerName<'_>) -> bool {
        let leaf = self.key.cert.first().map(webpki::EndEntityCert::try_from);
        leaf.is_some_and(|leaf| {
            leaf.is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(host).is_ok())
        })
    }

    /// Returns true if it contains each of these names literally.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        let own = self.names();
        names.iter().all(|name| own.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}
