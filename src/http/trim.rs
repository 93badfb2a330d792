//! Gives memory back to the system once those who used it have gone.
//!
//! The C library's allocator keeps what is freed for the next one who needs it, and after a burst of
//! clients that is for ever. So when many fewer are there than there were, it is told to let go.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{app::App, counters::Front};
use crate::sys;

/// How often the clients are counted.
const INTERVAL: Duration = Duration::from_secs(5);

/// The least number of clients that must have gone.
const FEW: u64 = 16;

/// Counts the clients of an app for as long as there is one.
pub(super) async fn follow(app: Weak<App>) {
    let mut peak = Peak::default();
    while let Some(clients) = app.upgrade().as_ref().map(clients) {
        if peak.is_over(clients) {
            // It takes some milliseconds, in which nobody has to wait.
            let _ = tokio::task::spawn_blocking(sys::release_free_memory).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn clients(app: &Arc<App>) -> u64 {
    let sessions = Front::ALL.map(|front| app.counters.sessions(front).get());
    app.counters.connections.get() + sessions.iter().sum::<u64>()
}

/// The most clients since memory was given back.
#[derive(Debug, Default)]
struct Peak(u64);

impl Peak {
    /// Returns true if so many fewer are there now that it pays to give memory back.
    fn is_over(&mut self, clients: u64) -> bool {
        self.0 = self.0.max(clients);
        let is_over = self.0 - clients >= FEW.max(self.0 / 8);
        if is_over {
            self.0 = clients;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_over_when_many_have_gone() {
        let mut peak = Peak::default();
        let steps =
            [(300, false), (290, false), (264, false), (262, true), (250, false), (0, true)];
        for (clients, is_over) in steps {
            assert_eq!(peak.is_over(clients), is_over, "{clients}");
        }
        assert!(!peak.is_over(15) && !peak.is_over(0), "these are too few");
    }
}
