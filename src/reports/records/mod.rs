//! Call records: a line of JSON for each ended call, written by a separate thread.
//!
//! While the file cannot be written, records wait, up to a limit. If calls are stored, so is each
//! record until it is in the file, and a server that starts after a crash writes those that are
//! not.

use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use callbox_base::{entries::Change, ids::CallId};
use callbox_signaling::{CallEvent, CallRecord, CallReport};
use tokio::sync::watch;

use super::{
    StartError, kept,
    records_file::{self, RecordsFile},
};
use crate::state_log::{Found, StateLog, Sync};

/// The number of records that wait for the thread. Further ones are dropped: a slow disk must not
/// make the server's memory grow.
const QUEUE: usize = 16 * 1024;

/// The number of bytes that are gathered for one write, if many records wait.
const BATCH: usize = 64 * 1024;

/// The pause after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The target of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

/// The counters of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// The number of written records.
    pub written: u64,
    /// The number of dropped records, since too many waited.
    pub dropped: u64,
}

/// The handle of the writing thread.
pub(super) struct Records {
    /// The sender of messages; `None` once no reopening needs to be reported.
    messages: Mutex<Option<SyncSender<Message>>>,
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
}

/// The sending end for records.
pub(super) struct RecordsInbox {
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
    log: Option<StateLog>,
}

enum Message {
    Record(Box<CallRecord>),
    /// Check the shared flags.
    Look,
}

#[derive(Default)]
struct Shared {
    reopen: AtomicBool,
    closing: AtomicBool,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

impl fmt::Debug for RecordsInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordsInbox")
    }
}

impl RecordsInbox {
    /// Stores the record of an ended call until it is written.
    pub fn prepare(&self, report: &CallReport, changes: &mut Vec<Change>) {
        if report.event == CallEvent::Ended && self.log.is_some() {
            let line = serde_json::to_string(&report.call).ok();
            changes.push(kept::record(report.call.id, line.as_deref()));
        }
    }

    /// Sends the record of an ended call to the thread. Never blocks.
    pub fn put(&self, report: CallReport) {
        if report.event != CallEvent::Ended {
            return;
        }
        let id = report.call.id;
        if self.messages.try_send(Message::Record(Box::new(report.call))).is_err() {
            self.shared.dropped.fetch_add(1, Relaxed);
            if let Some(log) = &self.log {
                log.put([kept::record(id, None)]);
            }
        }
    }
}

impl Records {
    /// Opens the file and starts the thread. With a log, records that the previous process has not
    /// written come first.
    ///
    /// # Errors
    /// [`StartError`] if the file cannot be written.
    pub fn start(
        target: Target,
        sync: Sync,
        log: Option<(&StateLog, &Found)>,
    ) -> Result<(Self, RecordsInbox), StartError> {
        let path = match target {
            Target::Stdout => None,
            Target::File(path) => Some(path),
        };
        let failed =
            |source| StartError::Records { path: path.clone().unwrap_or("-".into()), source };
        let to: Box<dyn Output> = match &path {
            Some(path) => Box::new(RecordsFile::open(path, sync).map_err(failed)?),
            None => Box::new(io::stdout()),
        };
        let mut writer = Writer::new(path.clone(), log.map(|(log, _)| log.clone()), sync);
        if let Some((_, found)) = log {
            let missing = records_file::missing(path.as_deref(), found).map_err(failed)?;
            writer.restore(missing, &*to);
        }
        Self::spawn(to, writer, QUEUE).map_err(failed)
    }

    fn spawn(
        to: Box<dyn Output>,
        writer: Writer,
        queue: usize,
    ) -> io::Result<(Self, RecordsInbox)> {
        let (sender, messages) = sync_channel(queue);
        let shared = writer.shared.clone();
        let (ending, ended) = watch::channel(());
        let log = writer.log.clone();
        std::thread::Builder::new().name("call-records".into()).spawn(move || {
            writer.run(to, &messages);
            drop(ending);
        })?;
        let inbox = RecordsInbox { messages: sender.clone(), shared: shared.clone(), log };
        Ok((Self { messages: Mutex::new(Some(sender)), shared, ended }, inbox))
    }

    /// Reopens the file: the old one may have been moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(messages) = &*messages {
            // If there is no room, the thread is busy, and checks the flag with the next record.
            let _ = messages.try_send(Message::Look);
        }
    }

    /// Returns the counters.
    pub fn counts(&self) -> RecordCounts {
        let Shared { written, dropped, .. } = &*self.shared;
        RecordCounts { written: written.load(Relaxed), dropped: dropped.load(Relaxed) }
    }

    /// Completes when all records of the inbox are written, which must be dropped.
    pub async fn finish(&self) {
        self.shared.closing.store(true, Relaxed);
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread reports nothing; it ends.
        let _ = self.ended.clone().changed().await;
    }
}

/// The target of lines.
pub(super) trait Output: Send {
    /// Writes whole lines: all of them, or none if that is possible.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Returns the position up to which all is accounted for, if the target has one.
    fn position(&self) -> Option<kept::Position>;
}

impl Output for io::Stdout {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_all(lines).and_then(|()| self.flush())
    }

    fn position(&self) -> Option<kept::Position> {
        None
    }
}

struct Writer {
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
    fn new(path: Option<PathBuf>, log: Option<StateLog>, sync: Sync) -> Self {
        let (shared, lines, calls) = Default::default();
        Self { path, shared, log, lines, calls, failing: false, sync }
    }

    /// Starts with the records that the previous process has not written.
    fn restore(&mut self, missing: Vec<(CallId, String)>, to: &dyn Output) {
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

    fn run(mut self, mut to: Box<dyn Output>, messages: &Receiver<Message>) {
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
                    self.shared.dropped.fetch_add(self.calls.len() as u64, Relaxed);
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

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Sender, channel},
        time::Duration,
    };

    use super::*;
    use crate::reports::testing::{ended, report};

    /// A disk whose writes succeed or fail as the test decides.
    struct Disk {
        written: Sender<String>,
        goes: Receiver<io::Result<()>>,
    }

    impl Output for Disk {
        fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
            self.written.send(String::from_utf8(lines.to_vec()).unwrap()).unwrap();
            self.goes.recv().unwrap()
        }

        fn position(&self) -> Option<kept::Position> {
            None
        }
    }

    /// The writes to a disk, before their results are known.
    struct Writes(Receiver<String>, Sender<io::Result<()>>);

    impl Writes {
        fn next(&self) -> String {
            self.0.recv_timeout(Duration::from_secs(20)).unwrap()
        }

        fn goes(&self, how: io::Result<()>) {
            self.1.send(how).unwrap();
        }
    }

    fn start(queue: usize) -> (Records, RecordsInbox, Writes) {
        start_with(queue, None)
    }

    fn start_with(queue: usize, log: Option<StateLog>) -> (Records, RecordsInbox, Writes) {
        let (written, writes) = channel();
        let (go, goes) = channel();
        let writer = Writer::new(None, log, Sync::Never);
        let disk = Box::new(Disk { written, goes });
        let (records, inbox) = Records::spawn(disk, writer, queue).unwrap();
        (records, inbox, Writes(writes, go))
    }

    #[tokio::test]
    async fn only_the_end_of_a_call_is_written() {
        let (records, inbox, writes) = start(10);
        inbox.put(report(1, CallEvent::Accepted));
        inbox.put(ended(2));
        assert_eq!(writes.next(), serde_json::to_string(&ended(2).call).unwrap() + "\n");
        writes.goes(Ok(()));
        drop(inbox);
        records.finish().await;
        assert_eq!(records.counts(), RecordCounts { written: 1, dropped: 0 });
    }

    /// The sender of records is not blocked: otherwise this test would be.
    #[tokio::test]
    async fn a_slow_disk_loses_records_and_blocks_nothing() {
        let (records, inbox, writes) = start(10);
        inbox.put(ended(0));
        writes.next();
        (1..=1000).for_each(|number| inbox.put(ended(number)));
        assert_eq!(records.counts(), RecordCounts { written: 0, dropped: 990 });
        drop(inbox);
        writes.goes(Ok(()));
        assert_eq!(writes.next().lines().count(), 10);
        writes.goes(Ok(()));
        records.finish().await;
        assert_eq!(records.counts(), RecordCounts { written: 11, dropped: 990 });
    }

    #[tokio::test]
    async fn records_that_a_full_disk_refuses_are_written_once_there_is_room() {
        let (records, inbox, writes) = start(10);
        inbox.put(ended(1));
        let first = writes.next();
        inbox.put(ended(2));
        writes.goes(Err(io::ErrorKind::StorageFull.into()));
        let text = writes.next();
        assert!(text.starts_with(&first) && text.lines().count() == 2, "{text:?}");
        writes.goes(Ok(()));
        drop(inbox);
        records.finish().await;
        assert_eq!(records.counts(), RecordCounts { written: 2, dropped: 0 });
    }
    /// Stops while the disk refuses writes.
    async fn stop_with_a_full_disk(log: Option<StateLog>) -> RecordCounts {
        let (records, inbox, writes) = start_with(10, log);
        inbox.put(ended(1));
        writes.next();
        drop(inbox);
        tokio::join!(records.finish(), async {
            writes.goes(Err(io::ErrorKind::StorageFull.into()));
        });
        records.counts()
    }

    #[tokio::test]
    async fn a_record_that_a_stop_leaves_unwritten_is_lost_only_if_it_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let (log, ..) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
        let counts = stop_with_a_full_disk(Some(log)).await;
        assert_eq!(counts, RecordCounts { written: 0, dropped: 0 });
        let counts = stop_with_a_full_disk(None).await;
        assert_eq!(counts, RecordCounts { written: 0, dropped: 1 });
    }
}
