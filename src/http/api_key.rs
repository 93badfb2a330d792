//! The keys of the REST API.

use callbox_base::auth::Secret;

/// The API keys that are accepted; none means that the API is closed.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<Secret>);

impl ApiKeys {
    /// Accepts exactly these keys.
    pub fn new(keys: Vec<Secret>) -> Self {
        Self(keys)
    }

    /// Returns true if no key is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if `key` is one of the keys. Every key is compared, so that the time does not
    /// reveal which one.
    pub fn verify(&self, key: &str) -> bool {
        self.0.iter().fold(false, |found, known| found | known.matches(key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_keys_is_accepted_and_nothing_else() {
        let keys = ApiKeys::new(vec![Secret::new("one"), Secret::new("two")]);
        assert!(keys.verify("one"));
        assert!(keys.verify("two"));
        assert!(!keys.verify("three"));
        assert!(!ApiKeys::default().verify(""));
    }
}
