//! Calls that are stored in the state directory across restarts: live ones, and ended ones that
//! have not been reported yet.

use std::{io, path::PathBuf, time::Duration};

use callbox_base::{clock::Now, entries::Change};
use callbox_signaling::{Hub, PreviousStop};

use crate::{
    http::ALIVE,
    state_log::{Found, StateLog, Sync, Unopened},
};

/// The key that exists if the previous server was stopped properly.
const STOPPED: &str = "stopped";

/// The log, and the state that the previous server has left in it.
#[derive(Debug)]
pub(super) struct KeptCalls {
    pub log: StateLog,
    pub found: Found,
    unopened: Unopened,
}

impl KeptCalls {
    /// Reads the stored state. None of it is changed before [`KeptCalls::open`].
    ///
    /// # Errors
    /// The system's error if the directory cannot be written to.
    pub(super) fn read(state_dir: PathBuf, sync: Sync) -> io::Result<Self> {
        let (log, found, unopened) = StateLog::read(state_dir, sync)?;
        Ok(Self { log, found, unopened })
    }

    /// Restores the calls of the previous server.
    pub(super) fn restore_to(&self, hub: &mut Hub) {
        let found = &self.found;
        if found.entries.is_empty() && found.damaged == 0 {
            return;
        }
        let stopped = match found.entries.get(STOPPED) {
            Some(_) => PreviousStop::Orderly,
            None => {
                let alive = found.entries.get(ALIVE).and_then(|text| text.parse().ok());
                PreviousStop::Crashed(Duration::from_millis(alive.unwrap_or_default()))
            }
        };
        let restored = hub.restore(Now::read(), &found.entries, stopped);
        let crashed = stopped != PreviousStop::Orderly;
        let (live, over) = (restored.live, restored.over);
        tracing::info!(crashed, live, over, "calls of the previous process were restored");
        let unreadable = restored.unreadable + found.damaged;
        if unreadable > 0 {
            tracing::warn!(unreadable, "entries of the previous process cannot be read");
        }
    }

    /// Begins to store calls, once all that was restored is handed over. The files of the previous
    /// server are removed, since their contents are stored again.
    ///
    /// # Errors
    /// The system's error if no thread can be started.
    pub(super) fn open(self) -> io::Result<StateLog> {
        self.log.put([Change { key: STOPPED.into(), value: None }]);
        self.unopened.open(self.found.entries.into_keys())?;
        Ok(self.log)
    }
}

/// Records that the server was stopped properly, and closes the log.
pub(super) async fn close(log: &StateLog) {
    log.put([Change { key: STOPPED.into(), value: Some("true".into()) }]);
    log.close().await;
}
