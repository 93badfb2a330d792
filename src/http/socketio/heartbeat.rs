//! The heartbeat of a connection: the server sends the pings in protocol 4 of Engine.IO, the client
//! in protocol 3.

use std::time::Duration;

use tokio::time::Instant;

use super::engine::Revision;
use crate::http::ws::connection::PING_INTERVAL;

/// The longest time that an answer may take.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The interval between two pings, as the first packet states it.
pub(super) const INTERVAL: Duration = PING_INTERVAL;

/// The clock of a connection.
#[derive(Debug)]
pub(super) struct Heartbeat {
    revision: Revision,
    due: Instant,
    /// True if a ping is not answered yet.
    is_ping_pending: bool,
}

/// The action to take when a heartbeat is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send a ping.
    Ping,
    /// The client is gone.
    Gone,
}

impl Heartbeat {
    /// Starts with a client that has just sent something.
    pub(super) fn new(revision: Revision, now: Instant) -> Self {
        let mut heartbeat = Self { revision, due: now, is_ping_pending: false };
        heartbeat.hear(now);
        heartbeat
    }

    /// Returns the time at which [`Heartbeat::beat`] is to be called.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Records that the client has sent something.
    pub(super) fn hear(&mut self, now: Instant) {
        self.is_ping_pending = false;
        self.due = now
            + match self.revision {
                Revision::Three => INTERVAL + PING_TIMEOUT,
                Revision::Four => INTERVAL,
            };
    }

    /// Returns the action to take, once the heartbeat is due.
    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if self.is_ping_pending || self.revision == Revision::Three {
            return Beat::Gone;
        }
        self.is_ping_pending = true;
        self.due = now + PING_TIMEOUT;
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_answer_is_gone() {
        let now = Instant::now();
        let mut heartbeat = Heartbeat::new(Revision::Four, now);
        assert_eq!(heartbeat.due(), now + INTERVAL);
        assert_eq!(heartbeat.beat(heartbeat.due()), Beat::Ping);
        heartbeat.hear(now + INTERVAL);
        assert_eq!(heartbeat.beat(heartbeat.due()), Beat::Ping);
        assert_eq!(heartbeat.due(), now + 2 * INTERVAL + PING_TIMEOUT);
        assert_eq!(heartbeat.beat(heartbeat.due()), Beat::Gone);
    }

    #[test]
    fn a_client_of_protocol_3_sends_the_pings() {
        let now = Instant::now();
        let mut heartbeat = Heartbeat::new(Revision::Three, now);
        heartbeat.hear(now + INTERVAL);
        assert_eq!(heartbeat.due(), now + 2 * INTERVAL + PING_TIMEOUT);
        assert_eq!(heartbeat.beat(heartbeat.due()), Beat::Gone);
    }
}
