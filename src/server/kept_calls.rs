//! Live calls, in a file of the state directory from the stop of one server to the start of the next.

use std::{io, path::PathBuf};

use crate::{
    clock::Now,
    signaling::{Hub, SavedCalls},
    state_dir::StateDir,
};

/// The file. It is there only while no server runs.
const FILE: &str = "calls.json";

/// Where calls are kept.
#[derive(Debug)]
pub(super) struct KeptCalls(StateDir);

impl KeptCalls {
    /// Opens the directory.
    ///
    /// # Errors
    /// What the system says if it cannot be written to.
    pub fn open(state_dir: PathBuf) -> io::Result<Self> {
        StateDir::open(state_dir).map(Self)
    }

    /// Goes on with the calls that the server before this one has kept. What cannot be read is given
    /// up: a server without those calls is better than none.
    pub fn restore_to(&self, hub: &mut Hub) {
        let path = self.0.path(FILE);
        let saved = match self.0.read(FILE) {
            Ok(None) => return,
            Ok(Some(json)) => serde_json::from_slice(&json).map_err(|error| {
                // Nothing of what is in it: there are descriptions among that.
                io::Error::new(io::ErrorKind::InvalidData, format!("line {}", error.line()))
            }),
            Err(error) => Err(error),
        };
        let saved: SavedCalls = match saved {
            Ok(saved) => saved,
            Err(error) => {
                let path = path.display();
                return tracing::warn!(%path, %error, "the calls kept there cannot be read");
            }
        };
        let kept = saved.len();
        let restored = hub.restore(Now::read(), saved);
        tracing::info!(kept, restored, "calls go on that the server before this one has kept");
    }

    /// Removes the file: its calls are this server's now, and live on from here.
    pub fn clear(&self) {
        if let Err(error) = self.0.remove(FILE) {
            let path = self.0.path(FILE).display().to_string();
            tracing::warn!(path, %error, "it cannot be removed: its calls will come back once more");
        }
    }

    /// Keeps the calls of a server that has stopped; says whether it could.
    pub fn keep(&self, calls: &SavedCalls) -> bool {
        if calls.is_empty() {
            return true;
        }
        let written = serde_json::to_vec(calls)
            .map_err(io::Error::from)
            .and_then(|json| self.0.write(FILE, &json));
        let path = self.0.path(FILE).display().to_string();
        match &written {
            Ok(()) => {
                tracing::info!(path, calls = calls.len(), "calls are kept for the next server")
            }
            Err(error) => {
                tracing::error!(path, %error, calls = calls.len(), "calls cannot be kept, and end")
            }
        }
        written.is_ok()
    }
}
