//! The credentials that are over before their time.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use callbox_base::{clock::Now, faults::Selector};

use crate::auth::TurnIdentity;

/// The number of selectors that are stored. Past it the one whose credentials expire first is
/// removed.
const LIMIT: usize = 1024;

/// The selectors of credentials that are over, each with the time (seconds since 1970) by which the
/// last of those that had been made expires. Credentials that are made later expire later, so that
/// they are none of these.
#[derive(Debug, Default)]
pub(crate) struct ExpiredCredentials {
    /// True once there has been any: no request takes the lock before.
    any: AtomicBool,
    selectors: Mutex<Vec<(Selector, u64)>>,
}

impl ExpiredCredentials {
    /// Lets the credentials of `selector` be over that expire by `until`.
    pub(crate) fn add(&self, now: Now, selector: &Selector, until: u64) {
        let mut selectors = self.selectors.lock().unwrap_or_else(PoisonError::into_inner);
        selectors.retain(|(other, end)| *end >= now.unix_secs() && other != selector);
        if selectors.len() == LIMIT {
            let first = selectors.iter().enumerate().min_by_key(|(_, (_, end))| *end);
            if let Some((first, _)) = first {
                selectors.swap_remove(first);
            }
        }
        selectors.push((selector.clone(), until));
        self.any.store(true, Ordering::Release);
    }

    /// Returns true if these credentials are over. Those of static users never expire.
    pub(crate) fn contains(&self, identity: &TurnIdentity) -> bool {
        let Some(expires) = identity.expires else { return false };
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let selectors = self.selectors.lock().unwrap_or_else(PoisonError::into_inner);
        selectors.iter().any(|(selector, until)| {
            expires <= *until && selector.includes(&identity.user, identity.call)
        })
    }
}
