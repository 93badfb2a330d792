//! The thread that writes call records, and tries again while the target refuses them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use callbox_base::ids::CallId;
use callbox_signaling::CallRecord;

use super::{file::RecordsFile, output::Output};
use crate::{
    reports::kept,
    state_log::{StateLog, Sync},
};

/// The number of bytes that are gathered for one write, if many records wait.
const BATCH: usize = 64 * 1024;

/// The pause after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The counters of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// The number of written records.
    pub written: u64,
    /// The number of dropped records, since too many waited.
    pub dropped: u64,
}

/// A message to the writing thread.
pub(super) enum Message {
    /// A record to write.
    Record(Box<CallRecord>),
    /// Checks the shared flags.
    Look,
}

/// The flags for the writing thread, and its counters.
#[derive(Default)]
pub(super) struct Shared {
    reopen: AtomicBool,
    closing: AtomicBool,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Shared {
    /// Makes the thread reopen the file with the next message.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Relaxed);
    }

    /// Makes the thread end after the next failure to write.
    pub(super) fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Counts records that are dropped.
    pub(super) fn add_dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Relaxed);
    }

    /// Returns the counters.
    pub(super) fn counts(&self) -> RecordCounts {
        let Self { written, dropped, .. } = self;
        RecordCounts { written: written.load(Relaxed), dropped: dropped.load(Relaxed) }
    }
}

/// The writing side: the records that wait, and their target.
pub(super) struct Writer {
    path: Option<PathBuf>,
    shared: Arc<Shared>,
    log: Option<StateLog>,
    /// The lines that are not written yet, and their calls.
    lines: Vec<u8>,
    calls: Vec<CallId>,
    failing: bool,
    sync: Sync,
}

impl Writer {
    /// Creates a writer for which nothing waits. Its target is opened again from `path`.
    pub(super) fn new(path: Option<PathBuf>, log: Option<StateLog>, sync: Sync) -> Self {
        let (shared, lines, calls) = Default::default();
        Self { path, shared, log, lines, calls, failing: false, sync }
    }

    /// Returns the flags and counters.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Returns the log in which records are stored until they are written.
    pub(super) fn log(&self) -> Option<StateLog> {
        self.log.clone()
    }

    /// Starts with the records that the previous process has not written.
    pub(super) fn restore(&mut self, missing: Vec<(CallId, String)>, to: &dyn Output) {
        let mut changes: Vec<_> = to.position().iter().map(kept::position).collect();
        for (call, line) in missing {
            changes.push(kept::record(call, Some(&line)));
            self.lines.extend(line.bytes().chain([b'\n']));
            self.calls.push(call);
        }
        if let Some(log) = &self.log {
            log.put(changes);
        }
    }

    /// Writes the records that come, until there are no more senders and nothing waits.
    pub(super) fn run(mut self, mut to: Box<dyn Output>, messages: &Receiver<Message>) {
        loop {
            if self.calls.is_empty() {
                let Ok(message) = messages.recv() else { return };
                self.take(message);
            }
            while self.lines.len() < BATCH
                && let Ok(message) = messages.try_recv()
            {
                self.take(message);
            }
            if self.shared.reopen.swap(false, Relaxed) {
                self.reopen(&mut to);
            }
            if !self.write(&mut *to) && !self.wait(messages) {
                // There is no time left. Stored records are written by the next server.
                if self.log.is_none() {
                    self.shared.add_dropped(self.calls.len());
                }
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        let Message::Record(record) = message else { return };
        if serde_json::to_writer(&mut self.lines, &record).is_ok() {
            self.lines.push(b'\n');
            self.calls.push(record.id);
        }
    }

    /// Writes the waiting lines; returns true if that succeeded.
    fn write(&mut self, to: &mut dyn Output) -> bool {
        if self.calls.is_empty() {
            return true;
        }
        let result = to.write_lines(&self.lines);
        match &result {
            Ok(()) => {
                self.shared.written.fetch_add(self.calls.len() as u64, Relaxed);
                if let Some(log) = &self.log {
                    let written = self.calls.iter().map(|call| kept::record(*call, None));
                    log.put(written.chain(to.position().iter().map(kept::position)));
                }
                if self.failing {
                    tracing::info!("call records are written again");
                }
                self.lines.clear();
                self.lines.shrink_to(BATCH);
                self.calls.clear();
            }
            Err(error) if !self.failing => {
                tracing::error!(%error, "call records cannot be written; they wait");
            }
            Err(_) => {}
        }
        self.failing = result.is_err();
        !self.failing
    }

    /// Waits before the next try. Returns true if there is time for one.
    fn wait(&mut self, messages: &Receiver<Message>) -> bool {
        let until = Instant::now() + RETRY;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.reopen.load(Relaxed) {
                return true;
            }
            if self.lines.len() >= BATCH {
                // The others wait in the queue, which is bounded.
                std::thread::sleep(left.min(Duration::from_millis(50)));
                if self.shared.closing.load(Relaxed) {
                    return false;
                }
                continue;
            }
            match messages.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn reopen(&mut self, to: &mut Box<dyn Output>) {
        let Some(path) = &self.path else { return };
        match RecordsFile::open(path, self.sync) {
            Ok(file) => {
                if let (Some(log), Some(position)) = (&self.log, file.position()) {
                    log.put([kept::position(&position)]);
                }
                *to = Box::new(file);
                tracing::info!("the file of call records was opened again");
            }
            Err(error) => tracing::error!(%error, "call records still go to the old file"),
        }
    }
}
