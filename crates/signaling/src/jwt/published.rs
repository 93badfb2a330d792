//! Keys that the issuer of tokens publishes (RFC 7517), and replaces when it likes.

use std::sync::{Arc, RwLock};

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
    },
};

use super::token_key::TokenKey;

/// The largest number of keys in a set. Issuers have two or three.
const MAX_KEYS: usize = 32;

/// The reason for which a document was refused. The keys that there were stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no key set.
    #[error("it is not a JSON Web Key Set")]
    NotASet,
    /// It has too many keys.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
}

/// The keys of a set (RFC 7517) that tokens can be checked with. Every clone shares the same ones.
#[derive(Debug, Clone, Default)]
pub struct PublishedKeys(Arc<RwLock<Option<Arc<[PublishedKey]>>>>);

/// A key of a published set.
#[derive(Debug)]
pub(super) struct PublishedKey {
    /// The `kid` by which tokens name it.
    id: Option<String>,
    pub(super) key: TokenKey,
}

impl PublishedKey {
    /// Returns true if it may be the key that a token names. It may be if either has no name.
    pub(super) fn is_called(&self, id: Option<&str>) -> bool {
        self.id.is_none() || id.is_none() || self.id.as_deref() == id
    }
}

impl PublishedKeys {
    /// Replaces the keys by those of a document, all at once. Keys that tokens cannot be checked
    /// with are left out. Returns how many there are now.
    ///
    /// # Errors
    /// [`KeySetError`] if it is no such document; the keys that there were stay.
    pub fn replace(&self, document: &[u8]) -> Result<usize, KeySetError> {
        let set: JwkSet = serde_json::from_slice(document).map_err(|_| KeySetError::NotASet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let usable = set.keys.iter().filter_map(|jwk| {
            Some(PublishedKey { id: jwk.common.key_id.clone(), key: usable(jwk)? })
        });
        let keys: Arc<[_]> = usable.collect();
        let count = keys.len();
        *self.0.write().expect("replacing a value does not panic") = Some(keys);
        Ok(count)
    }

    /// Returns the keys of this moment; `None` until there was a set.
    pub(super) fn get(&self) -> Option<Arc<[PublishedKey]>> {
        self.0.read().expect("replacing a value does not panic").clone()
    }
}

/// Returns the key if it is for checking signatures of a supported kind. A symmetric key never is,
/// since a published key is no secret.
fn usable(jwk: &Jwk) -> Option<TokenKey> {
    let common = &jwk.common;
    let is_for_signatures =
        common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|of| of.contains(&KeyOperations::Verify));
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_it = common.key_algorithm.is_none_or(|named| named == name);
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures && is_for_it)?;
    let is_whole = match key.kind() {
        // From 2048 bits, which is what `ring` takes, to 8192.
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            (256..=1024).contains(&n.len()) && e.len() <= 8
        }
        DecodingKeyKind::SecretOrDer(bytes) if algorithm == Algorithm::ES256 => bytes.len() == 65,
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len() == 32,
    };
    is_whole.then_some(TokenKey { algorithm, key })
}
