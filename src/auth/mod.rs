//! The one place for secrets: what mints and verifies TURN credentials, nonces, tokens and API keys.
//!
//! Nothing outside this module holds a secret as text, and everything in it that is secret compares
//! in constant time and prints as `[redacted]`.

mod api_key;
mod jwt;
mod nonce;
mod secret;
mod turn_rest;
mod turn_users;

pub use api_key::ApiKeys;
pub use jwt::{Identity, PublicKeyError, TokenError, TokenKeys, TokenMinter, TokenVerifier};
pub use nonce::{NonceError, Nonces};
pub use secret::Secret;
pub use turn_rest::{TurnCredentials, TurnSecrets, TurnUsername};
pub use turn_users::{LongTermKey, TurnAuth, TurnAuthError, TurnIdentity};
