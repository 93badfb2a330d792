//! What others than the clients are told of calls. The hub's task hands each report over and goes on;
//! what stands behind may be slow.
//!
//! | file | what lives there |
//! |---|---|
//! | `kept` | what the log of calls has of reports that nobody has yet |
//! | `call_log` | a line of the log for each call that is over |
//! | `records`, `records_file` | a line for each call that is over |
//! | `webhook/` | each step of a call, sent to a receiver |

mod call_log;
mod kept;
mod records;
mod records_file;
#[cfg(test)]
mod testing;
pub mod webhook;

use std::{fs::OpenOptions, io, path::PathBuf, time::Duration};

use bytes::Bytes;
use callbox_base::entries::Change;
use callbox_signaling::{CallEvent, CallReport};
use tokio::{sync::watch, time::timeout};

pub use self::records::{RecordCounts, Target};
use self::{
    records::{Records, RecordsInbox},
    webhook::{Webhook, WebhookCounts, WebhookInbox},
};
use crate::state_log::{Found, StateLog, Sync};

/// How long what waits may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who wants to hear of calls.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where the records of calls go.
    pub records: Option<Target>,
    /// When they go through to the disk.
    pub sync: Sync,
    /// Where each step of a call is sent.
    pub webhook: Option<webhook::Config>,
}

/// Why reports cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The records cannot be written.
    #[error("--call-records {path}: cannot be written: {source}", path = path.display())]
    Records {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whoever is told of calls.
#[derive(Debug)]
pub struct Reports {
    records: Option<Records>,
    webhook: Option<Webhook>,
    /// Changes once the [`Inbox`] is dropped.
    inbox: watch::Receiver<()>,
}

/// Where reports go. It never blocks. Once it is dropped, no more will come.
#[derive(Debug)]
pub struct Inbox {
    records: Option<RecordsInbox>,
    webhook: Option<WebhookInbox>,
    _open: watch::Sender<()>,
}

/// A report that is ready to be handed on.
#[derive(Debug)]
pub struct Prepared {
    report: CallReport,
    event: Option<Event>,
}

/// An event for the webhook: its body, and its number where it is kept until it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    body: Bytes,
    kept: Option<u64>,
}

impl Inbox {
    /// Makes a report ready. Where calls are kept, it goes to nobody before the changes that come with
    /// it are: then it gets to each once, whatever happens to the process.
    pub fn prepare(&mut self, report: CallReport) -> (Prepared, Vec<Change>) {
        let mut changes = Vec::new();
        let event = self.webhook.as_mut().map(|webhook| webhook.prepare(&report, &mut changes));
        if let Some(records) = &self.records {
            records.prepare(&report, &mut changes);
        }
        (Prepared { report, event }, changes)
    }

    /// Takes a report.
    pub fn put(&mut self, Prepared { report, event }: Prepared) {
        if report.event == CallEvent::Ended {
            call_log::tell(&report);
        }
        if let (Some(webhook), Some(event)) = (&mut self.webhook, event) {
            webhook.put(report.call.id, event);
        }
        if let Some(records) = &self.records {
            records.put(report);
        }
    }

    /// Asks whether a call that reaches no device is to wait for one; `None` where nobody can be
    /// asked.
    pub fn ask_to_hold(
        &mut self,
        report: CallReport,
    ) -> Option<impl Future<Output = bool> + Send + use<>> {
        self.webhook.as_mut()?.ask_to_hold(&report)
    }
}

/// What was done with reports so far; nothing of what is not wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Snapshot {
    /// Of records.
    pub records: Option<RecordCounts>,
    /// Of events for the webhook.
    pub webhook: Option<WebhookCounts>,
}

impl Config {
    /// Checks whether what is to be written to could be, without making it.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn check(&self) -> Result<(), StartError> {
        let Some(Target::File(path)) = &self.records else { return Ok(()) };
        let failed = |source| StartError::Records { path: path.clone(), source };
        let opened = match OpenOptions::new().append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.metadata().map(drop),
                _ => Ok(()),
            },
            opened => opened.map(drop),
        };
        opened.map_err(failed)
    }
}

impl Reports {
    /// Opens what is to be written to. With a log, what the server before this one has left in it is dealt
    /// with, and what comes is kept in it until whoever it is for has it.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(
        config: Config,
        log: Option<(&StateLog, &Found)>,
    ) -> Result<(Self, Inbox), StartError> {
        let records = config.records.map(|target| Records::start(target, config.sync, log));
        let (records, records_inbox) = records.transpose()?.unzip();
        let (webhook, webhook_inbox) =
            config.webhook.map(|config| Webhook::start(config, log)).unzip();
        let (open, inbox) = watch::channel(());
        let reports = Self { records, webhook, inbox };
        Ok((reports, Inbox { records: records_inbox, webhook: webhook_inbox, _open: open }))
    }

    /// Opens again what may have been moved away.
    pub fn reopen(&self) {
        if let Some(records) = &self.records {
            records.reopen();
        }
    }

    /// What was done so far.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            records: self.records.as_ref().map(Records::counts),
            webhook: self.webhook.as_ref().map(Webhook::counts),
        }
    }

    /// Returns once the [`Inbox`] is dropped and all is done with what was put into it; after a while in
    /// any case.
    pub async fn finish(&self) {
        if timeout(FAREWELL, self.inbox.clone().changed()).await.is_err() {
            tracing::warn!("the hub has not ended in time: the latest of calls may be lost");
        }
        let records = async {
            if let Some(records) = &self.records
                && timeout(FAREWELL, records.finish()).await.is_err()
            {
                tracing::warn!("not all call records could be written in time");
            }
        };
        let webhook = async {
            if let Some(webhook) = &self.webhook
                && timeout(FAREWELL, webhook.finish()).await.is_err()
            {
                let left = webhook.counts().waiting;
                tracing::warn!(left, "not all events could be sent to the webhook in time");
            }
        };
        tokio::join!(records, webhook);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// The log of calls is closed after this, so the hub must be done with it, whoever reads reports.
    #[tokio::test(start_paused = true)]
    async fn the_end_is_waited_for_where_nobody_reads_reports() {
        let (reports, inbox) = Reports::start(Config::default(), None).unwrap();
        let begun = Instant::now();
        let mut finished = std::pin::pin!(reports.finish());
        assert!(timeout(Duration::from_secs(1), &mut finished).await.is_err());
        drop(inbox);
        finished.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }
}
