//! Whose credentials are refused though their time is not over: those of calls that are, and of users
//! who are in a call no more, for as long as any of them may be about.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// How many are remembered. Past it the oldest is forgotten: its credentials then live until
/// they expire, as they would in a server that knows no calls.
const LIMIT: usize = 100_000;

/// What names the refused credentials, each until when.
#[derive(Debug)]
pub(super) struct Revocations<K> {
    until: HashMap<K, u64>,
    /// Each refusal in turn, those that are taken back or renewed included: since all last equally
    /// long, the first one is over first.
    order: VecDeque<(K, u64)>,
}

impl<K> Default for Revocations<K> {
    fn default() -> Self {
        Self { until: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash> Revocations<K> {
    /// Refuses until `until`, in seconds since 1970.
    pub fn insert(&mut self, key: K, until: u64, now: u64) {
        while let Some((_, first)) = self.order.front() {
            if *first >= now && self.order.len() < LIMIT {
                break;
            }
            // It may have been renewed since; then it is not over with its first place.
            if let Some((oldest, until)) = self.order.pop_front()
                && self.until.get(&oldest) == Some(&until)
            {
                self.until.remove(&oldest);
            }
        }
        self.until.insert(key.clone(), until);
        self.order.push_back((key, until));
    }

    /// Refuses no longer. Its place in the order goes when its turn comes.
    pub fn remove(&mut self, key: &K) {
        self.until.remove(key);
    }

    pub fn contains(&self, key: &K) -> bool {
        self.until.contains_key(key)
    }

    /// Until when it is refused, in seconds since 1970; the time may be over.
    pub fn until(&self, key: &K) -> Option<u64> {
        self.until.get(key).copied()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use callbox_base::ids::CallId;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn it_forgets_what_has_expired_and_never_grows_past_its_limit() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ended = Revocations::default();
        let first = CallId::generate(0, &mut rng);
        ended.insert(first, 10, 0);
        assert!(ended.contains(&first));
        ended.insert(CallId::generate(0, &mut rng), 20, 11);
        assert!(!ended.contains(&first));
        for _ in 0..LIMIT + 10 {
            ended.insert(CallId::generate(0, &mut rng), 100, 11);
        }
        assert_eq!(ended.len(), LIMIT);
        assert_eq!(ended.order.len(), LIMIT);
    }

    #[test]
    fn one_that_comes_and_goes_keeps_no_others() {
        let mut out = Revocations::default();
        for n in 0..1000 {
            out.insert("alice", n + 100, n);
            out.insert("bob", n + 100, n);
            out.remove(&"alice");
        }
        out.insert("carol", 1099, 999);
        // Those of the latest hundred seconds, and of no time before.
        assert!(out.order.len() <= 210, "{} places", out.order.len());
        assert!(out.contains(&"bob"));
    }

    #[test]
    fn an_older_place_ends_no_newer_refusal() {
        let mut out = Revocations::default();
        let (first, again) = (LIMIT, 0);
        out.insert(first, 100, 0);
        out.insert(again, 100, 0);
        out.remove(&again);
        for n in 1..LIMIT - 2 {
            out.insert(n, 100, 0);
        }
        out.insert(again, 101, 1);
        // All places are taken: two more take those of the first, and the older one of the other.
        for n in [LIMIT + 1, LIMIT + 2] {
            out.insert(n, 101, 1);
        }
        assert!(!out.contains(&first));
        assert!(out.contains(&again));
    }

    #[test]
    fn what_is_taken_back_and_refused_again_does_not_grow_it() {
        let mut out = Revocations::default();
        for n in 0..LIMIT as u64 + 10 {
            out.insert("alice", 100 + n, n);
            assert!(out.contains(&"alice"));
            out.remove(&"alice");
            assert!(!out.contains(&"alice"));
        }
        assert!(out.order.len() <= LIMIT && out.len() == 0);
    }
}
