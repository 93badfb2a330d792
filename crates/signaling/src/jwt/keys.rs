//! The keys that tokens are checked with.

use std::sync::Arc;

use callbox_base::{auth::Secret, text};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::{
    published::{PublishedKey, PublishedKeys},
    token_key::TokenKey,
};

/// The reason for which a public key was refused, in words that may be shown to the person who
/// configured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// It is a private key.
    #[error(
        "it is a private key, which callbox neither needs nor should hold; take the public half \
         with `openssl pkey -in FILE -pubout`"
    )]
    Private,
    /// It is a certificate.
    #[error(
        "it is a certificate; take the public key out of it with `openssl x509 -in FILE -pubkey \
         -noout`"
    )]
    Certificate,
    /// It is no public key in PEM form.
    #[error("it is not a public key in PEM form (a file that begins with `-----BEGIN PUBLIC KEY`)")]
    NotPem,
    /// An RSA key that is too small to be safe.
    #[error("it is an RSA key of less than 2048 bits, which is not safe; make a larger one")]
    SmallRsa,
    /// An elliptic curve other than P-256.
    #[error("it is an elliptic-curve key, but not on the curve P-256 that ES256 needs")]
    WrongCurve,
}

/// The keys that tokens are checked with: any of them may have signed. Each key is tied to one
/// algorithm, so that what a token's header says can pick a key but never how the key is used.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys {
    own: Vec<TokenKey>,
    published: Option<PublishedKeys>,
}

impl TokenKeys {
    /// Accepts tokens signed with HS256 by this shared secret.
    pub fn add_secret(&mut self, secret: &Secret) {
        let key = DecodingKey::from_secret(secret.expose());
        self.own.push(TokenKey { algorithm: Algorithm::HS256, key });
    }

    /// Accepts tokens signed by the private half of this public key, which is PEM text: RS256 for
    /// an RSA key, ES256 for one on P-256, EdDSA for Ed25519.
    ///
    /// # Errors
    /// [`PublicKeyError`] if it is anything else.
    pub fn add_public_key(&mut self, pem: &[u8]) -> Result<(), PublicKeyError> {
        let text = text::pem(pem);
        let label = text.lines().find_map(|line| {
            line.strip_prefix("-----BEGIN ")?.strip_suffix("-----").map(str::to_owned)
        });
        match label.as_deref() {
            Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {}
            Some("CERTIFICATE") => return Err(PublicKeyError::Certificate),
            Some(label) if label.ends_with("PRIVATE KEY") => return Err(PublicKeyError::Private),
            _ => return Err(PublicKeyError::NotPem),
        }
        self.own.push(parse(text.as_bytes())?);
        Ok(())
    }

    /// Accepts tokens signed by the private halves of these keys, which may be replaced at any
    /// time.
    pub fn add_published(&mut self, keys: &PublishedKeys) {
        self.published = Some(keys.clone());
    }

    /// Returns true if there is no key, so that no token can be accepted.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.published.is_none()
    }

    /// Returns the configured keys for an algorithm.
    pub(super) fn with(&self, algorithm: Algorithm) -> impl Iterator<Item = &TokenKey> {
        self.own.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// Returns the keys that are published at this moment.
    pub(super) fn published(&self) -> Option<Arc<[PublishedKey]>> {
        self.published.as_ref()?.get()
    }

    /// Returns true if the key of a token may be published, but not known yet.
    pub(super) fn may_lack(
        &self,
        algorithm: Algorithm,
        published: Option<&[PublishedKey]>,
        id: Option<&str>,
    ) -> bool {
        let is_public = matches!(algorithm, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA);
        let is_known =
            published.is_some_and(|keys| id.is_none() || keys.iter().any(|key| key.is_called(id)));
        self.published.is_some() && is_public && !is_known
    }
}

/// Reads a public key. Each of the readers takes only keys of its own kind.
fn parse(pem: &[u8]) -> Result<TokenKey, PublicKeyError> {
    let bytes = |key: &DecodingKey| match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    };
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        // An uncompressed point: one byte of form, then x and y of 32 bytes each (SEC 1 §2.3.3).
        let on_p256 = key.try_get_as_bytes().is_ok_and(|b| b.len() == 65 && b[0] == 4);
        return match on_p256 {
            true => Ok(TokenKey { algorithm: Algorithm::ES256, key }),
            false => Err(PublicKeyError::WrongCurve),
        };
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Ok(TokenKey { algorithm: Algorithm::EdDSA, key });
    }
    let key = DecodingKey::from_rsa_pem(pem).map_err(|_| PublicKeyError::NotPem)?;
    // The DER of a 2048-bit key holds a modulus of 256 bytes; `ring` refuses smaller ones, but
    // only when a token comes.
    match bytes(&key) {
        len if len < 256 => Err(PublicKeyError::SmallRsa),
        _ => Ok(TokenKey { algorithm: Algorithm::RS256, key }),
    }
}
