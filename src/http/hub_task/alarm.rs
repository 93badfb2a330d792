//! The timer of the hub's task.

use std::{
    future,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::time::Sleep;

/// The timer of the task. It is set again only for a time earlier than the one it is set for: the
/// hub's next timer changes with nearly every input, and setting an earlier one wakes the runtime's
/// thread that waits for sockets. For a later one it fires once too often, which does no harm.
pub(super) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// Creates a timer that is set for now.
    pub(super) fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }

    /// Waits until `due`, or less; for ever without a time.
    pub(super) async fn rings(&mut self, due: Option<Instant>) {
        let Some(due) = due else { return future::pending().await };
        let due = due.into();
        if self.0.is_elapsed() || self.0.deadline() > due {
            self.0.as_mut().reset(due);
        }
        self.0.as_mut().await;
    }
}
