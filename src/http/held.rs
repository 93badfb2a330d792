//! Outputs of the hub that wait until what they rest on is kept: a client that is told of a call's step
//! finds the call there after a crash, and no end of a call is reported that the next server does not know.

use std::{
    collections::VecDeque,
    future,
    time::{Duration, Instant},
};

use callbox_base::entries::Change;
use callbox_signaling::Output;
use tokio::{sync::watch, time::timeout};

use crate::{
    reports,
    state_log::{Progress, StateLog},
};

/// The longest that outputs wait. A disk that is slower holds up nobody; a crash may lose the latest then.
const PATIENCE: Duration = Duration::from_secs(1);

/// The key of the time at which the server was last known to run, in milliseconds since 1970.
pub const ALIVE: &str = "alive";

/// Something that is to be put out.
pub(super) enum Ready {
    /// As the hub has said it.
    Output(Output),
    /// A report, as it goes to whoever reads them.
    Report(Box<reports::Prepared>),
}

/// The log, and what waits for it.
pub(super) struct Held {
    log: StateLog,
    progress: watch::Receiver<Progress>,
    /// The changes that are not handed to the log yet.
    changes: Vec<Change>,
    /// The outputs that rest on them.
    latest: Vec<Ready>,
    /// The batches that were handed over, each with what rests on it.
    waiting: VecDeque<(u64, Vec<Ready>)>,
    /// The number of the last batch.
    last: u64,
    /// Until when the first may wait.
    until: Option<Instant>,
    /// Set while the disk is too slow to be waited for.
    is_late: bool,
}

impl Held {
    pub fn new(log: StateLog) -> Self {
        let progress = log.progress();
        let (changes, latest, waiting) = Default::default();
        Self { log, progress, changes, latest, waiting, last: 0, until: None, is_late: false }
    }

    /// The log.
    pub fn log(&self) -> &StateLog {
        &self.log
    }

    /// Something is to be kept before what comes with it is put out.
    pub fn keep(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// The server runs at this time.
    pub fn keep_time(&mut self, unix_ms: u64) {
        self.keep(Change { key: ALIVE.into(), value: Some(unix_ms.to_string()) });
    }

    /// Something is to be put out.
    pub fn put(&mut self, ready: Ready) {
        self.latest.push(ready);
    }

    /// Hands what has come to the log, as one batch. `unix_ms` is the time.
    pub fn commit(&mut self, unix_ms: u64) {
        let latest = std::mem::take(&mut self.latest);
        if !self.changes.is_empty() {
            self.keep_time(unix_ms);
            self.last = self.log.put(self.changes.drain(..));
            self.waiting.push_back((self.last, latest));
        } else if let Some((_, waiting)) = self.waiting.back_mut() {
            waiting.extend(latest);
        } else if !latest.is_empty() {
            // It rests on nothing that is not kept.
            self.waiting.push_back((0, latest));
        }
    }

    /// Takes out what need not wait any more.
    pub fn next(&mut self) -> Option<Vec<Ready>> {
        let done = self.progress.borrow_and_update().batch;
        if self.is_late && done >= self.last {
            self.is_late = false;
            tracing::info!("the state directory keeps up with calls again");
        }
        let is_over = self.until.is_some_and(|until| until <= Instant::now());
        if is_over && !self.is_late && self.waiting.front().is_some_and(|(batch, _)| *batch > done)
        {
            self.is_late = true;
            tracing::warn!("the state directory is slow: a crash may lose the latest of calls");
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

    /// All that waits, whatever the log says.
    pub fn all(&mut self) -> impl Iterator<Item = Ready> + use<> {
        std::mem::take(&mut self.waiting).into_iter().flat_map(|(_, ready)| ready)
    }

    /// Waits until [`Held::next`] may have something; for ever where nothing waits.
    pub async fn changed(held: &mut Option<Self>) {
        let Some((until, progress)) =
            held.as_mut().and_then(|held| Some((held.until?, &mut held.progress)))
        else {
            return future::pending().await;
        };
        let left = until.saturating_duration_since(Instant::now());
        if let Ok(Err(_)) = timeout(left, progress.changed()).await {
            // The log has ended; what is left waits for its time.
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

    fn output(call: u64) -> Ready {
        let call = CallId::generate(call, &mut StdRng::seed_from_u64(call));
        Ready::Output(Output::CallEnded { call })
    }

    fn change() -> Change {
        Change { key: "call/1".into(), value: Some("{}".into()) }
    }

    #[tokio::test]
    async fn what_rests_on_a_change_waits_until_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
        let mut held = Held::new(log);
        held.put(output(1));
        held.commit(0);
        assert_eq!(held.next().map(|ready| ready.len()), Some(1));
        held.keep(change());
        held.put(output(2));
        held.commit(0);
        // It comes after the others, though nothing of its own is to be kept.
        held.put(output(3));
        held.commit(0);
        assert!(held.next().is_none());
        unopened.open([]).unwrap();
        let mut held = Some(held);
        Held::changed(&mut held).await;
        let held = held.as_mut().unwrap();
        assert_eq!(held.next().map(|ready| ready.len()), Some(2));
        assert!(held.next().is_none() && held.until.is_none());
    }

    /// Nothing is ever written here.
    #[tokio::test]
    async fn a_disk_that_is_too_slow_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, _unopened) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
        let mut held = Held::new(log);
        held.keep(change());
        held.put(output(1));
        held.commit(0);
        assert!(held.next().is_none());
        let begun = Instant::now();
        let mut held = Some(held);
        Held::changed(&mut held).await;
        let held = held.as_mut().unwrap();
        assert!(held.next().is_some() && begun.elapsed() >= PATIENCE);
        // The next one does not wait as long again.
        held.keep(change());
        held.put(output(2));
        held.commit(0);
        assert!(held.next().is_some());
    }
}
