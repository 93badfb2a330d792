//! Outputs of the hub that wait until the changes that they depend on are stored: a client that is
//! told of a call's step finds the call there after a crash, and no end of a call is reported that
//! the next server does not know.

use std::{
    collections::VecDeque,
    future,
    time::{Duration, Instant},
};

use callbox_base::entries::Change;
use callbox_signaling::Output;
use tokio::{sync::watch, time::timeout};

use super::hub_task::Reply;
use crate::{
    reports,
    state_log::{Progress, StateLog},
};

/// The longest time that outputs wait. They do not wait longer for a slow disk; a crash may lose
/// the latest changes then.
const PATIENCE: Duration = Duration::from_secs(1);

/// The key of the time at which the server was last known to run, in milliseconds since 1970.
pub const ALIVE: &str = "alive";

/// An output that is ready to be executed.
pub(super) enum PendingOutput {
    /// An output of the hub.
    Output(Output),
    /// A report, in the form in which it is sent to its receivers.
    Report(Box<reports::Prepared>),
    /// The answer to an action, which comes after the action's outputs.
    Reply(Reply),
}

/// The log, and the outputs that wait for it.
pub(super) struct PendingOutputs {
    log: StateLog,
    progress: watch::Receiver<Progress>,
    /// The changes that are not handed to the log yet.
    changes: Vec<Change>,
    /// The outputs that depend on them.
    latest: Vec<PendingOutput>,
    /// The batches that were handed over, each with the outputs that depend on it.
    waiting: VecDeque<(u64, Vec<PendingOutput>)>,
    /// The number of the last batch.
    last: u64,
    /// The time until which the first batch may wait.
    until: Option<Instant>,
    /// True while the disk is too slow to be waited for.
    is_late: bool,
}

impl PendingOutputs {
    pub(super) fn new(log: StateLog) -> Self {
        let progress = log.progress();
        let (changes, latest, waiting) = Default::default();
        Self { log, progress, changes, latest, waiting, last: 0, until: None, is_late: false }
    }

    /// Returns the log.
    pub(super) fn log(&self) -> &StateLog {
        &self.log
    }

    /// Adds a change that must be stored before the outputs that come with it are executed.
    pub(super) fn keep(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Stores that the server runs at this time.
    pub(super) fn keep_time(&mut self, unix_ms: u64) {
        self.keep(Change { key: ALIVE.into(), value: Some(unix_ms.to_string()) });
    }

    /// Adds an output.
    pub(super) fn put(&mut self, ready: PendingOutput) {
        self.latest.push(ready);
    }

    /// Hands the changes so far to the log, as one batch. `unix_ms` is the time.
    pub(super) fn commit(&mut self, unix_ms: u64) {
        let latest = std::mem::take(&mut self.latest);
        if !self.changes.is_empty() {
            self.keep_time(unix_ms);
            self.last = self.log.put(self.changes.drain(..));
            self.waiting.push_back((self.last, latest));
        } else if let Some((_, waiting)) = self.waiting.back_mut() {
            waiting.extend(latest);
        } else if !latest.is_empty() {
            // It depends on no change that is not stored.
            self.waiting.push_back((0, latest));
        }
    }

    /// Removes and returns the outputs that need not wait any more.
    pub(super) fn next(&mut self) -> Option<Vec<PendingOutput>> {
        let done = self.progress.borrow_and_update().batch;
        if self.is_late && done >= self.last {
            self.is_late = false;
            tracing::info!("the state directory keeps up with calls again");
        }
        let is_over = self.until.is_some_and(|until| until <= Instant::now());
        if is_over && !self.is_late && self.waiting.front().is_some_and(|(batch, _)| *batch > done)
        {
            self.is_late = true;
            tracing::warn!(
                "the state directory is slow: a crash may lose the latest changes of calls"
            );
        }
        let is_late = self.is_late;
        let next = self.waiting.pop_front_if(|(batch, _)| is_late || *batch <= done);
        if self.waiting.is_empty() {
            self.until = None;
        } else if next.is_some() || self.until.is_none() {
            self.until = Some(Instant::now() + PATIENCE);
        }
        next.map(|(_, ready)| ready)
    }

    /// Removes and returns all outputs that wait, whatever the log has stored.
    pub(super) fn all(&mut self) -> impl Iterator<Item = PendingOutput> + use<> {
        std::mem::take(&mut self.waiting).into_iter().flat_map(|(_, ready)| ready)
    }

    /// Waits until [`PendingOutputs::next`] may return something; for ever if nothing waits.
    pub(super) async fn changed(pending: &mut Option<Self>) {
        let Some((until, progress)) =
            pending.as_mut().and_then(|pending| Some((pending.until?, &mut pending.progress)))
        else {
            return future::pending().await;
        };
        let left = until.saturating_duration_since(Instant::now());
        if let Ok(Err(_)) = timeout(left, progress.changed()).await {
            // The log has ended; the rest waits until its time is over.
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use callbox_base::{entries::Change, ids::CallId};
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::state_log::Sync;

    fn output(call: u64) -> PendingOutput {
        let call = CallId::generate(call, &mut StdRng::seed_from_u64(call));
        PendingOutput::Output(Output::CallEnded { call })
    }

    fn change() -> Change {
        Change { key: "call/1".into(), value: Some("{}".into()) }
    }

    #[tokio::test]
    async fn an_output_waits_until_the_change_it_depends_on_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
        let mut pending = PendingOutputs::new(log);
        pending.put(output(1));
        pending.commit(0);
        assert_eq!(pending.next().map(|ready| ready.len()), Some(1));
        pending.keep(change());
        pending.put(output(2));
        pending.commit(0);
        // It comes after the others, though it depends on no change of its own.
        pending.put(output(3));
        pending.commit(0);
        assert!(pending.next().is_none());
        unopened.open([]).unwrap();
        let mut pending = Some(pending);
        PendingOutputs::changed(&mut pending).await;
        let pending = pending.as_mut().unwrap();
        assert_eq!(pending.next().map(|ready| ready.len()), Some(2));
        assert!(pending.next().is_none() && pending.until.is_none());
    }

    /// Nothing is ever written in this test.
    #[tokio::test]
    async fn outputs_do_not_wait_for_a_slow_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, _unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
        let mut pending = PendingOutputs::new(log);
        pending.keep(change());
        pending.put(output(1));
        pending.commit(0);
        assert!(pending.next().is_none());
        let begun = Instant::now();
        let mut pending = Some(pending);
        PendingOutputs::changed(&mut pending).await;
        let pending = pending.as_mut().unwrap();
        assert!(pending.next().is_some() && begun.elapsed() >= PATIENCE);
        // The next one does not wait as long again.
        pending.keep(change());
        pending.put(output(2));
        pending.commit(0);
        assert!(pending.next().is_some());
    }
}
