//! A key that tokens are checked with.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};

/// One key, with the only algorithm that it is used with.
#[derive(Clone)]
pub(super) struct TokenKey {
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:?})", self.algorithm)
    }
}
