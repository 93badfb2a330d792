//! Answers that are of no use, and answers that refuse.

use std::fmt;

use stun::{
    error_code::ErrorCodeAttribute,
    message::{Getter, Message, Method},
};
use thiserror::Error;

/// A message that cannot be made or read.
#[derive(Debug, Error)]
pub enum Error {
    /// A request has an attribute that cannot be encoded.
    #[error("the request cannot be encoded")]
    Encode(#[source] stun::Error),
    /// The answer is no STUN message.
    #[error("the server answers with something broken")]
    Broken(#[source] stun::Error),
    /// The answer is an error without a code.
    #[error("the server refuses and does not say why")]
    NoCode(#[source] stun::Error),
}

/// An error response (RFC 8489 §14.8).
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The method of the request.
    pub method: Method,
    /// The error code.
    pub code: u16,
    /// The reason phrase.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn read(message: &Message) -> Result<Self, Error> {
        let mut error = ErrorCodeAttribute::default();
        error.get_from(message).map_err(Error::NoCode)?;
        let reason = String::from_utf8_lossy(&error.reason).into_owned();
        Ok(Self { method: message.typ.method, code: error.code.0, reason })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} error response (error {}: {})", self.method, self.code, self.reason)
    }
}

impl std::error::Error for Refusal {}
