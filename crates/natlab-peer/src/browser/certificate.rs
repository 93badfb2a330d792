//! The certificate of the TURN server, as Chromium is told to accept it.

use std::{fs, path::Path};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest;
use x509_parser::pem::parse_x509_pem;

/// Returns the SHA-256 hash of the public key in a PEM file, in Base64.
pub(super) fn key_hash(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let failed = || format!("no certificate in PEM form is in {}", path.display());
    let (_, pem) = parse_x509_pem(&bytes).ok().with_context(failed)?;
    let certificate = pem.parse_x509().ok().with_context(failed)?;
    let hash = digest::digest(&digest::SHA256, certificate.public_key().raw);
    Ok(BASE64_STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_public_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("certificate.pem");
        let made = rcgen::generate_simple_self_signed(["192.0.2.1".to_owned()]).unwrap();
        fs::write(&path, made.cert.pem()).unwrap();
        let key = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
        let expected = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, &key));
        assert_eq!(key_hash(&path).unwrap(), expected);
        fs::write(&path, "nothing").unwrap();
        let error = key_hash(&path).unwrap_err().to_string();
        assert!(error.starts_with("no certificate in PEM form is in "), "{error}");
    }
}
