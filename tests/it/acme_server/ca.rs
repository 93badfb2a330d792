//! The key of the CA and the certificates that it signs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, IsCa,
    Issuer, KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(super) struct Ca {
    root: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a CA for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self { root, issuer: Issuer::new(params, key) }
    }

    pub(super) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// Returns the certificate of the ACME server itself.
    pub(super) fn own(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// Signs a request if it is for exactly these names and its key is not the account's (RFC 8555
    /// §11.1).
    pub(super) fn sign(
        &self,
        csr: &[u8],
        names: &[String],
        account_key: &[u8],
        (since, until): (Duration, Duration),
    ) -> Result<String, String> {
        let mut request = CertificateSigningRequestParams::from_der(&csr.into())
            .map_err(|error| format!("the request cannot be read: {error}"))?;
        let mut asked: Vec<_> = request.params.subject_alt_names.iter().map(dns_name).collect();
        let mut names: Vec<_> = names.iter().cloned().map(Some).collect();
        asked.sort();
        names.sort();
        if asked != names {
            return Err(format!("{asked:?} is asked for, {names:?} was ordered"));
        }
        if request.params.distinguished_name.iter().next().is_some() {
            return Err("the request has a subject".into());
        }
        use rcgen::PublicKeyData;
        if request.public_key.der_bytes() == account_key {
            return Err("the request's key is the account's".into());
        }
        let now = SystemTime::now();
        request.params.not_before = (now - since).into();
        request.params.not_after = (now + until).into();
        let leaf = request.signed_by(&self.issuer).map_err(|error| error.to_string())?;
        Ok(format!("{}{}", leaf.pem(), self.root.pem()))
    }
}

fn dns_name(name: &SanType) -> Option<String> {
    match name {
        SanType::DnsName(name) => Some(name.to_string()),
        _ => None,
    }
}
