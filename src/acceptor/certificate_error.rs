//! The reasons why the server's certificate cannot be used, as texts for the operator.

use std::{io, path::PathBuf};

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
