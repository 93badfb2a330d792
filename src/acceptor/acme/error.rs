//! The reasons why an order fails, as texts for the log.

use std::{io, path::PathBuf, time::Duration};

use instant_acme::Error;

use super::challenge::ChallengeError;

/// The reason why there is no certificate, as text for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The CA refused, or could not be reached.
    #[error("{0}")]
    Ca(#[from] Error),
    /// The CA has lost the account, or never had it.
    #[error("the CA does not know the account that was kept; the next try makes a new one")]
    UnknownAccount,
    /// The stored account cannot be parsed.
    #[error("{path} is no account; remove it to have a new one made", path = .0.display())]
    NoAccount(PathBuf),
    /// The CA does not offer the one challenge that is supported.
    #[error("the CA offers no challenge of the type tls-alpn-01 for {0}")]
    NoChallenge(String),
    /// The CA asks for the validation of a name that was not ordered.
    #[error("the CA wants to validate {0}, which was not ordered")]
    NotOrdered(String),
    /// The CA could not validate a name.
    #[error("the CA could not validate a name: {0}")]
    NotValidated(String),
    /// A challenge cannot be answered.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// The request for the certificate cannot be made.
    #[error("no request could be made: {0}")]
    Request(#[from] rcgen::Error),
    /// The issued certificate is not the one that was ordered.
    #[error("what the CA has issued cannot be used: {0}")]
    Unusable(String),
    /// A file in the state directory cannot be read or written.
    #[error("--state-dir: {0}")]
    Keep(io::Error),
    /// The order takes too long.
    #[error("the order takes longer than {0:?}")]
    Slow(Duration),
}
