//! The trusted root certificates.

use std::{fs, io, path::Path};

use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::Pem;

/// Trusted root certificates.
#[derive(Debug, Clone)]
pub struct Roots(RootCertStore);

/// The reason for which a file has no root certificates.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It contains none.
    #[error("no certificate in PEM form is in it{0}")]
    Nothing(String),
}

impl Roots {
    /// Returns the roots that browsers trust. They are part of the program.
    pub fn public() -> Self {
        Self(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Reads the roots in a PEM file.
    ///
    /// # Errors
    /// [`RootsError`]
    pub fn read(path: &Path) -> Result<Self, RootsError> {
        let mut roots = Self(RootCertStore::empty());
        roots.add(path)?;
        Ok(roots)
    }

    /// Adds the roots in a PEM file.
    ///
    /// # Errors
    /// [`RootsError`]
    pub fn add(&mut self, path: &Path) -> Result<(), RootsError> {
        let pem = fs::read(path)?;
        let pem = Pem::parse(&pem);
        match self.0.add_parsable_certificates(pem.certificates().iter().cloned()) {
            (0, _) => Err(RootsError::Nothing(pem.other_contents())),
            _ => Ok(()),
        }
    }

    /// Returns the TLS settings of a client.
    pub fn into_config(self) -> ClientConfig {
        ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks versions 1.2 and 1.3 of TLS")
            .with_root_certificates(self.0)
            .with_no_client_auth()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_none() {
        let mut roots = Roots::public();
        let empty = NamedTempFile::new().unwrap();
        assert!(matches!(roots.add(empty.path()), Err(RootsError::Nothing(_))));
        assert!(matches!(roots.add("/nowhere/a.pem".as_ref()), Err(RootsError::Read(_))));
    }
}
