//! The programs of a cell.

use std::path::PathBuf;

use crate::{
    process::{Stream, Task},
    scratch::SCRATCH,
};

/// The programs on the two sides of each lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peers {
    /// The ICE agent of webrtc-rs, which is part of this program.
    Callbox,
    /// Two browsers of Chromium's kind, by the path of the program.
    Chromium(PathBuf),
    /// A command of the shell for each side. It prints its selected pair as one line of JSON: an
    /// object with `local` and `remote`, which have a `type` of host, srflx, prflx or relay.
    /// Other lines are input of the other side's command.
    Commands {
        /// The command on side a.
        a: String,
        /// The command on side b.
        b: String,
    },
}

impl Peers {
    /// Returns the program of a side.
    pub(super) fn task(&self, is_a: bool, timeout: u64) -> Task {
        let mut task = match self {
            Self::Callbox | Self::Chromium(_) => {
                let mut task = Task::new("/proc/self/exe");
                task.args(["natlab", "peer", "--timeout", &timeout.to_string()]);
                if is_a {
                    task.arg("--controlling");
                }
                task
            }
            Self::Commands { a, b } => {
                let mut task = Task::new("/bin/sh");
                task.args(["-c", if is_a { a } else { b }]);
                task
            }
        };
        if let Self::Chromium(path) = self {
            task.arg("--browser").arg(path).args(["--user-data-dir", SCRATCH]);
            task.env("TMPDIR", SCRATCH).env("HOME", SCRATCH);
        }
        task.stdin(Stream::Piped).stdout(Stream::Piped).stderr(Stream::Piped);
        task
    }
}
