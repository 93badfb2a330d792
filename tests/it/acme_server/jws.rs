//! Verification of signed requests by RFC 8555 §6.2 to §6.5.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use serde_json::{Map, Value};

use super::http::Request;

/// A request whose signature has been verified with the key that it names.
#[derive(Debug)]
pub(super) struct Signed {
    pub signer: Signer,
    pub nonce: String,
    /// The payload, or `None` for POST-as-GET (RFC 8555 §6.3).
    pub payload: Option<Value>,
}

#[derive(Debug)]
pub(super) enum Signer {
    /// A key that the request contains.
    Key(Key),
    /// The URL of an account.
    Account(String),
}

#[derive(Debug)]
pub(super) struct Key {
    /// The public key as an uncompressed point.
    pub point: Vec<u8>,
    /// The thumbprint by RFC 7638.
    pub thumbprint: String,
}

impl Signed {
    /// # Errors
    /// Returns the reason why the request is invalid.
    pub(super) fn read(
        request: &Request,
        url: &str,
        key_of: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, String> {
        // §6.2: exactly this content type.
        let kind = request.headers.get("content-type").map_or("", String::as_str);
        ensure(kind == "application/jose+json", format!("the content type {kind:?}"))?;
        let body: Map<String, Value> =
            serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        // §6.2: flattened serialization, without an unprotected header.
        ensure(body.len() == 3, "members beyond the three".into())?;
        let part = |name: &str| body.get(name).and_then(Value::as_str).ok_or(format!("no {name}"));
        let (protected, payload) = (part("protected")?, part("payload")?);
        let header: Map<String, Value> =
            serde_json::from_slice(&decode(protected)?).map_err(|error| error.to_string())?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        ensure(text("alg") == Some("ES256"), "alg is not ES256".into())?;
        ensure(text("url") == Some(url), format!("url is {:?}, not {url}", text("url")))?;
        let nonce = text("nonce").ok_or("no nonce")?.to_owned();
        // §6.2: exactly one of the two.
        let signer = match (header.get("jwk"), text("kid")) {
            (Some(jwk), None) => Signer::Key(Key::read(jwk)?),
            (None, Some(kid)) => Signer::Account(kid.to_owned()),
            _ => return Err("not exactly one of jwk and kid".into()),
        };
        let point = match &signer {
            Signer::Key(key) => key.point.clone(),
            Signer::Account(kid) => key_of(kid).ok_or_else(|| format!("no account {kid}"))?,
        };
        let signed = format!("{protected}.{payload}");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decode(part("signature")?)?)
            .map_err(|_| "the signature is wrong")?;
        let payload = match payload {
            "" => None,
            payload => {
                Some(serde_json::from_slice(&decode(payload)?).map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { signer, nonce, payload })
    }
}

impl Key {
    fn read(jwk: &Value) -> Result<Self, String> {
        let text = |name: &str| jwk[name].as_str().ok_or(format!("jwk has no {name}"));
        ensure((text("kty")?, text("crv")?) == ("EC", "P-256"), "jwk is not on P-256".into())?;
        ensure(jwk["d"].is_null(), "jwk has the private key in it".into())?;
        let (x, y) = (text("x")?, text("y")?);
        let point = [vec![4], decode(x)?, decode(y)?].concat();
        ensure(point.len() == 65, "jwk has no point".into())?;
        // RFC 7638 §3.2: the required members in lexicographic order.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = BASE64.encode(digest(&SHA256, canonical.as_bytes()));
        Ok(Self { point, thumbprint })
    }
}

/// Decodes base64url without padding (RFC 8555 §6.1).
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|error| format!("not base64url: {error}"))
}

fn ensure(holds: bool, otherwise: String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise) }
}
