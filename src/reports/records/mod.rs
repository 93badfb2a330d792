//! Call records: a line of JSON for each ended call, written by a separate thread.
//!
//! | file | contents |
//! |---|---|
//! | `writer` | the thread: records that wait, and tries to write them |
//! | `output` | the target of lines |
//! | `file` | a file as the target |
//!
//! While the file cannot be written, records wait, up to a limit. If calls are stored, so is each
//! record until it is in the file, and a server that starts after a crash writes those that are
//! not.

mod file;
mod output;
mod writer;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
};

use callbox_base::entries::Change;
use callbox_signaling::{CallEvent, CallReport};
use tokio::sync::watch;

pub use self::writer::RecordCounts;
use self::{
    file::RecordsFile,
    output::Output,
    writer::{Message, Shared, Writer},
};
use super::{StartError, kept};
use crate::state_log::{Found, StateLog, Sync};

/// The number of records that wait for the thread. Further ones are dropped: a slow disk must not
/// make the server's memory grow.
const QUEUE: usize = 16 * 1024;

/// The target of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
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
    pub(super) fn prepare(&self, report: &CallReport, changes: &mut Vec<Change>) {
        if report.event == CallEvent::Ended && self.log.is_some() {
            let line = serde_json::to_string(&report.call).ok();
            changes.push(kept::record(report.call.id, line.as_deref()));
        }
    }

    /// Sends the record of an ended call to the thread. Never blocks.
    pub(super) fn put(&self, report: CallReport) {
        if report.event != CallEvent::Ended {
            return;
        }
        let id = report.call.id;
        if self.messages.try_send(Message::Record(Box::new(report.call))).is_err() {
            self.shared.add_dropped(1);
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
    pub(super) fn start(
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
            let missing = file::missing(path.as_deref(), found).map_err(failed)?;
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
        let (shared, log) = (writer.shared(), writer.log());
        let (ending, ended) = watch::channel(());
        std::thread::Builder::new().name("call-records".into()).spawn(move || {
            writer.run(to, &messages);
            drop(ending);
        })?;
        let inbox = RecordsInbox { messages: sender.clone(), shared: shared.clone(), log };
        Ok((Self { messages: Mutex::new(Some(sender)), shared, ended }, inbox))
    }

    /// Reopens the file: the old one may have been moved away.
    pub(super) fn reopen(&self) {
        self.shared.reopen();
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(messages) = &*messages {
            // If there is no room, the thread is busy, and checks the flag with the next record.
            let _ = messages.try_send(Message::Look);
        }
    }

    /// Returns the counters.
    pub(super) fn counts(&self) -> RecordCounts {
        self.shared.counts()
    }

    /// Completes when all records of the inbox are written, which must be dropped.
    pub(super) async fn finish(&self) {
        self.shared.close();
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread reports nothing; it ends.
        let _ = self.ended.clone().changed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::Duration,
    };

    use super::*;
    use crate::reports::testing::{ended, report};

    /// A disk whose writes succeed or fail as the test decides.
    struct Disk {
        written: Sender<String>,
        results: Receiver<io::Result<()>>,
    }

    impl Output for Disk {
        fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
            self.written.send(String::from_utf8(lines.to_vec()).unwrap()).unwrap();
            self.results.recv().unwrap()
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

        fn complete(&self, result: io::Result<()>) {
            self.1.send(result).unwrap();
        }
    }

    fn start(queue: usize) -> (Records, RecordsInbox, Writes) {
        start_with(queue, None)
    }

    fn start_with(queue: usize, log: Option<StateLog>) -> (Records, RecordsInbox, Writes) {
        let (written, writes) = channel();
        let (go, results) = channel();
        let writer = Writer::new(None, log, Sync::Never);
        let disk = Box::new(Disk { written, results });
        let (records, inbox) = Records::spawn(disk, writer, queue).unwrap();
        (records, inbox, Writes(writes, go))
    }

    #[tokio::test]
    async fn only_the_end_of_a_call_is_written() {
        let (records, inbox, writes) = start(10);
        inbox.put(report(1, CallEvent::Accepted));
        inbox.put(ended(2));
        assert_eq!(writes.next(), serde_json::to_string(&ended(2).call).unwrap() + "\n");
        writes.complete(Ok(()));
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
        writes.complete(Ok(()));
        assert_eq!(writes.next().lines().count(), 10);
        writes.complete(Ok(()));
        records.finish().await;
        assert_eq!(records.counts(), RecordCounts { written: 11, dropped: 990 });
    }

    #[tokio::test]
    async fn records_that_a_full_disk_refuses_are_written_once_there_is_room() {
        let (records, inbox, writes) = start(10);
        inbox.put(ended(1));
        let first = writes.next();
        inbox.put(ended(2));
        writes.complete(Err(io::ErrorKind::StorageFull.into()));
        let text = writes.next();
        assert!(text.starts_with(&first) && text.lines().count() == 2, "{text:?}");
        writes.complete(Ok(()));
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
            writes.complete(Err(io::ErrorKind::StorageFull.into()));
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
