//! A bounded map whose entries expire: for what is remembered of strangers and users for some time.

use std::collections::{BTreeMap, BTreeSet};

/// Values by key, each with the time at which it expires, in any clock `T`. Past its capacity it
/// forgets the entry that expires first.
#[derive(Debug)]
pub struct ExpiringMap<K, V, T> {
    capacity: usize,
    entries: BTreeMap<K, (T, V)>,
    by_time: BTreeSet<(T, K)>,
}

impl<K: Ord + Clone, V, T: Ord + Copy> ExpiringMap<K, V, T> {
    /// Returns an empty map for at most `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets the value of a key, which expires at `until`.
    pub fn insert(&mut self, key: K, value: V, until: T) {
        if let Some((before, _)) = self.entries.insert(key.clone(), (until, value)) {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((until, key));
        if self.entries.len() > self.capacity {
            self.forget_first();
        }
    }

    /// Returns the value of a key, expired or not.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Returns the value of a key, expired or not, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Returns the time at which the value of a key expires.
    pub fn until(&self, key: &K) -> Option<T> {
        self.entries.get(key).map(|(until, _)| *until)
    }

    /// Removes a key, and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (until, value) = self.entries.remove(key)?;
        self.by_time.remove(&(until, key.clone()));
        Some(value)
    }

    /// Removes the entries that expire at `now` or before.
    pub fn remove_expired(&mut self, now: T) {
        while self.by_time.first().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    /// Returns the number of entries, expired ones that have not been removed included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.by_time.pop_first() {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_entry_that_expires_first_makes_room() {
        let mut map = ExpiringMap::new(2);
        map.insert("late", 1, 30);
        map.insert("soon", 2, 10);
        map.insert("soon", 3, 40);
        map.insert("new", 4, 20);
        assert_eq!(
            (map.get(&"late"), map.get(&"soon"), map.get(&"new")),
            (Some(&1), Some(&3), None)
        );
        map.remove_expired(30);
        assert_eq!((map.len(), map.until(&"soon")), (1, Some(40)));
        assert_eq!((map.remove(&"soon"), map.is_empty()), (Some(3), true));
    }

    proptest! {
        /// Whatever is done to it, both of its indexes have the same entries, within the capacity.
        #[test]
        fn both_indexes_agree(
            steps in proptest::collection::vec((0u8..4, 0u8..10, 0u32..50), 0..200),
        ) {
            let mut map = ExpiringMap::new(5);
            for (step, key, time) in steps {
                match step {
                    0 | 1 => map.insert(key, time, time),
                    2 => drop(map.remove(&key)),
                    _ => {
                        map.remove_expired(time);
                        prop_assert!(map.entries.values().all(|(until, _)| *until > time));
                    }
                }
                prop_assert!(map.len() <= 5);
                let entries = map.entries.iter().map(|(key, (until, _))| (*until, *key));
                prop_assert_eq!(entries.collect::<BTreeSet<_>>(), map.by_time.clone());
            }
        }
    }
}
