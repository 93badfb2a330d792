//! Persistent values by key, and their changes.

use std::collections::BTreeMap;

/// A new value of a key, or the removal of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key, without a space.
    pub key: String,
    /// The value, on one line; `None` removes the key.
    pub value: Option<String>,
}

/// The latest value of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(BTreeMap<String, String>);

impl Entries {
    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        match change.value {
            Some(value) => drop(self.0.insert(change.key, value)),
            None => drop(self.0.remove(&change.key)),
        }
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns all keys and their values, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns the entries whose keys begin with `prefix`, each by the rest of its key.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let entries = self.0.range(prefix.to_owned()..);
        entries.map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// Returns all keys.
    pub fn into_keys(self) -> impl Iterator<Item = String> {
        self.0.into_keys()
    }
}

impl From<BTreeMap<String, String>> for Entries {
    fn from(entries: BTreeMap<String, String>) -> Self {
        Self(entries)
    }
}
