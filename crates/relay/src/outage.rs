//! The time for which a test wants the relay to be gone.

use std::time::{Duration, Instant};

/// The time after which a source that is not read during an outage is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An outage of a worker: while it lasts, nothing is read but to be discarded, and nothing is sent.
#[derive(Debug, Default)]
pub(super) struct Outage {
    until: Option<Instant>,
}

impl Outage {
    /// Begins an outage that lasts until this time.
    pub(crate) fn begin(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Ends the outage, if there is one.
    pub(crate) fn end(&mut self) {
        self.until = None;
    }

    /// Returns true while the outage lasts.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}
