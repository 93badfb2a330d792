//! Certificates and keys in PEM files.

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// Encodes bytes as PEM.
pub(crate) fn section(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// Returns a self-signed certificate and its key.
pub(crate) fn self_signed(names: &[&str]) -> [String; 2] {
    signed_for(names, [2020, 4096])
}

/// Returns a self-signed certificate that is valid from and until the first days of these years,
/// and its key.
pub(crate) fn signed_for(names: &[&str], years: [i32; 2]) -> [String; 2] {
    let mut params = params(names);
    params.not_before = date_time_ymd(years[0], 1, 1);
    params.not_after = date_time_ymd(years[1], 1, 1);
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    [section("CERTIFICATE", made.der()), section("PRIVATE KEY", &key.serialize_der())]
}

/// Returns a certificate, its intermediate and the root, and the key.
pub(crate) fn chain(names: &[&str]) -> ([String; 3], String) {
    chain_until(4096, names)
}

/// Returns the same with an intermediate that is valid until the first day of a year.
pub(crate) fn chain_until(year: i32, names: &[&str]) -> ([String; 3], String) {
    let ca = |name: &str| {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(ca("root"), key()).unwrap();
    let mut middle = ca("between");
    middle.not_after = date_time_ymd(year, 1, 1);
    let between = CertifiedIssuer::signed_by(middle, key(), &root).unwrap();
    let own = key();
    let leaf = params(names).signed_by(&own, &between).unwrap();
    let certificates = [leaf.der(), between.der(), root.der()];
    let certificates = certificates.map(|der| section("CERTIFICATE", der));
    (certificates, section("PRIVATE KEY", &own.serialize_der()))
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}
