//! The one place for secrets: what mints and verifies TURN credentials, nonces, tokens, API keys and
//! webhook signatures.
//!
//! Nothing outside this module holds a secret as text, and everything in it that is secret compares
//! in constant time and prints as `[redacted]`.

mod access_tokens;
mod api_key;
mod jwt;
mod long_term_key;
mod nonce;
mod secret;
mod security_features;
mod static_users;
mod turn_rest;
mod turn_users;
mod webhook_keys;

#[cfg(test)]
pub use access_tokens::testing;
pub use access_tokens::{AccessTokenKey, AccessTokenKeyError};
pub use api_key::ApiKeys;
pub use jwt::{
    DEFAULT_TTL, Grants, Identity, KeySetError, MintError, Minted, PublicKeyError, PublishedKeys,
    RefusedToken, TokenError, TokenId, TokenKeys, TokenMinter, TokenVerifier, Wanted,
};
pub use long_term_key::LongTermKey;
pub use secret::Secret;
pub use turn_rest::{TurnCredentials, TurnSecrets, TurnUsername};
pub use turn_users::{TurnAuth, TurnAuthError, TurnIdentity, WrongCredentials};
pub use webhook_keys::WebhookKeys;
