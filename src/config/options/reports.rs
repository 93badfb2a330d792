//! The options for the receivers of reports about calls.

use std::path::PathBuf;

use axum::http::Uri;
use callbox_base::auth::Secret;
use callbox_cli::{
    secrets::with_files,
    values::{https_url, secret},
};
use clap::{Args, ValueEnum};

use crate::{
    config::{ConfigError, values::Size},
    https::Client,
    reports::{
        self, Target,
        webhook::{self, WebhookKeys},
    },
    state_log::Sync,
};

/// The receivers of reports about calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call records and webhook")]
pub struct ReportOptions {
    /// Append a line of JSON to this file for each call that has ended; - stands for stdout.
    ///
    /// For billing and statistics: who called whom, when, for how long, why it ended, and what was
    /// relayed for it. The file is made for its owner alone, and opened again on SIGHUP, so that it
    /// can be rotated. Records wait while the disk is slow or full, and never delay calls; past
    /// 16,384 they are dropped and counted. With --state-dir, each call has its record once also
    /// after a crash. `docs/http-api.md` has the guarantees.
    ///
    /// Default: none
    ///
    /// Example: `/var/log/callbox/calls.jsonl`
    #[arg(long, env = "CALLBOX_CALL_RECORDS", value_name = "FILE")]
    pub call_records: Option<PathBuf>,

    /// The time when records and the contents of --state-dir are written through to the disk
    /// (fsync).
    ///
    /// With never, the operating system decides: nothing is lost when the server crashes or is
    /// killed, and up to half a minute when the machine loses power. With always, nothing is lost
    /// then either: clients are notified of each step of a call once it is on the disk, which takes
    /// some milliseconds on a good disk. Set always if no record may be lost.
    #[arg(long, env = "CALLBOX_DISK_SYNC", value_name = "WHEN", default_value = "never")]
    pub disk_sync: DiskSync,

    /// Send each step of a call to this address, as an HTTP POST of JSON.
    ///
    /// For a back end that wants to know at once who calls whom, and when a call has ended. Events
    /// are signed with --webhook-secret, come in order for each call, and wait while the receiver
    /// is down; `docs/webhooks.md` has them all. Before a call ends with `offline`, the receiver
    /// may delay that until it has woken a device. Plain HTTP is possible only to this machine.
    ///
    /// Default: none
    ///
    /// Example: `https://app.example.com/callbox`
    #[arg(long, env = "CALLBOX_WEBHOOK_URL", value_name = "URL", value_parser = https_url)]
    pub webhook_url: Option<Uri>,

    /// The secret that events are signed with; may be given more than once.
    ///
    /// With it the receiver verifies that an event is from this server. To change it, give both for
    /// a while: each event is then signed with both. `openssl rand -base64 32` makes one.
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
    /// An event takes about 700 bytes, a call five of them or more. Past it the waiting events of
    /// the oldest calls are dropped and counted. Raise it if the events of many calls must outlast
    /// a long outage of the receiver.
    #[arg(long, env = "CALLBOX_WEBHOOK_QUEUE", value_name = "BYTES",
          default_value_t = Size(webhook::QUEUE_BYTES))]
    pub webhook_queue: Size,
}

impl ReportOptions {
    /// Returns true if reports have a receiver.
    pub fn is_wanted(&self) -> bool {
        self.call_records.is_some() || self.webhook_url.is_some()
    }

    /// Returns the settings of reports.
    ///
    /// # Errors
    /// [`ConfigError`] if a secret cannot be read, or there is a secret without a webhook or a
    /// webhook without a secret.
    pub fn config(&self, client: &Client) -> Result<reports::Config, ConfigError> {
        let target = |path: &PathBuf| match path.as_os_str() == "-" {
            true => Target::Stdout,
            false => Target::File(path.clone()),
        };
        let records = self.call_records.as_ref().map(target);
        let sync = self.disk_sync.into();
        Ok(reports::Config { records, sync, webhook: self.webhook(client)? })
    }

    fn webhook(&self, client: &Client) -> Result<Option<webhook::Config>, ConfigError> {
        let lone =
            |option, reason: &str| Err(ConfigError::Option { option, reason: reason.to_owned() });
        let Some(url) = self.webhook_url.clone() else {
            let reason = "it needs --webhook-url, too: without it nothing is signed";
            return match self {
                _ if !self.webhook_secret.is_empty() => lone("webhook-secret", reason),
                _ if !self.webhook_secret_file.is_empty() => lone("webhook-secret-file", reason),
                _ => Ok(None),
            };
        };
        let secrets =
            with_files(&self.webhook_secret, "webhook-secret-file", &self.webhook_secret_file)?;
        if secrets.is_empty() {
            let reason = "it needs --webhook-secret or --webhook-secret-file, too, so that the \
                          receiver knows whom an event is from; make a secret with: openssl rand \
                          -base64 32";
            return lone("webhook-url", reason);
        }
        let keys = WebhookKeys::new(&secrets);
        Ok(Some(webhook::Config {
            url,
            client: client.clone(),
            keys,
            queue_bytes: self.webhook_queue.0,
        }))
    }
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
