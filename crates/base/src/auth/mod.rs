//! Secrets, and the TURN credentials that are made with them: shared by signaling, which mints
//! them, and the relay, which verifies them.
//!
//! Nothing outside this module holds a secret as text, and everything in it that is secret compares
//! in constant time and prints as `[redacted]`.

mod secret;
mod turn_rest;

pub use secret::Secret;
pub use turn_rest::{TurnCredentials, TurnSecrets, TurnUsername};
