//! Call records: a line of JSON for each call that is over, written by a thread of its own.
//!
//! While the file takes nothing, records wait, up to a limit. Where calls are kept, so is each record until
//! it is in the file, and a server that comes after a crash writes those that are not.

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

/// Records that wait to be taken by the thread. Past it they are dropped: a disk that does not keep up must
/// not make the server hold more and more.
const QUEUE: usize = 16 * 1024;

/// How many bytes are gathered for one write, where many records wait.
const BATCH: usize = 64 * 1024;

/// The time for which a file is left alone that has refused something.
const RETRY: Duration = Duration::from_secs(1);

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Written.
    pub written: u64,
    /// Not written: too many waited.
    pub dropped: u64,
}

/// The thread that writes.
pub(super) struct Records {
    /// Gone once nobody needs to be told of a reopening any more.
    messages: Mutex<Option<SyncSender<Message>>>,
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
}

/// Where records are handed over.
pub(super) struct RecordsInbox {
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
    log: Option<StateLog>,
}

enum Message {
    Record(Box<CallRecord>),
    /// Look at what is shared.
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
    /// Keeps the record of a call that is over until it is written.
    pub fn prepare(&self, report: &CallReport, changes: &mut Vec<Change>) {
        if report.event == CallEvent::Ended && self.log.is_some() {
            let line = serde_json::to_string(&report.call).ok();
            changes.push(kept::record(report.call.id, line.as_deref()));
        }
    }

    /// Takes the record of a call that is over. Never blocks.
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
    /// Opens the file and starts the thread. With a log, records that the process before this one has not
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
            writer.go_on(missing, &*to);
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

    /// Opens the file anew: what there was may have been moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(messages) = &*messages {
            // If there is no room the thread is at it, and sees it with the next record.
            let _ = messages.try_send(Message::Look);
        }
    }

    /// What became of records so far.
    pub fn counts(&self) -> RecordCounts {
        let Shared { written, dropped, .. } = &*self.shared;
        RecordCounts { written: written.load(Relaxed), dropped: dropped.load(Relaxed) }
    }

    /// Returns when all is written that was put into the inbox, which must be dropped.
    pub async fn finish(&self) {
        self.shared.closing.store(true, Relaxed);
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread says nothing; it ends.
        let _ = self.ended.clone().changed().await;
    }
}

/// Where lines are written.
pub(super) trait Output: Send {
    /// Writes whole lines: all of them, or none if that can be helped.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;

    /// The place up to which all is accounted for, where there is such a thing.
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
    /// The lines that are not written yet, and the calls that they are of.
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

    /// Begins with what the process before this one has not written.
    fn go_on(&mut self, missing: Vec<(CallId, String)>, to: &dyn Output) {
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
                // There is no time left. What is kept is written by the next server.
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

    /// Writes what waits; says whether that went well.
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

    /// Leaves the file alone for a while. Says whether there is time to try again.
    fn wait(&mut self, messages: &Receiver<Message>) -> bool {
        let until = Instant::now() + RETRY;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.reopen.load(Relaxed) {
                return true;
            }
            if self.lines.len() >= BATCH {
                // The others wait in the queue, which has an end.
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

    /// A disk whose every write goes as the test says.
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

    /// What is done to a disk, before it has said how that goes.
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
    async fn the_end_of_a_call_is_a_line_and_other_steps_are_none() {
        let (records, inbox, writes) = start(10);
        inbox.put(report(1, CallEvent::Accepted));
        inbox.put(ended(2));
        assert_eq!(writes.next(), serde_json::to_string(&ended(2).call).unwrap() + "\n");
        writes.goes(Ok(()));
        drop(inbox);
        records.finish().await;
        assert_eq!(records.counts(), RecordCounts { written: 1, dropped: 0 });
    }

    /// Whoever puts records in goes on meanwhile: otherwise this test would not.
    #[tokio::test]
    async fn a_disk_that_does_not_keep_up_costs_records_and_nothing_else() {
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
    async fn what_a_full_disk_does_not_take_is_written_once_there_is_room() {
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
    /// Stops while the disk takes nothing.
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
    async fn a_record_that_a_stop_leaves_unwritten_is_lost_only_where_it_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (log, ..) = StateLog::read(dir.path().into(), Sync::Never).unwrap();
        let counts = stop_with_a_full_disk(Some(log)).await;
        assert_eq!(counts, RecordCounts { written: 0, dropped: 0 });
        let counts = stop_with_a_full_disk(None).await;
        assert_eq!(counts, RecordCounts { written: 0, dropped: 1 });
    }
}
