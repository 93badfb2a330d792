//! Creation of the reports' settings from the options.

use std::path::PathBuf;

use callbox_cli::secrets::with_files;

use super::{ConfigError, ReportOptions};
use crate::{
    https::Client,
    reports::{
        Config, Target,
        webhook::{self, WebhookKeys},
    },
};

impl ReportOptions {
    /// Returns true if reports have a receiver.
    pub(super) fn is_wanted(&self) -> bool {
        self.call_records.is_some() || self.webhook_url.is_some()
    }

    /// Returns the settings of reports.
    ///
    /// # Errors
    /// [`ConfigError`] if a secret cannot be read, or there is a secret without a webhook or a
    /// webhook without a secret.
    pub(super) fn config(&self, client: &Client) -> Result<Config, ConfigError> {
        let target = |path: &PathBuf| match path.as_os_str() == "-" {
            true => Target::Stdout,
            false => Target::File(path.clone()),
        };
        let records = self.call_records.as_ref().map(target);
        let sync = self.disk_sync.into();
        Ok(Config { records, sync, webhook: self.webhook(client)? })
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
