//! The errors of a configuration.

use std::{io, path::PathBuf};

use callbox_cli::SecretError;
use callbox_signaling::jwt::PublicKeyError;

/// The reason why a configuration is refused. The text names the source and the remedy; it contains
/// no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line could not be parsed, or it asks for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A file could not be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line of the configuration file is wrong.
    #[error("{path}:{line}: {reason}", path = path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The fault of the line.
        reason: String,
    },
    /// An environment variable is wrong.
    #[error("environment variable {name}: {reason}")]
    Variable {
        /// The variable's name.
        name: String,
        /// The fault of its value.
        reason: String,
    },
    /// An option contradicts others, in whichever layer it was set.
    #[error("--{option}: {reason}")]
    Option {
        /// The option's flag.
        option: &'static str,
        /// The fault of its value.
        reason: String,
    },
    /// There is no secret where one is needed, or none in the file that should have it.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A public key is not usable.
    #[error("--jwt-public-key {path}: {source}", path = path.display())]
    PublicKey {
        /// The file of the key.
        path: PathBuf,
        /// The fault of the key.
        source: PublicKeyError,
    },
    /// There is no secret to make TURN credentials with.
    #[error(
        "no secret for TURN credentials. Make one with\n\n    openssl rand -base64 32\n\nand give \
         it as --auth-secret-file FILE, as CALLBOX_AUTH_SECRET or as `auth-secret` in the \
         configuration file. Or try things out first: --dev generates one."
    )]
    NoAuthSecret,
    /// There is no key to check tokens with.
    #[error(
        "no key for tokens. Either share a secret with your back end: make one with\n\n    openssl \
         rand -base64 32\n\nand give it as --jwt-secret-file FILE, as CALLBOX_JWT_SECRET or as `jwt-secret` in the \
         configuration file. Or give the public key that your back end's tokens verify with as \
         --jwt-public-key FILE, or where its keys are published as --jwt-jwks-url URL. \
         Or try things out first: --dev generates one."
    )]
    NoTokenKey,
    /// Something is open to others, and that is not to be.
    #[error("--strict: {}", .0.join("\n         "))]
    Exposed(Vec<String>),
}
