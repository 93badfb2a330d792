//! JSON Web Tokens (RFC 7519) as proofs of a client's identity.
//!
//! A back end signs a token for each of its users, with a secret (HS256) or a private key (RS256,
//! ES256, EdDSA). A driver checks it with a [`TokenVerifier`], which gives the [`Identity`] that a
//! session is opened with. A [`TokenMinter`] makes tokens itself, for tests and for back ends that
//! ask for them.

mod grants;
mod keys;
mod mint;
mod provider;
mod published;
#[cfg(test)]
mod tests;
mod token_id;
mod token_key;

use callbox_base::{clock::Now, ids::UserId};
use jsonwebtoken::{
    Algorithm, Validation,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

pub use self::{
    grants::Grants,
    keys::{PublicKeyError, TokenKeys},
    mint::{DEFAULT_TTL, MintError, Minted, TokenMinter, Wanted},
    published::{KeySetError, PublishedKeys},
    token_id::TokenId,
};

/// The most that the issuer's clock may be off, in seconds.
const LEEWAY: u64 = 5;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// The longest `name` claim, in bytes.
const MAX_NAME: usize = 128;

/// The bearer of a token, as the token says. An [`Input::Open`](crate::Input::Open) needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The `sub` claim.
    pub user: UserId,
    /// The `name` claim: a name to show to people.
    pub name: Option<String>,
    /// The `exp` claim, in seconds since 1970.
    pub expires: u64,
    /// The `callbox` claim: the rights of the bearer.
    pub grants: Grants,
    /// The id of the token.
    pub token: TokenId,
    /// The `iat` claim, in seconds since 1970, if there is one that can be read.
    pub issued: Option<u64>,
}

/// The reason for which a token was refused, in words that may be sent to the bearer: they hold
/// nothing of the token and nothing of the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired; get a new one from whoever issues them")]
    Expired,
    /// It names a key that is not among the published ones, as far as is known.
    #[error("the token is not valid: its key (`kid`) is not one that its issuer publishes")]
    UnknownKey,
    /// It is not a token that this server accepts.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
}

impl TokenError {
    /// Returns the reason alone, for the log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired => "it has expired",
            Self::UnknownKey => "its key (`kid`) is not one that its issuer publishes",
            Self::Invalid(reason) => reason,
        }
    }
}

/// A token that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedToken {
    /// The reason.
    pub error: TokenError,
    /// The user whom it names, if its signature is good: the name is believed only then.
    pub user: Option<UserId>,
}

impl From<TokenError> for RefusedToken {
    fn from(error: TokenError) -> Self {
        Self { error, user: None }
    }
}

/// The claims that are looked at. `iss` and `aud` are the `jsonwebtoken` crate's to check.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    callbox: Value,
    /// Anything that is no date counts as none.
    #[serde(default)]
    iat: Value,
}

/// Seconds since 1970 (RFC 7519 §2); a fraction is allowed and cut off.
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        // A float turned to an integer saturates: a date before 1970 is 1970.
        number
            .as_u64()
            .or_else(|| number.as_f64().map(|secs| secs as u64))
            .map(Self)
            .ok_or_else(|| de::Error::custom("not a date"))
    }
}

/// Checks tokens. It reads no clock; every connection may use the same one.
#[derive(Debug, Clone)]
pub struct TokenVerifier {
    keys: TokenKeys,
    validation: Validation,
}

impl TokenVerifier {
    /// Accepts tokens that one of `keys` has signed and, where they are given, that carry this
    /// `iss` and this `aud`.
    pub fn new(keys: TokenKeys, issuer: Option<&str>, audience: Option<&str>) -> Self {
        provider::install();
        let mut validation = Validation::default();
        let mut required = vec!["exp", "sub"];
        // Times are ours to check: the crate would read the system's clock.
        validation.validate_exp = false;
        validation.validate_aud = audience.is_some();
        if let Some(audience) = audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Self { keys, validation }
    }

    /// Checks a token and returns its bearer. The clock of the issuer may be 5 seconds off.
    ///
    /// # Errors
    /// [`TokenError::Expired`] if only its time is over, [`TokenError::UnknownKey`] if it may be
    /// good once there are other published keys, [`TokenError::Invalid`] otherwise.
    pub fn verify(&self, token: &str, now: Now) -> Result<Identity, TokenError> {
        self.judge(token, now).map_err(|refused| refused.error)
    }

    /// Checks a token and returns its bearer as [`Self::verify`] does, and names the user of a
    /// token that is refused.
    ///
    /// # Errors
    /// [`RefusedToken`], with the reason and, if the signature is good, the user.
    pub fn judge(&self, token: &str, now: Now) -> Result<Identity, RefusedToken> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid("it is longer than 8 KiB").into());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| describe(&error))?;
        // RFC 7515 §4.1.11: an extension that is not understood must be refused; none is.
        if header.crit.is_some() {
            return Err(TokenError::Invalid("its header demands an unknown extension").into());
        }
        let claims = self.claims(token, header.alg, header.kid.as_deref())?;
        let user =
            UserId::new(&claims.sub).map_err(|_| TokenError::Invalid("its `sub` is no user id"))?;
        let refuse = |error| RefusedToken { error, user: Some(user.clone()) };
        if !claims.name.as_deref().is_none_or(is_fit_name) {
            let reason = "its `name` is too long or holds a control character";
            return Err(refuse(TokenError::Invalid(reason)));
        }
        let grants = Grants::read(claims.callbox);
        let grants = grants.map_err(|reason| refuse(TokenError::Invalid(reason)))?;
        let now = now.unix_secs();
        if claims.nbf.is_some_and(|nbf| nbf.0 > now + LEEWAY) {
            return Err(refuse(TokenError::Invalid("its time has not come yet (`nbf`)")));
        }
        if claims.exp.0.saturating_add(LEEWAY) < now {
            return Err(refuse(TokenError::Expired));
        }
        let issued = NumericDate::deserialize(claims.iat).ok().map(|iat| iat.0);
        let (name, expires) = (claims.name, claims.exp.0);
        Ok(Identity { user, name, expires, grants, token: TokenId::of(token), issued })
    }

    /// Tries each key whose algorithm the token names, of the published ones only those that it may
    /// mean.
    fn claims(
        &self,
        token: &str,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Claims, TokenError> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        let mut refused = TokenError::Invalid("no key is configured for its algorithm");
        let published = self.keys.published();
        let meant = published.iter().flat_map(|keys| keys.iter()).filter(|key| key.is_called(id));
        let meant = meant.map(|key| &key.key).filter(|key| key.algorithm == algorithm);
        for key in self.keys.with(algorithm).chain(meant) {
            match jsonwebtoken::decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => refused = describe(&error),
            }
            // The signature was good: another key would give no other result.
            if refused != WRONG_SIGNATURE {
                return Err(refused);
            }
        }
        match self.keys.may_lack(algorithm, published.as_deref(), id) {
            true => Err(TokenError::UnknownKey),
            false => Err(refused),
        }
    }
}

/// Returns true if this can be a `name`.
fn is_fit_name(name: &str) -> bool {
    name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

const WRONG_SIGNATURE: TokenError = TokenError::Invalid("its signature matches no configured key");

fn describe(error: &Error) -> TokenError {
    let reason = match error.kind() {
        ErrorKind::InvalidSignature => return WRONG_SIGNATURE,
        ErrorKind::InvalidIssuer => "its `iss` is not the configured issuer",
        ErrorKind::InvalidAudience => "its `aud` is not the configured audience",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it has no `exp`, or not as a number",
            "sub" => "it has no `sub`, or not as text",
            "iss" => "it has no `iss`",
            _ => "it has no `aud`",
        },
        ErrorKind::Json(error) if error.to_string().contains("unknown variant") => {
            "its algorithm is not one of HS256, RS256, ES256 and EdDSA"
        }
        ErrorKind::Json(_) => "a claim that is needed (`sub`, `exp`) is missing or of a wrong type",
        _ => "it is not a JSON Web Token",
    };
    TokenError::Invalid(reason)
}
