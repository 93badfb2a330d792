//! From options to who is told of calls.

use std::path::PathBuf;

use super::ReportOptions;
use crate::reports::{Config, Target};

impl ReportOptions {
    /// Whether somebody wants to be told.
    pub(super) fn is_wanted(&self) -> bool {
        self.call_records.is_some()
    }

    /// Whom to tell.
    pub(super) fn config(&self) -> Config {
        let target = |path: &PathBuf| match path.as_os_str() == "-" {
            true => Target::Stdout,
            false => Target::File(path.clone()),
        };
        Config { records: self.call_records.as_ref().map(target) }
    }
}
