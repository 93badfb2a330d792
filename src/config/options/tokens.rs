//! The options for access to the REST API. Those for access to signaling are in `callbox-cli`,
//! since other commands mint tokens by them.

use std::path::PathBuf;

use callbox_base::auth::Secret;
use callbox_cli::{secrets::with_files, values::secret};
use clap::Args;

use crate::config::ConfigError;

/// The access to the REST API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens")]
pub struct ApiOptions {
    /// A key for the operators' part of the REST API, for your back end; may be given more than
    /// once.
    ///
    /// It permits viewing and ending calls and sessions, and making a token for any user.
    ///
    /// `openssl rand -base64 32` makes one.
    ///
    /// Default: none, and these pages are disabled; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_API_KEY", value_name = "KEY", hide_env_values = true,
          value_parser = secret)]
    pub api_key: Vec<Secret>,

    /// A file with such a key in its first line; may be given more than once.
    ///
    /// Prefer it or the environment to the flag: other users of the machine can see a command line.
    ///
    /// Example: `/run/secrets/callbox-api-key`
    #[arg(long, env = "CALLBOX_API_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub api_key_file: Vec<PathBuf>,
}

impl ApiOptions {
    /// Returns true if there is a key, or a file that should contain one.
    pub fn have_key(&self) -> bool {
        !self.api_key.is_empty() || !self.api_key_file.is_empty()
    }

    /// Returns the keys of the REST API; none closes it.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, or contains no key.
    pub fn keys(&self, dev: bool) -> Result<Vec<Secret>, ConfigError> {
        match !self.have_key() && dev {
            true => Ok(vec![Secret::generate()]),
            false => Ok(with_files(&self.api_key, "api-key-file", &self.api_key_file)?),
        }
    }
}
