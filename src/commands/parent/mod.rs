//! The process with which the server ends: its parent, or the one with a given id.
//!
//! On Linux a pidfd reports the end of the process. `PR_SET_PDEATHSIG` is not used: it follows the
//! thread that started this process, which may end before the parent does. Elsewhere, and where a
//! sandbox denies pidfds, a thread looks a few times a second.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

use tokio::sync::oneshot;

#[cfg(not(unix))]
use self::other::Process;
#[cfg(unix)]
use self::unix::Process;
use crate::config::{ConfigError, ExitWithParent};

/// A process whose end is watched, by a thread.
pub(super) struct Parent(oneshot::Receiver<()>);

impl Parent {
    /// Begins to watch the process that the option names, if it names one. To be called early: a
    /// parent that has ended before is not noticed, unless its id is given.
    ///
    /// # Errors
    /// [`ConfigError::Option`] if the parent cannot be watched: it is outside of this process's
    /// container, or the system does not report its end.
    pub(super) fn watch(which: ExitWithParent) -> Result<Option<Self>, ConfigError> {
        if which == ExitWithParent::Never {
            return Ok(None);
        }
        let refuse = |reason| ConfigError::Option { option: "exit-with-parent", reason };
        let process = Process::find(which).map_err(|text| refuse(text.to_owned()))?;
        let (ended, parent) = oneshot::channel();
        let watch = move || {
            process.wait();
            // If nobody listens, the server stops already.
            let _ = ended.send(());
        };
        let thread = std::thread::Builder::new().name("callbox-parent".into()).spawn(watch);
        thread.map_err(|error| refuse(format!("cannot start a thread: {error}")))?;
        Ok(Some(Self(parent)))
    }

    /// Completes when the process has ended.
    pub(super) async fn ended(self) {
        if self.0.await.is_err() {
            tracing::error!("the parent process is not watched any more");
            std::future::pending().await
        }
    }
}
