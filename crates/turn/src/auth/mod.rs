//! The proof of who a client is: long-term credentials (RFC 8489 §9.2), static or made by signaling,
//! nonces, and access tokens (RFC 7635).

mod access_tokens;
mod long_term_key;
mod nonce;
mod security_features;
mod static_users;
mod turn_users;

#[cfg(test)]
pub use access_tokens::testing;
pub use access_tokens::{AccessTokenKey, AccessTokenKeyError};
pub use long_term_key::LongTermKey;
pub use turn_users::{TurnAuth, TurnAuthError, TurnIdentity, WrongCredentials};
