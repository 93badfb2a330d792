//! What others than the clients are told of calls. The hub's task hands each report over and goes on;
//! what stands behind may be slow.
//!
//! | file | what lives there |
//! |---|---|
//! | `records` | a line for each call that is over |

mod records;
#[cfg(test)]
mod testing;

use std::{io, path::PathBuf, time::Duration};

pub use self::records::{RecordCounts, Target};
use self::records::{Records, RecordsInbox};
use crate::signaling::CallReport;

/// How long what waits may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who wants to hear of calls.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where the records of calls go.
    pub records: Option<Target>,
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
}

/// Where reports go. It never blocks. Once it is dropped, no more will come.
#[derive(Debug)]
pub struct Inbox {
    records: Option<RecordsInbox>,
}

impl Inbox {
    /// Takes a report.
    pub fn put(&self, report: CallReport) {
        if let Some(records) = &self.records {
            records.put(report);
        }
    }
}

/// What was done with reports so far; nothing of what is not wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Snapshot {
    /// Of records.
    pub records: Option<RecordCounts>,
}

impl Reports {
    /// Opens what is to be written to.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(config: Config) -> Result<(Self, Inbox), StartError> {
        let (records, records_inbox) = config.records.map(Records::start).transpose()?.unzip();
        Ok((Self { records }, Inbox { records: records_inbox }))
    }

    /// Opens again what may have been moved away.
    pub fn reopen(&self) {
        if let Some(records) = &self.records {
            records.reopen();
        }
    }

    /// What was done so far.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { records: self.records.as_ref().map(Records::counts) }
    }

    /// Returns once all is done with what was put into the [`Inbox`], which must be dropped; after a
    /// while in any case.
    pub async fn finish(&self) {
        if let Some(records) = &self.records
            && tokio::time::timeout(FAREWELL, records.finish()).await.is_err()
        {
            tracing::warn!("not all call records could be written in time");
        }
    }
}
