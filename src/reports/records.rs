//! Call records: a line of JSON for each call that is over, written by a thread of its own.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use tokio::sync::watch;

use super::StartError;
use crate::signaling::{CallEvent, CallRecord, CallReport};

/// Records that wait to be written. Past it they are dropped: a disk that does not keep up must not
/// make the server hold more and more.
const QUEUE: usize = 16 * 1024;

/// How many bytes are gathered for one write, where many records wait.
const BATCH: usize = 64 * 1024;

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
    /// Not written: too many waited, or the system refused.
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
}

enum Message {
    Record(Box<CallRecord>),
    /// Look at what is shared.
    Look,
}

#[derive(Default)]
struct Shared {
    reopen: AtomicBool,
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
    /// Takes the record of a call that is over. Never blocks.
    pub fn put(&self, report: CallReport) {
        if report.event != CallEvent::Ended {
            return;
        }
        if self.messages.try_send(Message::Record(Box::new(report.call))).is_err() {
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Records {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// [`StartError`] if the file cannot be written.
    pub fn start(target: Target) -> Result<(Self, RecordsInbox), StartError> {
        let path = match target {
            Target::Stdout => None,
            Target::File(path) => Some(path),
        };
        let failed =
            |source| StartError::Records { path: path.clone().unwrap_or("-".into()), source };
        let to: Box<dyn Write + Send> = match &path {
            Some(path) => Box::new(open(path).map_err(failed)?),
            None => Box::new(io::stdout()),
        };
        Self::spawn(to, path.clone(), QUEUE).map_err(failed)
    }

    fn spawn(
        to: Box<dyn Write + Send>,
        path: Option<PathBuf>,
        queue: usize,
    ) -> io::Result<(Self, RecordsInbox)> {
        let (sender, messages) = sync_channel(queue);
        let shared = Arc::new(Shared::default());
        let (ending, ended) = watch::channel(());
        let writer = Writer { to, path, shared: shared.clone(), torn: false };
        std::thread::Builder::new().name("call-records".into()).spawn(move || {
            writer.run(&messages);
            drop(ending);
        })?;
        let inbox = RecordsInbox { messages: sender.clone(), shared: shared.clone() };
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
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread says nothing; it ends.
        let _ = self.ended.clone().changed().await;
    }
}

struct Writer {
    to: Box<dyn Write + Send>,
    path: Option<PathBuf>,
    shared: Arc<Shared>,
    /// The last write failed, maybe in the middle of a line.
    torn: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            if self.shared.reopen.swap(false, Relaxed) {
                self.reopen();
            }
            let mut lines = if self.torn { b"\n".to_vec() } else { Vec::new() };
            let mut count = 0;
            let mut next = Some(message);
            while let Some(message) = next {
                if let Message::Record(record) = message
                    && serde_json::to_writer(&mut lines, &record).is_ok()
                {
                    lines.push(b'\n');
                    count += 1;
                }
                next = if lines.len() < BATCH { messages.try_recv().ok() } else { None };
            }
            if count > 0 {
                self.write(&lines, count);
            }
        }
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        let result = self.to.write_all(lines).and_then(|()| self.to.flush());
        let fate = if result.is_ok() { &self.shared.written } else { &self.shared.dropped };
        fate.fetch_add(count, Relaxed);
        match &result {
            Ok(()) if self.torn => tracing::info!("call records are written again"),
            Err(error) if !self.torn => {
                tracing::error!(%error, "call records cannot be written and are lost");
            }
            _ => {}
        }
        self.torn = result.is_err();
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            Ok(file) => {
                self.to = Box::new(file);
                self.torn = false;
                tracing::info!("the file of call records was opened again");
            }
            Err(error) => tracing::error!(%error, "call records still go to the old file"),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
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

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            self.goes.recv().unwrap()?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
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
        let (written, writes) = channel();
        let (go, goes) = channel();
        let (records, inbox) =
            Records::spawn(Box::new(Disk { written, goes }), None, queue).unwrap();
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
    async fn a_write_that_failed_does_not_spoil_the_line_after_it() {
        let (records, inbox, writes) = start(10);
        inbox.put(ended(1));
        writes.next();
        inbox.put(ended(2));
        writes.goes(Err(io::ErrorKind::StorageFull.into()));
        let text = writes.next();
        assert!(text.starts_with("\n{") && text.ends_with("}\n"), "{text:?}");
        writes.goes(Ok(()));
        drop(inbox);
        records.finish().await;
        assert_eq!(records.counts(), RecordCounts { written: 1, dropped: 1 });
    }
}
