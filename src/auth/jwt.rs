//! JSON Web Tokens: who a signaling client is.

use crate::ids::UserId;

/// Who a token says its bearer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The `sub` claim.
    pub user: UserId,
    /// The `name` claim: what to show to people.
    pub name: Option<String>,
    /// The `exp` claim, in seconds since 1970.
    pub expires: u64,
}

/// x
pub struct PublicKeyError;
/// x
pub struct TokenError;
/// x
pub struct TokenKeys;
/// x
pub struct TokenMinter;
/// x
pub struct TokenVerifier;
