//! Reports of calls to others than the clients. The hub's task hands each report over and goes on;
//! the receivers may be slow.
//!
//! | file | contents |
//! |---|---|
//! | `kept` | the reports that the log of calls holds until their receivers have them |
//! | `call_log` | a log line for each ended call |
//! | `records/` | a record for each ended call |
//! | `webhook/` | each step of a call, sent to a receiver |

mod call_log;
mod kept;
mod records;
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

/// The longest time that waiting reports may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The receivers of reports.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The target of the records of calls.
    pub records: Option<Target>,
    /// The durability of the records.
    pub sync: Sync,
    /// The receiver of each step of a call.
    pub webhook: Option<webhook::Config>,
}

/// The reason why reports cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The records cannot be written.
    #[error("--call-records {path}: cannot be written: {source}", path = path.display())]
    Records {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The running receivers of reports.
#[derive(Debug)]
pub struct Reports {
    records: Option<Records>,
    webhook: Option<Webhook>,
    /// Changes once the [`Inbox`] is dropped.
    inbox: watch::Receiver<()>,
}

/// The sending end for reports. It never blocks. Once it is dropped, there are no more reports.
#[derive(Debug)]
pub struct Inbox {
    records: Option<RecordsInbox>,
    webhook: Option<WebhookInbox>,
    _open: watch::Sender<()>,
}

/// A report that is ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    report: CallReport,
    event: Option<Event>,
}

/// An event for the webhook: its body, and its number if it is stored until it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    body: Bytes,
    kept: Option<u64>,
}

impl Inbox {
    /// Prepares a report. If calls are stored, the report is sent only after the changes that come
    /// with it are stored: then each receiver gets it once, even if the process crashes.
    pub fn prepare(&mut self, report: CallReport) -> (Prepared, Vec<Change>) {
        let mut changes = Vec::new();
        let event = self.webhook.as_mut().map(|webhook| webhook.prepare(&report, &mut changes));
        if let Some(records) = &self.records {
            records.prepare(&report, &mut changes);
        }
        (Prepared { report, event }, changes)
    }

    /// Sends a report.
    pub fn put(&mut self, Prepared { report, event }: Prepared) {
        if report.event == CallEvent::Ended {
            call_log::log(&report);
        }
        if let (Some(webhook), Some(event)) = (&mut self.webhook, event) {
            webhook.put(report.call.id, event);
        }
        if let Some(records) = &self.records {
            records.put(report);
        }
    }

    /// Asks if a call that reaches no device should wait for one; returns `None` if nobody can be
    /// asked.
    pub fn ask_to_hold(
        &mut self,
        report: CallReport,
    ) -> Option<impl Future<Output = bool> + Send + use<>> {
        self.webhook.as_mut()?.ask_to_hold(&report)
    }
}

/// The counters of reports; `None` for those that are not configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Snapshot {
    /// The counters of records.
    pub records: Option<RecordCounts>,
    /// The counters of events for the webhook.
    pub webhook: Option<WebhookCounts>,
}

impl Config {
    /// Checks that the files can be written, without creating them.
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
    /// Opens the receivers. With a log, the reports that the previous server has left in it are
    /// sent, and new ones are stored in it until their receivers have them.
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

    /// Reopens files that may have been moved away.
    pub fn reopen(&self) {
        if let Some(records) = &self.records {
            records.reopen();
        }
    }

    /// Returns the counters.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            records: self.records.as_ref().map(Records::counts),
            webhook: self.webhook.as_ref().map(Webhook::counts),
        }
    }

    /// Completes once the [`Inbox`] is dropped and all its reports are handled, or after the time
    /// limit.
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

    /// The log of calls is closed after this, so the hub must have ended, even if there are no
    /// receivers.
    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_the_hub_without_receivers() {
        let (reports, inbox) = Reports::start(Config::default(), None).unwrap();
        let begun = Instant::now();
        let mut finished = std::pin::pin!(reports.finish());
        assert!(timeout(Duration::from_secs(1), &mut finished).await.is_err());
        drop(inbox);
        finished.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }
}
