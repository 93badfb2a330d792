//! What can be wrong with a configuration.

use std::{io, path::PathBuf};

use callbox_cli::SecretError;
use callbox_signaling::jwt::PublicKeyError;

/// What is wrong with a configuration. The text names the place and says what to do; it holds no
/// secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line could not be parsed, or it asks for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A file could not be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line of the configuration file is wrong.
    #[error("{path}:{line}: {reason}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An environment variable is wrong.
    #[error("environment variable {name}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option does not go together with the others, wherever it was set.
    #[error("--{option}: {reason}")]
    Option {
        /// The option's flag.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no secret where one is needed, or none in the file that should have it.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A public key is not usable.
    #[error("--jwt-public-key {path}: {source}", path = path.display())]
    PublicKey {
        /// The file it is in.
        path: PathBuf,
        /// What is wrong with it.
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
