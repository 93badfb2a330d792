//! The calls that are over, for as long as credentials of theirs may be about.

use std::collections::{HashMap, VecDeque};

use crate::ids::CallId;

/// How many are remembered. Past it the oldest is forgotten: its credentials then live until
/// they expire, as they would in a server that knows no calls.
const LIMIT: usize = 100_000;

/// Calls whose credentials are refused.
#[derive(Debug, Default)]
pub(super) struct EndedCalls {
    until: HashMap<CallId, u64>,
    order: VecDeque<CallId>,
}

impl EndedCalls {
    /// Refuses a call's credentials until `until`, in seconds since 1970.
    pub fn insert(&mut self, call: CallId, until: u64, now: u64) {
        while let Some(oldest) = self.order.front() {
            let over = self.until.get(oldest).is_none_or(|until| *until < now);
            if !over && self.order.len() < LIMIT {
                break;
            }
            self.until.remove(oldest);
            self.order.pop_front();
        }
        if self.until.insert(call, until).is_none() {
            self.order.push_back(call);
        }
    }

    pub fn contains(&self, call: CallId) -> bool {
        self.until.contains_key(&call)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn it_forgets_what_has_expired_and_never_grows_past_its_limit() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ended = EndedCalls::default();
        let first = CallId::generate(0, &mut rng);
        ended.insert(first, 10, 0);
        assert!(ended.contains(first));
        ended.insert(CallId::generate(0, &mut rng), 20, 11);
        assert!(!ended.contains(first));
        for _ in 0..LIMIT + 10 {
            ended.insert(CallId::generate(0, &mut rng), 100, 11);
        }
        assert_eq!(ended.len(), LIMIT);
        assert_eq!(ended.order.len(), LIMIT);
    }
}
