//! The options for the process and its output.

use std::path::PathBuf;

use callbox_cli::Period;
use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};

use crate::config::{ExitWithParent, values::log_filter};

/// The process and its output.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct RunOptions {
    /// Print one line of JSON on stdout once every listener is up.
    ///
    /// For tests and supervisors: it names the addresses with their real ports and, with --dev,
    /// the generated secrets. Logs go to stderr.
    #[arg(long, env = "CALLBOX_READY_JSON", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub ready_json: bool,

    /// Refuse to start if the configuration exposes something to others.
    ///
    /// Without it, a warning is logged for each: a file with secrets that others on this machine
    /// may read, a --state-dir or --config that they may change, a secret that is too short, plain
    /// HTTP on every address although there is TLS, and --allow-faults. `docs/security.md` has the
    /// list.
    #[arg(long, env = "CALLBOX_STRICT", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub strict: bool,

    /// A directory for the state that must outlast the process: live calls, undelivered events and
    /// records, and with --acme-domain the account at the CA and the certificate with its key.
    ///
    /// Without it, calls end with `server_shutdown` when the server stops, and without notice when
    /// it crashes. With it they continue in the next server: their sides have --reconnect-grace to
    /// reconnect, and media that does not go through the relay never stops. For that, tokens and
    /// relay credentials must outlast the restart, too: set --jwt-secret and --auth-secret. The
    /// data that the sides of a call have sent each other is stored, too.
    ///
    /// It is made where it is missing. Its files are readable by their owner alone. Each server
    /// needs its own: a second server with the same directory does not start.
    ///
    /// Default: none
    ///
    /// Example: `/var/lib/callbox`
    #[arg(long, env = "CALLBOX_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Stop by itself after this time.
    ///
    /// So that an aborted test leaves no server behind.
    ///
    /// Default: never
    ///
    /// Example: `10m`
    #[arg(long, env = "CALLBOX_LIFETIME", value_name = "DURATION")]
    pub lifetime: Option<Period>,

    /// Stop when the process that started this one has ended, even by `kill -9`.
    ///
    /// So that a test that dies leaves nothing behind. The server stops as with SIGTERM. A process
    /// id in place of `true` names the process that must live: give it where a shell or another
    /// program stands between, or where that process may end before the server has started.
    #[arg(long, env = "CALLBOX_EXIT_WITH_PARENT", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", value_name = "true|false|PID")]
    pub exit_with_parent: ExitWithParent,

    /// The format of log lines.
    #[arg(long, env = "CALLBOX_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The amount of logging: off, error, warn, info, debug or trace.
    ///
    /// Single modules may be named, as in info,callbox::http=debug. Secrets, tokens, descriptions
    /// and candidates are logged at no level.
    #[arg(long, env = "CALLBOX_LOG_LEVEL", value_name = "LEVEL", default_value = "info",
          value_parser = log_filter)]
    pub log_level: String,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}
