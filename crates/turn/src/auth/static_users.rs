//! TURN users with a password that does not expire, found by name and by USERHASH.

use std::{collections::HashMap, sync::Arc};

use callbox_base::auth::Secret;
use callbox_stun::userhash;

use super::long_term_key::UserKeys;

/// The static users of a server. Both look-ups take one or two steps, however many users there are.
#[derive(Debug)]
pub(super) struct StaticUsers {
    keys: HashMap<Arc<str>, UserKeys>,
    /// The names behind the hashes. A hash is no secret: it is made of a name and the realm.
    names: HashMap<[u8; 32], Arc<str>>,
}

impl StaticUsers {
    /// Derives every key and hash of these users: name and password.
    pub(super) fn new(realm: &str, users: Vec<(String, Secret)>) -> Self {
        let mut all = Self { keys: HashMap::new(), names: HashMap::new() };
        for (name, password) in users {
            let name: Arc<str> = name.into();
            let password = String::from_utf8_lossy(password.expose());
            all.keys.insert(name.clone(), UserKeys::derive(&name, realm, &password));
            all.names.insert(userhash(&name, realm), name);
        }
        all
    }

    /// Returns true if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the user of this name.
    pub(super) fn find(&self, name: &str) -> Option<(&Arc<str>, &UserKeys)> {
        self.keys.get_key_value(name)
    }

    /// Returns the name behind a USERHASH.
    pub(super) fn name_of(&self, userhash: &[u8; 32]) -> Option<&str> {
        self.names.get(userhash).map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_hash() {
        let users = ["alice", "bob"].map(|name| (name.to_owned(), Secret::new("pass")));
        let users = StaticUsers::new("here", users.to_vec());
        for name in ["alice", "bob"] {
            assert_eq!(&**users.find(name).unwrap().0, name);
            assert_eq!(users.name_of(&userhash(name, "here")), Some(name));
            assert_eq!(users.name_of(&userhash(name, "there")), None);
        }
        assert!(users.find("carol").is_none());
        assert_eq!(users.name_of(&userhash("carol", "here")), None);
    }
}
