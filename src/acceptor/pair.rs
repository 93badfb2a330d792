//! A certificate with its key, as it is shown to clients.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{CertificateError, validity::Validity};

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    /// What `rustls` shows.
    pub key: Arc<CertifiedKey>,
    /// When it is valid; nothing for one of our own making, which nobody trusts at any time.
    pub validity: Option<Validity>,
}

impl Pair {
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let key = ring::default_provider().key_provider.load_private_key(key)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match()?;
        let validity = key.cert.first().and_then(|leaf| Validity::of(leaf));
        Ok(Self { key: Arc::new(key), validity })
    }

    /// Reads the files of `--tls-cert` and `--tls-key`.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
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
        let chain = chain(&text("--tls-cert", certificate)?);
        let chain = chain.ok_or_else(|| nothing("--tls-cert", certificate, "certificate"))?;
        let pem = text("--tls-key", key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| nothing("--tls-key", key, "private key"))?;
        Ok(Self::new(chain, key)?)
    }

    /// Reads both from one text. An error says what is wrong with it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let chain = chain(pem).ok_or("there is no certificate in it")?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no key in it")?;
        Self::new(chain, key).map_err(|error| error.to_string())
    }

    /// Makes a certificate for these names itself.
    pub fn make(names: Vec<String>) -> Result<Self, CertificateError> {
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        Ok(Self { validity: None, ..Self::new(vec![made.cert.der().clone()], key)? })
    }

    /// Makes a certificate for this machine itself.
    pub fn make_for_loopback() -> Result<Self, CertificateError> {
        let ips = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let names = ips.map(|ip| ip.to_string()).into_iter().chain(["localhost".to_owned()]);
        Self::make(names.collect())
    }

    /// The DNS names that the certificate is for.
    pub fn names(&self) -> Vec<String> {
        let leaf =
            self.key.cert.first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
        let names = leaf.iter().flat_map(|leaf| leaf.valid_dns_names());
        names.map(ToOwned::to_owned).collect()
    }

    /// Whether it is for each of these names, by that name.
    pub fn is_for(&self, names: &[String]) -> bool {
        let own = self.names();
        names.iter().all(|name| own.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}

/// The certificates in a text, the server's first; nothing if there is none.
fn chain(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    chain.ok().filter(|chain| !chain.is_empty())
}
