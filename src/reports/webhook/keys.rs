//! The keys that webhooks are signed with.

use std::fmt::Write;

use callbox_base::auth::Secret;
use ring::hmac;

/// The keys that a receiver may verify with. During a rotation there are two.
#[derive(Clone)]
pub struct WebhookKeys(Vec<hmac::Key>);

impl std::fmt::Debug for WebhookKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl WebhookKeys {
    /// Signs with each of these.
    pub fn new(secrets: &[Secret]) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self(secrets.iter().map(key).collect())
    }

    /// Returns the value of `Callbox-Signature` for a body that is sent now:
    /// `t=<seconds>,v1=<hex>`, with a `v1` for each key. The time is part of the signed text, so
    /// that a recorded event cannot be replayed much later.
    pub fn sign(&self, unix_secs: u64, body: &[u8]) -> String {
        let mut header = format!("t={unix_secs}");
        for key in &self.0 {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{unix_secs}.").as_bytes());
            context.update(body);
            header.push_str(",v1=");
            for byte in context.sign().as_ref() {
                write!(header, "{byte:02x}").expect("writing to a String does not fail");
            }
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac SECRET` prints.
    #[test]
    fn each_key_signs_the_time_and_the_body() {
        let keys = WebhookKeys::new(&[Secret::new("north"), Secret::new("south")]);
        assert_eq!(
            keys.sign(1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=9412835788608fdba6e8472a372d9e0c2f3d5bfe22088a3cdce2c504bd861ac6,v1=4aff9050d6c26fee5026a11af65628cceb5fa9b1fcc7888ac61fc84d6e86965c"
        );
        assert_eq!(format!("{keys:?}"), "[redacted]");
    }
}
