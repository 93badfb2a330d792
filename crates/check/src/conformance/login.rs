//! The login of a client: the long-term credential mechanism (RFC 8489 §9.2).

use ::stun::{
    attributes::{ATTR_NONCE, ATTR_PASSWORD_ALGORITHMS, ATTR_REALM},
    integrity::MessageIntegrity,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest;

use super::{answer::Answer, verdict::Verdict};

/// A user's name and password.
#[derive(Clone)]
pub(super) struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A user towards one server, with all that requests are signed with.
#[derive(Clone)]
pub(super) struct Login {
    /// USERNAME.
    pub username: String,
    /// The password, for keys by another algorithm.
    pub password: String,
    /// The server's REALM.
    pub realm: String,
    /// The server's NONCE.
    pub nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS, if the server gave them.
    pub algorithms: Option<Vec<u8>>,
    /// The key: MD5 of name, realm and password (RFC 8489 §9.2.2).
    pub key: MessageIntegrity,
}

impl Login {
    /// Takes realm and nonce from a 401.
    pub(super) fn new(user: &User, challenge: &Answer) -> Verdict<Self> {
        let realm = challenge.text(ATTR_REALM)?;
        let nonce = challenge.need(ATTR_NONCE)?;
        let algorithms = challenge.get(ATTR_PASSWORD_ALGORITHMS);
        let (username, password) = (user.name.clone(), user.password.clone());
        let key = key(&username, &realm, &password);
        Ok(Self { username, password, realm, nonce, algorithms, key })
    }

    /// Returns the login of another user, or with another password.
    pub(super) fn as_user(&self, name: &str, password: &str) -> Self {
        let key = key(name, &self.realm, password);
        let (username, password) = (name.to_owned(), password.to_owned());
        Self { username, password, key, ..self.clone() }
    }

    /// Returns the key by the password algorithm SHA-256 (RFC 8489 §18.5.1.2).
    pub(super) fn sha256_key(&self) -> Vec<u8> {
        sha256(&format!("{}:{}:{}", self.username, self.realm, self.password))
    }

    /// Returns USERHASH (RFC 8489 §14.4).
    pub(super) fn userhash(&self) -> Vec<u8> {
        sha256(&format!("{}:{}", self.username, self.realm))
    }

    /// Returns the security features that the nonce names, as a number of 24 bits; `None` if it
    /// carries none, as those of servers that follow RFC 5389 (RFC 8489 §9.2).
    pub(super) fn features(&self) -> Option<u32> {
        let encoded = self.nonce.strip_prefix(b"obMatJos2")?.get(..4)?;
        match BASE64_STANDARD.decode(encoded).ok()?.as_slice() {
            &[a, b, c] => Some(u32::from_be_bytes([0, a, b, c])),
            _ => None,
        }
    }
}

fn key(name: &str, realm: &str, password: &str) -> MessageIntegrity {
    MessageIntegrity::new_long_term_integrity(name.into(), realm.into(), password.into())
}

fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8489, Appendix B.1.
    #[test]
    fn the_rfc_s_user_has_the_rfc_s_hash() {
        let (username, realm) = ("\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}", "example.org");
        let nonce = b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
        let login = Login {
            username: username.into(),
            password: "TheMatrIX".into(),
            realm: realm.into(),
            nonce: nonce.to_vec(),
            algorithms: None,
            key: key(username, realm, "TheMatrIX"),
        };
        let hash = b"\x4a\x3c\xf3\x8f\xef\x69\x92\xbd\xa9\x52\xc6\x78\x04\x17\xda\x0f\
                     \x24\x81\x94\x15\x56\x9e\x60\xb2\x05\xc4\x6e\x41\x40\x7f\x17\x04";
        assert_eq!(login.userhash(), hash);
        assert_eq!(login.features(), Some(2));
        for nonce in [&b"f//499k954d6OL34oL9FSTvy64sA"[..], b"obMatJos2AA", b"obMatJos2AAA!"] {
            let other = Login { nonce: nonce.to_vec(), ..login.clone() };
            assert_eq!(other.features(), None);
        }
    }
}
