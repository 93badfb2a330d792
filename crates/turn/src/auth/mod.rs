//! Proofs of a client's identity: long-term credentials (RFC 8489 §9.2), static or signed with a
//! secret, nonces, and access tokens (RFC 7635).
//!
//! A server makes one [`TurnAuth`] and gives it to [`Common::new`](crate::Common::new), which
//! checks each request with it. The other types are for drivers that check requests by themselves,
//! and for logs.

mod access_tokens;
mod long_term_key;
mod nonce;
mod security_features;
mod static_users;
mod turn_auth_error;
mod turn_identity;
mod turn_users;

#[cfg(test)]
pub use access_tokens::testing;
pub use callbox_base::auth::{AccessTokenKey, AccessTokenKeyError};
pub use long_term_key::LongTermKey;
pub use turn_auth_error::{TurnAuthError, WrongCredentials};
pub use turn_identity::TurnIdentity;
pub use turn_users::TurnAuth;
