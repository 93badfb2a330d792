//! The reasons for which credentials are refused: for the answer, and for the log.

use callbox_stun::ErrorCode;

/// The reason for which the credentials of a request are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TurnAuthError {
    /// No integrity: the client is challenged with a realm and a nonce.
    #[error("the request carries no credentials")]
    Missing,
    /// Integrity without USERNAME or USERHASH, REALM or NONCE.
    #[error("the request's credentials are incomplete")]
    Incomplete,
    /// PASSWORD-ALGORITHMS are not those that were offered beside the nonce, or
    /// PASSWORD-ALGORITHM is none of them: somebody has changed the offer on the way.
    #[error("the request's password algorithms are not those that were offered")]
    BidDown,
    /// No such user, another realm or a wrong password; which of them is not told.
    #[error("the request's credentials are wrong")]
    Wrong,
    /// The credentials are right, but the nonce is not one to go on with.
    #[error("the request's nonce is stale")]
    StaleNonce,
}

impl TurnAuthError {
    /// Returns the error code of the answer (RFC 8489 §9.2.4).
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Missing | Self::Wrong => ErrorCode::Unauthorized,
            Self::Incomplete | Self::BidDown => ErrorCode::BadRequest,
            Self::StaleNonce => ErrorCode::StaleNonce,
        }
    }

    /// Returns true if the answer carries a realm and a fresh nonce, as all but 400 do.
    pub fn challenges(self) -> bool {
        self.code() != ErrorCode::BadRequest
    }
}

/// The fault in credentials, for the server's own log: the client is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongCredentials {
    /// They are for another realm.
    Realm,
    /// There is no such user, or the name is none that a secret vouches for.
    User,
    /// The password is another one, or the access token is not for this server or over.
    Password,
    /// Their time is over.
    Expired,
    /// Their call is over, or their user has been removed from it.
    Revoked,
}

impl WrongCredentials {
    /// Returns the fault in words, for a log line.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Realm => "they are for another realm",
            Self::User => "there is no such user",
            Self::Password => "the password is wrong",
            Self::Expired => "they have expired",
            Self::Revoked => "their call is over, or the user has been removed from it",
        }
    }
}
