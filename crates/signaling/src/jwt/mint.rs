//! Makes tokens, as back ends do.

use std::time::Duration;

use callbox_base::{auth::Secret, clock::Now, ids::UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::{Grants, MAX_TOKEN, is_fit_name, provider};

/// The time for which a token is good where nothing else is wanted.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// For how long a token can be good: nothing takes one back but a change of the secret.
const MAX_TTL: Duration = Duration::from_secs(30 * 86400);

/// Makes tokens, signed with HS256.
#[derive(Clone)]
pub struct TokenMinter {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

/// The contents of a token that is to be made.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its `sub`.
    pub user: UserId,
    /// Its `name`.
    pub name: Option<String>,
    /// The time for which it is good, in whole seconds; a second at least.
    pub ttl: Duration,
    /// Its `callbox`.
    pub grants: Grants,
}

/// A token, ready to be given to its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// The token.
    pub token: String,
    /// Its end, in seconds since 1970.
    pub expires: u64,
}

/// The reason for which a token is not made: it would be refused, or be good for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The name is not one.
    #[error("the name is longer than 128 bytes or holds a control character")]
    Name,
    /// The time is not one.
    #[error("it has to be good for a second at least, and for 30 days at most")]
    Ttl,
    /// There is no such pattern.
    #[error(
        "a pattern of who may be called, seen or blocked, or of which rooms may be joined, is empty"
    )]
    Pattern,
    /// Nobody would read it to its end.
    #[error("it would be longer than 8 KiB, and nobody would take it")]
    TooLong,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callbox: Option<&'a Grants>,
}

impl TokenMinter {
    /// Makes a minter that signs with `secret` and puts in the `iss` and `aud` that a
    /// [`TokenVerifier`](super::TokenVerifier) with the same issuer and audience asks for.
    pub fn new(secret: &Secret, issuer: Option<&str>, audience: Option<&str>) -> Self {
        provider::install();
        Self {
            key: EncodingKey::from_secret(secret.expose()),
            issuer: issuer.map(str::to_owned),
            audience: audience.map(str::to_owned),
        }
    }

    /// Makes a token with these contents that a verifier accepts.
    ///
    /// # Errors
    /// [`MintError`] if a verifier would refuse it, or it would be good for too long.
    pub fn mint(&self, wanted: &Wanted, now: Now) -> Result<Minted, MintError> {
        if !wanted.name.as_deref().is_none_or(is_fit_name) {
            return Err(MintError::Name);
        }
        if !(Duration::from_secs(1)..=MAX_TTL).contains(&wanted.ttl) {
            return Err(MintError::Ttl);
        }
        let Grants { call, presence, rooms, block, .. } = &wanted.grants;
        if [call, presence, rooms, block].into_iter().flatten().flatten().any(String::is_empty) {
            return Err(MintError::Pattern);
        }
        let expires = now.unix_secs() + wanted.ttl.as_secs();
        let claims = Claims {
            sub: &wanted.user,
            name: wanted.name.as_deref(),
            iat: now.unix_secs(),
            exp: expires,
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
            callbox: Some(&wanted.grants).filter(|grants| **grants != Grants::default()),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)
            .expect("claims of text and numbers become JSON, and HMAC takes any key");
        match token.len() <= MAX_TOKEN {
            true => Ok(Minted { token, expires }),
            false => Err(MintError::TooLong),
        }
    }
}
