//! The use that a stream has been of, and the timeouts by which it is closed when it is of none.

use std::time::{Duration, Instant};

use callbox_turn::StreamEnd;

/// The longest time that a stream without an allocation may send no whole message.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest time that a stream may be of no use to any allocation, whatever it sends: Binding
/// requests cost a client nothing, while a slot among the connections costs the server a file. It
/// may be closed when resources are short (RFC 8489 §6.2.2), and is closed before, so that they do
/// not get short.
const UNUSED: Duration = Duration::from_secs(60);

/// The times at which a stream was last of use.
pub(super) struct Activity {
    /// The time of the last whole message; of a spliced stream, of the last data in either
    /// direction.
    heard: Instant,
    /// The time when it was last of use to an allocation; at first, the time when it was accepted.
    used: Instant,
    /// The time of the next check.
    due: Instant,
    /// True if something has been written to it, or to the connection it is spliced with, since the
    /// last check.
    has_progress: bool,
}

impl Activity {
    pub(crate) fn new(now: Instant, used: Instant) -> Self {
        Self { heard: now, used, due: now + PATIENCE, has_progress: false }
    }

    /// Returns the time when it was last of use to an allocation.
    pub(crate) fn used(&self) -> Instant {
        self.used
    }

    /// Returns the time of the next check.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Notes that a whole message has come, or data of a spliced stream.
    pub(crate) fn note_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Notes that something has been written.
    pub(crate) fn note_progress(&mut self) {
        self.has_progress = true;
    }

    /// Checks the timeouts, and returns the time of the next check; `in_use` is true if the stream
    /// serves an allocation or a connection, `may_end` if it is closed when it is silent.
    ///
    /// # Errors
    /// The reason why the stream is to be closed.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        in_use: bool,
        may_end: bool,
    ) -> Result<Instant, StreamEnd> {
        if std::mem::take(&mut self.has_progress) {
            self.heard = now;
        }
        let silent = now.saturating_duration_since(self.heard) >= PATIENCE;
        if in_use {
            self.used = now;
        } else if now.saturating_duration_since(self.used) >= UNUSED {
            return Err(StreamEnd::Unused);
        }
        if silent && may_end {
            return Err(StreamEnd::Silent);
        }
        let since = if silent { now } else { self.heard };
        self.due = (since + PATIENCE).min(self.used + UNUSED);
        Ok(self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_silent_or_of_no_use_is_closed() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut silent = Activity::new(start, start);
        assert_eq!(silent.due(), start + 30 * second);
        assert_eq!(silent.check(start + 30 * second, false, true), Err(StreamEnd::Silent));
        let mut unused = Activity::new(start, start);
        unused.note_heard(start + 29 * second);
        assert_eq!(unused.check(start + 30 * second, false, true), Ok(start + 59 * second));
        unused.note_heard(start + 59 * second);
        assert_eq!(unused.check(start + 59 * second, false, true), Ok(start + 60 * second));
        assert_eq!(unused.check(start + 60 * second, false, true), Err(StreamEnd::Unused));
    }

    #[test]
    fn a_stream_in_use_may_be_silent_and_what_is_written_is_no_silence() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut activity = Activity::new(start, start);
        assert_eq!(activity.check(start + 30 * second, true, false), Ok(start + 60 * second));
        activity.note_progress();
        assert_eq!(activity.check(start + 60 * second, true, true), Ok(start + 90 * second));
        assert_eq!(activity.check(start + 90 * second, true, true), Err(StreamEnd::Silent));
    }
}
