//! The long-term credential of a client (RFC 8489 §9.2).

use stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME},
    integrity::MessageIntegrity,
    message::{Message, Setter},
};

/// A user name with its password, and the key that they give in the server's realm.
///
/// Many [`Session`](crate::Session)s of one user can share it, so that the key is made once: that
/// costs more than the rest of a request.
#[derive(Clone, Default)]
pub struct Login {
    username: String,
    password: String,
    realm: String,
    key: MessageIntegrity,
}

impl Login {
    /// Creates a login whose realm the server has yet to tell.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into(), ..Self::default() }
    }

    /// Returns the realm, which is empty until the server has told it.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Takes the realm of a challenge.
    pub(crate) fn enter(&mut self, realm: String) {
        if self.realm != realm {
            let (username, password) = (self.username.clone(), self.password.clone());
            self.key = MessageIntegrity::new_long_term_integrity(username, realm.clone(), password);
            self.realm = realm;
        }
    }

    /// Adds what proves who sends the message.
    pub(crate) fn sign(&self, message: &mut Message, nonce: &str) -> Result<(), stun::Error> {
        message.add(ATTR_USERNAME, self.username.as_bytes());
        message.add(ATTR_REALM, self.realm.as_bytes());
        message.add(ATTR_NONCE, nonce.as_bytes());
        self.key.add_to(message)
    }
}
