//! Calls that outlast the process in the state directory: live ones, and those that are over of which others
//! have yet to be told.

use std::{io, path::PathBuf, time::Duration};

use callbox_base::{clock::Now, entries::Change};
use callbox_signaling::{HowItStopped, Hub};

use crate::{
    http::ALIVE,
    state_log::{Found, StateLog, Sync, Unopened},
};

/// The key that is there if the server before this one was told to stop.
const STOPPED: &str = "stopped";

/// The log, and what the server before this one has left in it.
#[derive(Debug)]
pub(super) struct KeptCalls {
    pub log: StateLog,
    pub found: Found,
    unopened: Unopened,
}

impl KeptCalls {
    /// Reads what there is. None of it is touched before [`KeptCalls::open`].
    ///
    /// # Errors
    /// The system's error if the directory cannot be written to.
    pub fn read(state_dir: PathBuf, sync: Sync) -> io::Result<Self> {
        let (log, found, unopened) = StateLog::read(state_dir, sync)?;
        Ok(Self { log, found, unopened })
    }

    /// Goes on with the calls of the server before this one.
    pub fn restore_to(&self, hub: &mut Hub) {
        let found = &self.found;
        if found.entries.is_empty() && found.damaged == 0 {
            return;
        }
        let stopped = match found.entries.get(STOPPED) {
            Some(_) => HowItStopped::Orderly,
            None => {
                let alive = found.entries.get(ALIVE).and_then(|text| text.parse().ok());
                HowItStopped::Crashed(Duration::from_millis(alive.unwrap_or_default()))
            }
        };
        let restored = hub.restore(Now::read(), &found.entries, stopped);
        let crashed = stopped != HowItStopped::Orderly;
        let (live, over) = (restored.live, restored.over);
        tracing::info!(crashed, live, over, "calls of the server before this one");
        let unreadable = restored.unreadable + found.damaged;
        if unreadable > 0 {
            tracing::warn!(unreadable, "entries of the server before this one cannot be read");
        }
    }

    /// Begins to keep calls, once all that was restored is handed over. What the server before this one
    /// has left is removed: it lives on from here.
    ///
    /// # Errors
    /// The system's error if there is no thread to be had.
    pub fn open(self) -> io::Result<StateLog> {
        self.log.put([Change { key: STOPPED.into(), value: None }]);
        self.unopened.open(self.found.entries.into_keys())?;
        Ok(self.log)
    }
}

/// The server has stopped as it was told to.
pub(super) async fn close(log: &StateLog) {
    log.put([Change { key: STOPPED.into(), value: Some("true".into()) }]);
    log.close().await;
}
