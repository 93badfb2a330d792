//! The options for the receivers of reports about calls.

use std::path::PathBuf;

use axum::http::Uri;
use callbox_base::auth::Secret;
use callbox_cli::values::{https_url, secret};
use clap::{Args, ValueEnum};

use crate::{config::values::Size, reports::webhook, state_log::Sync};

/// The receivers of reports about calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call records and webhook")]
pub struct ReportOptions {
    /// Append a line of JSON to this file for each call that is over; - stands for stdout.
    ///
    /// For billing and statistics: who called whom, when, for how long, why it ended, and what was
    /// relayed for it. The file is made for its owner alone, and opened again on SIGHUP, so that it can
    /// be rotated. Records that the disk does not take wait, and never hold up calls; past 16,384 they
    /// are dropped and counted. With --state-dir, each call has its record once also after a crash.
    /// `docs/http-api.md` says what holds when.
    ///
    /// Default: none
    ///
    /// Example: `/var/log/callbox/calls.jsonl`
    #[arg(long, env = "CALLBOX_CALL_RECORDS", value_name = "FILE")]
    pub call_records: Option<PathBuf>,

    /// The time when records and the contents of --state-dir are written through to the disk
    /// (fsync).
    ///
    /// With never, the operating system decides: nothing is lost when the server crashes or is killed,
    /// and up to half a minute when the machine loses power. With always, nothing is lost then either:
    /// clients hear of each step of a call once the disk has it, which takes some milliseconds on a
    /// good disk. Set always where each record is worth money.
    #[arg(long, env = "CALLBOX_DISK_SYNC", value_name = "WHEN", default_value = "never")]
    pub disk_sync: DiskSync,

    /// Send each step of a call to this address, as an HTTP POST of JSON.
    ///
    /// For a back end that wants to know at once who calls whom, and when a call is over. Events are
    /// signed with --webhook-secret, come in order for each call, and wait while the receiver is
    /// down; `docs/webhooks.md` has them all. Before a call ends with `offline`, the receiver may have
    /// it held until it has woken a device. Plain HTTP goes to this machine only.
    ///
    /// Default: none
    ///
    /// Example: `https://app.example.com/callbox`
    #[arg(long, env = "CALLBOX_WEBHOOK_URL", value_name = "URL", value_parser = https_url)]
    pub webhook_url: Option<Uri>,

    /// The secret that events are signed with; may be given more than once.
    ///
    /// The receiver knows by it that an event is from here. To change it, give both for a while: each
    /// event is then signed with both. `openssl rand -base64 32` makes one.
    ///
    /// Default: none
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = secret)]
    pub webhook_secret: Vec<Secret>,

    /// A file with such a secret in its first line; may be given more than once.
    ///
    /// Its secrets come after those of --webhook-secret.
    ///
    /// Example: `/run/secrets/callbox-webhook`
    #[arg(long, env = "CALLBOX_WEBHOOK_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub webhook_secret_file: Vec<PathBuf>,

    /// Maximum number of bytes of events that wait for the receiver.
    ///
    /// An event takes about 700 bytes, a call five of them or more. Past it the oldest calls lose what
    /// waits of them, which is counted. Raise it where many calls must outlast a long outage of the
    /// receiver.
    #[arg(long, env = "CALLBOX_WEBHOOK_QUEUE", value_name = "BYTES",
          default_value_t = Size(webhook::QUEUE_BYTES))]
    pub webhook_queue: Size,
}

/// The time when written data is synced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiskSync {
    /// Synced when the operating system decides.
    Never,
    /// Synced before it counts as written.
    Always,
}

impl From<DiskSync> for Sync {
    fn from(when: DiskSync) -> Self {
        match when {
            DiskSync::Never => Self::Never,
            DiskSync::Always => Self::Always,
        }
    }
}
