//! TLS as a client: whose certificates are believed.

use std::path::Path;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::CertificateError;

/// Believes the certificates in this file and those that they vouch for, or those that browsers
/// believe. `option` is what names the file.
///
/// # Errors
/// [`CertificateError`] if the file has none.
pub fn client_config(
    option: &'static str,
    roots: Option<&Path>,
) -> Result<ClientConfig, CertificateError> {
    let roots = match roots {
        Some(path) => read_roots(option, path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let provider = ring::default_provider().into();
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn read_roots(option: &'static str, path: &Path) -> Result<RootCertStore, CertificateError> {
    let pem = std::fs::read(path).map_err(|source| CertificateError::Read {
        option,
        path: path.into(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    match added {
        0 => Err(CertificateError::Nothing { option, path: path.into(), what: "certificate" }),
        _ => Ok(roots),
    }
}
