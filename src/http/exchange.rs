//! A request and its answer, as a unit that can be ended from outside.
//!
//! hyper waits for as long as a client takes to read an answer: over HTTP/2, a window of 0 stops
//! one for ever. So the future that serves a request is watched: it is ended when its answer makes
//! no progress, and when others need the memory that it holds. Over HTTP/2 that resets its stream;
//! HTTP/1 has one at a time, and its connection is closed.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    counters::Curb,
    memory::{Full, Memory},
};

/// The longest time in which a client may read nothing of an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

tokio::task_local! {
    static CURRENT: Arc<Exchange>;
}

/// A request and its answer. Over HTTP/1, all those of a connection, one after the other.
#[derive(Debug)]
pub(super) struct Exchange {
    number: u64,
    memory: Memory,
    state: Mutex<State>,
    /// Notified when a time for progress is set for the first time.
    watched: Notify,
    /// Cancelled when others need the memory.
    eviction: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// The address that is charged for the memory.
    payer: Option<IpAddr>,
    bytes: usize,
    /// The time by which the answer must have made progress.
    due: Option<Instant>,
}

/// The reason why an exchange was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its answer made no progress.
    Stalled,
    /// Others needed its memory.
    Memory,
}

impl From<End> for Curb {
    fn from(end: End) -> Self {
        match end {
            End::Stalled => Self::Stalled,
            End::Memory => Self::Ended,
        }
    }
}

impl Exchange {
    /// Creates an exchange that holds nothing yet.
    pub(super) fn new(memory: Memory) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (state, watched, eviction) = Default::default();
        Arc::new(Self { number, memory, state, watched, eviction })
    }

    /// Returns the exchange that is served by the calling task.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Begins a request of this address, which holds this many bytes.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(super) fn begin(&self, address: IpAddr, bytes: usize) -> Result<(), Full> {
        self.release();
        self.state().payer = Some(address);
        self.hold(bytes)
    }

    /// Holds `bytes` from now on, in place of what it held.
    ///
    /// # Errors
    /// The limit that was reached; it goes on holding what it held then.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Full> {
        let (payer, before) = {
            let state = self.state();
            (state.payer, state.bytes)
        };
        let Some(payer) = payer else { return Ok(()) };
        match (before, bytes) {
            (_, 0) => self.memory.leave(payer, self.number),
            (0, _) => self.memory.enter(payer, self.number, &self.eviction, bytes)?,
            _ => self.memory.set(payer, self.number, bytes)?,
        }
        self.state().bytes = bytes;
        Ok(())
    }

    /// Holds this many more bytes.
    ///
    /// # Errors
    /// The same as those of [`Exchange::hold`].
    pub(super) fn hold_more(&self, bytes: usize) -> Result<(), Full> {
        let before = self.state().bytes;
        self.hold(before.saturating_add(bytes))
    }

    /// Releases what it holds, and stops watching for progress.
    pub(super) fn release(&self) {
        let payer = {
            let mut state = self.state();
            state.due = None;
            (std::mem::take(&mut state.bytes) > 0).then_some(state.payer).flatten()
        };
        if let Some(payer) = payer {
            self.memory.leave(payer, self.number);
        }
    }

    /// Records progress of the answer, or its start: there is time for more.
    pub(super) fn progress(&self) {
        let due = Instant::now() + PATIENCE;
        if self.state().due.replace(due).is_none() {
            self.watched.notify_one();
        }
    }

    /// Serves it with this future, which may be ended from outside.
    ///
    /// # Errors
    /// The reason, if it was.
    pub(super) async fn serve<F: Future>(self: Arc<Self>, serving: F) -> Result<F::Output, End> {
        // The memory is released when the future is dropped, and not before.
        let _holding = Holding(self.clone());
        tokio::select! {
            biased;
            output = CURRENT.scope(self.clone(), serving) => Ok(output),
            end = self.ended() => Err(end),
        }
    }

    /// Waits until it is to be ended.
    async fn ended(&self) -> End {
        tokio::select! {
            biased;
            () = self.eviction.cancelled() => End::Memory,
            () = self.stalled() => End::Stalled,
        }
    }

    /// Waits until the answer has made no progress for too long.
    async fn stalled(&self) {
        loop {
            let due = self.state().due;
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => sleep_until(due).await,
                None => self.watched.notified().await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("counting does not panic")
    }
}

/// Releases what an exchange holds, when dropped.
struct Holding(Arc<Exchange>);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.release();
    }
}
