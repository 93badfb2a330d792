//! The options for traces of calls.

use std::path::PathBuf;

use clap::{ArgAction, Args, builder::BoolishValueParser};

use crate::trace;

/// Traces of calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceOptions {
    /// Keep the steps of each call in memory: what both sides sent, what the relay answered, when
    /// packets first passed.
    ///
    /// Set it to find out why calls have no media: `callbox trace CALL` draws the steps and says
    /// what went wrong. A trace has addresses, and no session descriptions, keys or texts. The
    /// traces of the latest calls are kept, in at most about 50 MB. `docs/traces.md` has more.
    #[arg(long, env = "CALLBOX_TRACE", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub trace: bool,

    /// Write the trace of each call that has ended to a file in this directory; turns on --trace.
    ///
    /// Set it if traces are to outlast the server, or more than memory has room for. The directory
    /// is made for its owner alone; the files of the latest 10,000 calls are kept.
    ///
    /// Default: none
    ///
    /// Example: `/var/lib/callbox/traces`
    #[arg(long, env = "CALLBOX_TRACE_DIR", value_name = "DIR")]
    pub trace_dir: Option<PathBuf>,
}

impl TraceOptions {
    /// Returns the settings of traces; `None` if there are to be none.
    pub fn config(&self) -> Option<trace::Config> {
        let is_on = self.trace || self.trace_dir.is_some();
        is_on.then(|| trace::Config { dir: self.trace_dir.clone() })
    }
}
