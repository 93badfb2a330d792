//! Gives memory back to the system once those who used it have gone.
//!
//! The C library's allocator keeps what is freed for the next one who needs it, and after a burst of
//! clients that is for ever. So when many have gone, it is told to let go.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{app::App, counters::Front};
use crate::sys;

/// How often those who have gone are counted.
const INTERVAL: Duration = Duration::from_secs(3);

/// The least number of clients that must have gone.
const MANY: u64 = 16;

/// For how many intervals it is waited until no more go.
const PATIENCE: u32 = 5;

/// Counts those who go from an app for as long as there is one.
pub(super) async fn follow(app: Weak<App>) {
    let mut leaving = Leaving::default();
    while let Some(gone) = app.upgrade().as_ref().map(gone) {
        if leaving.is_over(gone) {
            // It takes some milliseconds, in which nobody has to wait.
            let _ = tokio::task::spawn_blocking(sys::release_free_memory).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The connections and sessions that have ended.
fn gone(app: &Arc<App>) -> u64 {
    let sessions = Front::ALL.map(|front| app.counters.sessions(front).gone());
    app.counters.connections.gone() + sessions.iter().sum::<u64>()
}

/// Those who have gone since memory was given back.
#[derive(Debug, Default)]
struct Leaving {
    /// How many had gone when it was.
    before: u64,
    /// How many had gone an interval ago.
    last: u64,
    waited: u32,
}

impl Leaving {
    /// Returns true if so many have gone that it pays to give memory back, and no more go just now, or
    /// they do so for long.
    fn is_over(&mut self, gone: u64) -> bool {
        let is_quiet = gone == self.last;
        self.last = gone;
        if gone - self.before < MANY {
            return false;
        }
        self.waited += 1;
        if !is_quiet && self.waited < PATIENCE {
            return false;
        }
        *self = Self { before: gone, last: gone, waited: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_many_have_gone_and_no_more_go() {
        let mut leaving = Leaving::default();
        let steps =
            [(10, false), (10, false), (300, false), (310, false), (310, true), (310, false)];
        for (gone, is_over) in steps {
            assert_eq!(leaving.is_over(gone), is_over, "{gone}");
        }
        let over = (1..=PATIENCE).map(|n| leaving.is_over(310 + 100 * u64::from(n)));
        assert_eq!(over.collect::<Vec<_>>(), [false, false, false, false, true], "while they go");
    }
}
