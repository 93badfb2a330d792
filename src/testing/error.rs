//! The errors of a server in a test.

use callbox_base::ids::IdError;
use callbox_signaling::jwt::MintError;

use crate::{config::ConfigError, faults::FaultError};

/// The reason why a server in a test did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option is not one of `callbox serve`, or does not fit the others.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An option is about the process, which is the test's.
    #[error("--{0}: a server in a test takes no options about the process and its output")]
    ProcessOption(String),
    /// The server cannot start with these options.
    #[error("the server does not start: {0:#}")]
    Start(anyhow::Error),
}

/// The reason why there is no such token, or no such credentials.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text is not the id of a user.
    #[error("{user:?} is not a user id: {error}")]
    User {
        /// The text.
        user: String,
        /// Its fault.
        error: IdError,
    },
    /// The server would refuse the token.
    #[error("no such token can be made: {0}")]
    Mint(#[from] MintError),
    /// The options leave no secret to make it with.
    #[error("there is no secret to make it with: the options of the server leave none")]
    NoSecret,
}

/// The reason why faults were not injected.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// The server was started without permission for faults.
    #[error("the server injects no faults: start it with `Server::builder().allow_faults()`")]
    NotAllowed,
    /// The document is not one of faults.
    #[error("no such faults: {0}")]
    Document(#[from] FaultError),
    /// The server has ended.
    #[error("the server has ended")]
    Ended,
}
