//! Secrets, the TURN credentials that are made with them, and the keys of access tokens: shared by
//! signaling, which mints credentials, the relay, which verifies them, and the tools.
//!
//! Nothing outside this module holds a secret as text, and everything in it that is secret compares
//! in constant time and prints as `[redacted]`.

mod access_token_key;
mod secret;
mod turn_rest;

pub use access_token_key::{AccessTokenKey, AccessTokenKeyError};
pub use secret::Secret;
pub use turn_rest::{TurnCredentials, TurnSecrets, TurnUsername};
