//! The options of a server in a test, from one start to the next.

use std::net::SocketAddr;

use callbox_base::auth::Secret;

use super::StartError;
use crate::{
    config::{Config, Options},
    server::Listening,
};

/// The options of a server, with its secrets.
pub(super) struct Setup {
    options: Options,
}

impl Setup {
    /// Generates the secrets that `--dev` leaves to be generated, so that each start has the same.
    pub(super) fn new(mut options: Options) -> Self {
        if options.source.dev {
            if !options.credentials.have_secret() {
                options.credentials.auth_secret.push(Secret::generate());
            }
            if !options.tokens.have_secret() {
                options.tokens.jwt_secret.push(Secret::generate());
            }
            if !options.api.have_key() {
                options.api.api_key.push(Secret::generate());
            }
        }
        Self { options }
    }

    /// Replaces ports that the system chooses by those that it has chosen.
    pub(super) fn keep_addresses(&mut self, chosen: &Listening) {
        let is_chosen = |address: &SocketAddr| address.port() == 0;
        if self.options.addresses.http.as_ref().is_some_and(is_chosen) {
            self.options.addresses.http = Some(chosen.http);
        }
        if self.options.addresses.listen.iter().any(is_chosen) {
            self.options.addresses.listen.clone_from(&chosen.listen);
        }
        if self.options.tls.tls_listen.iter().any(is_chosen) {
            self.options.tls.tls_listen.clone_from(&chosen.tls_listen);
        }
    }

    /// Makes the configuration, and logs its warnings.
    ///
    /// # Errors
    /// [`StartError::Config`] if options contradict each other, or a file cannot be read.
    pub(super) fn config(&self) -> Result<Config, StartError> {
        let config = Config::new(self.options.clone())?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }
}
