//! A persistent log of values by key, which are changed in batches, each applied as a whole or not
//! at all.
//!
//! The caller hands a change over and goes on; a thread writes all changes that have come
//! meanwhile, and reports its progress. A batch that was passed to the operating system survives a
//! kill; one that is on the disk ([`Sync::Always`]) survives the loss of power as well. While the
//! disk refuses writes, the latest value of each key waits in memory and nobody is blocked.
//!
//! | file | contents |
//! |---|---|
//! | `line` | one entry as text, with its checksum |
//! | `files` | the writing of batches, and the compaction |
//! | `read` | the reading of the state that the previous process has left |

mod files;
mod line;
mod read;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use callbox_base::entries::Change;
use tokio::sync::watch;

use self::files::{Changes, Files};
pub use self::read::Found;
use crate::state_dir::StateDir;

/// The pause after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The time when written data is synced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// Synced when the operating system decides: data survives a crash, but not a loss of power.
    #[default]
    Never,
    /// Synced before it counts as written.
    Always,
}

/// The progress of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of the last batch that has been handled.
    pub batch: u64,
    /// True if everything up to it is written; otherwise it waits in memory.
    pub written: bool,
}

/// The handle of the log.
#[derive(Debug, Clone)]
pub struct StateLog {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug)]
struct Shared {
    inbox: Mutex<Inbox>,
    /// Notified of every change of the inbox.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    changes: Changes,
    batch: u64,
    /// The batch up to which everything must be synced, whatever [`Sync`] says.
    sync_up_to: u64,
    order: Order,
}

/// The orders to the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Write,
    /// Write everything, and end.
    Close,
    /// Remove every file, and end.
    Discard,
}

/// A log that is read, and not yet written to.
pub struct Unopened {
    files: Files,
    lock: File,
    ending: watch::Sender<Progress>,
    log: StateLog,
}

impl std::fmt::Debug for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unopened")
    }
}

impl StateLog {
    /// Reads the log of a directory. Changes may be handed over from now on; they are written once
    /// the log is [opened](Unopened::open), and until then the files that were read are not
    /// changed.
    ///
    /// # Errors
    /// The system's error if the directory cannot be written to, or belongs to another process.
    pub fn read(path: PathBuf, sync: Sync) -> io::Result<(Self, Found, Unopened)> {
        let directory = StateDir::open(path.clone())?;
        let lock = directory.lock()?;
        let mut found = read::read(&path)?;
        let files = Files::new(path, sync, std::mem::take(&mut found.files), found.next);
        let shared =
            Arc::new(Shared { inbox: Mutex::new(Inbox::default()), changed: Condvar::new() });
        let (ending, progress) = watch::channel(Progress { batch: 0, written: true });
        let log = Self { shared, progress };
        Ok((log.clone(), found, Unopened { files, lock, ending, log }))
    }

    /// Hands changes over as one batch; returns its number. Never waits for the disk.
    pub fn put(&self, changes: impl IntoIterator<Item = Change>) -> u64 {
        let mut inbox = self.shared.inbox();
        for Change { key, value } in changes {
            inbox.changes.insert(key, value);
        }
        inbox.batch += 1;
        let batch = inbox.batch;
        drop(inbox);
        self.shared.changed.notify_one();
        batch
    }

    /// Returns the progress, whose changes can be awaited.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Waits until everything that was handed over is synced; returns true if it is.
    pub async fn flush(&self) -> bool {
        let batch = {
            let mut inbox = self.shared.inbox();
            inbox.batch += 1;
            inbox.sync_up_to = inbox.batch;
            inbox.batch
        };
        self.shared.changed.notify_one();
        let mut progress = self.progress();
        let done = progress.wait_for(|progress| progress.batch >= batch).await;
        done.is_ok_and(|progress| progress.written)
    }

    /// Removes every file, since their contents are out of date and cannot be corrected.
    pub async fn discard(&self) {
        self.end(Order::Discard).await;
    }

    /// Writes everything that was handed over, and ends.
    pub async fn close(&self) {
        self.end(Order::Close).await;
    }

    async fn end(&self, order: Order) {
        {
            let mut inbox = self.shared.inbox();
            if inbox.order == Order::Write {
                inbox.order = order;
            }
        }
        self.shared.changed.notify_one();
        // The thread drops its end of the channel when it is done.
        let mut progress = self.progress();
        while progress.changed().await.is_ok() {}
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // A map of texts is consistent after any panic.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unopened {
    /// Starts to write. Everything that was read must have been handed over again as far as it
    /// still holds: with the first batch, each of the keys that were `found` and not handed over is
    /// removed.
    ///
    /// # Errors
    /// The system's error if no thread can be started.
    pub fn open(self, found: impl IntoIterator<Item = String>) -> io::Result<()> {
        let Self { files, lock, ending, log } = self;
        {
            let mut inbox = log.shared.inbox();
            for key in found {
                inbox.changes.entry(key).or_insert(None);
            }
            inbox.batch += 1;
        }
        let writer = Writer {
            shared: log.shared,
            progress: ending,
            files,
            waiting: Changes::new(),
            failed_at: None,
            _lock: lock,
        };
        thread::Builder::new().name("state-log".into()).spawn(|| writer.run())?;
        Ok(())
    }
}

struct Writer {
    shared: Arc<Shared>,
    progress: watch::Sender<Progress>,
    files: Files,
    /// The changes that are not written yet.
    waiting: Changes,
    /// The time of the last failed write, if none has succeeded since.
    failed_at: Option<Instant>,
    /// The lock on the directory.
    _lock: File,
}

impl Writer {
    fn run(mut self) {
        let mut done = 0;
        loop {
            let (batch, sync, order) = self.take(done);
            if order == Order::Discard {
                return self.files.discard();
            }
            let is_pressing = sync || order == Order::Close;
            if is_pressing || self.failed_at.is_none_or(|at| at.elapsed() >= RETRY) {
                let result = self.files.commit(&self.waiting);
                self.note(&if sync { result.and_then(|()| self.files.sync()) } else { result });
            }
            done = batch;
            self.progress.send_replace(Progress { batch, written: self.failed_at.is_none() });
            if order == Order::Close {
                return;
            }
            if self.failed_at.is_none()
                && let Err(error) = self.files.tidy()
            {
                tracing::debug!(%error, "the log of calls cannot be tidied up");
            }
        }
    }

    /// Waits for something to do, and takes it.
    fn take(&mut self, done: u64) -> (u64, bool, Order) {
        let mut inbox = self.shared.inbox();
        while inbox.batch == done && inbox.order == Order::Write {
            let changed = &self.shared.changed;
            let Some(at) = self.failed_at else {
                inbox = changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = RETRY.saturating_sub(at.elapsed());
            if left.is_zero() {
                break;
            }
            let waited = changed.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let newer = std::mem::take(&mut inbox.changes);
        let sync = inbox.sync_up_to > done;
        let (batch, order) = (inbox.batch, inbox.order);
        drop(inbox);
        if self.waiting.is_empty() {
            self.waiting = newer;
        } else {
            self.waiting.extend(newer);
        }
        (batch, sync, order)
    }

    /// Records the result of a write, and logs when it changes.
    fn note(&mut self, result: &io::Result<()>) {
        match result {
            Ok(()) => {
                self.waiting.clear();
                if self.failed_at.take().is_some() {
                    tracing::info!("calls are kept in the state directory again");
                }
            }
            Err(error) => {
                if self.failed_at.is_none() {
                    tracing::error!(%error, "calls cannot be kept in the state directory: a crash now loses what changes");
                }
                self.failed_at = Some(Instant::now());
            }
        }
    }
}
