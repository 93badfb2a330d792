//! The end of a process, on systems that do not report it.

use crate::config::ExitWithParent;

/// A process: none, since the end of one is not reported.
pub(super) struct Process;

impl Process {
    /// Refuses.
    ///
    /// # Errors
    /// The reason, for a person.
    pub(super) fn find(_: ExitWithParent) -> Result<Self, &'static str> {
        Err("this system does not report the end of a parent; use --lifetime")
    }

    /// Returns at once; there is nothing to wait for.
    pub(super) fn wait(&self) {}
}
