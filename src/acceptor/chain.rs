//! The order of a certificate and its issuers' certificates.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// Returns the certificate with this public key, then the one of its issuer, and so on; after them
/// those that do not belong to the chain, in their order. Some clients refuse a chain in another
/// order, which RFC 5246 §7.4.2 demands. Returns `None` if no certificate has the key.
pub(super) fn sort(
    certificates: &[CertificateDer<'static>],
    key: Option<&SubjectPublicKeyInfoDer<'_>>,
) -> Option<Vec<CertificateDer<'static>>> {
    let key = key?;
    let mut rest: Vec<_> = certificates.to_vec();
    let has_key = |der: &CertificateDer<'_>| {
        read(der).is_some_and(|certificate| certificate.subject_public_key_info() == *key)
    };
    let leaf = rest.iter().position(has_key)?;
    let mut chain = vec![rest.remove(leaf)];
    while let Some(issuer) = issuer_of(&chain[chain.len() - 1])
        && let Some(at) = rest.iter().position(|der| is_called(der, &issuer))
    {
        chain.push(rest.remove(at));
    }
    chain.extend(rest);
    Some(chain)
}

fn read<'a>(der: &'a CertificateDer<'_>) -> Option<webpki::EndEntityCert<'a>> {
    webpki::EndEntityCert::try_from(der).ok()
}

/// Returns the name of a certificate's issuer; `None` if it is its own issuer.
fn issuer_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = read(der)?;
    (certificate.issuer() != certificate.subject()).then(|| certificate.issuer().to_vec())
}

/// Returns true if a certificate is its own issuer: clients either know it or do not, and its other
/// contents do not matter.
pub(super) fn is_root(der: &CertificateDer<'_>) -> bool {
    issuer_of(der).is_none()
}

fn is_called(der: &CertificateDer<'_>, name: &[u8]) -> bool {
    read(der).is_some_and(|certificate| certificate.subject() == name)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn der(issuer: &Issuer) -> CertificateDer<'static> {
        issuer.der().clone()
    }

    #[test]
    fn a_chain_begins_with_the_key_s_certificate_followed_by_its_issuers() {
        let key = || KeyPair::generate().unwrap();
        let root = Issuer::self_signed(params("root", true), key()).unwrap();
        let upper = Issuer::signed_by(params("upper", true), key(), &root).unwrap();
        let lower = Issuer::signed_by(params("lower", true), key(), &upper).unwrap();
        let leaf_key = key();
        let leaf = params("a.example", false).signed_by(&leaf_key, &lower).unwrap().der().clone();
        let stranger = der(&Issuer::self_signed(params("stranger", true), key()).unwrap());
        let (root, upper, lower) = (der(&root), der(&upper), der(&lower));
        let sorted = [&leaf, &lower, &upper, &root, &stranger].map(Clone::clone).to_vec();
        let spki = read(&leaf).unwrap().subject_public_key_info();
        for given in [
            sorted.clone(),
            [&root, &upper, &lower, &leaf, &stranger].map(Clone::clone).to_vec(),
            [&stranger, &upper, &leaf, &root, &lower].map(Clone::clone).to_vec(),
        ] {
            assert_eq!(sort(&given, Some(&spki)).as_ref(), Some(&sorted));
        }
        assert_eq!(sort(&sorted[1..], Some(&spki)), None);
        assert_eq!(sort(&sorted, None), None);
    }
}
