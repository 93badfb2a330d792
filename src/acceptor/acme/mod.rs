//! Certificates by ACME (RFC 8555): ordered, stored and renewed automatically.
//!
//! The CA validates a name by the challenge tls-alpn-01 (RFC 8737): it connects to port 443 of the
//! name and is shown a certificate that only the owner of the account can make. So no other port
//! and no other program is needed.
//!
//! | file | contents |
//! |---|---|
//! | `task` | the times of orders and of retries |
//! | `order`, `account` | one order, from the account to the certificate |
//! | `error` | the reasons why an order fails |
//! | `challenge` | the answers to the CA's challenges |
//! | `https` | the HTTP client for the CA |
//! | `state` | the names of the stored files |

mod account;
mod challenge;
mod error;
mod https;
mod order;
mod state;
mod task;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use instant_acme::Account;
use rustls::{ServerConfig, server::ClientHello};
use tokio::sync::Notify;

use self::{
    challenge::{Challenges, OpenChallenge},
    error::OrderError,
    https::Https,
};
use super::{certificate_error::CertificateError, current::Current, pair::Pair};
use crate::{https::Client, state_dir::StateDir};

/// The directory of Let's Encrypt (RFC 8555 §7.1.1).
pub const PRODUCTION: &str = instant_acme::LetsEncrypt::Production.url();

/// The directory of its test system, whose certificates are not trusted and whose limits are wide.
pub const STAGING: &str = instant_acme::LetsEncrypt::Staging.url();

/// The default for the pause before a failed order is tried again. With the pauses that follow, a
/// name is tried four times in the first hour; Let's Encrypt allows five.
pub const RETRY: Duration = Duration::from_secs(60);

/// The settings of certificate orders.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The names that the certificate is for, in lower case. Clients are told the first.
    pub domains: Vec<String>,
    /// The contact address for the CA.
    pub email: Option<String>,
    /// The URL of the CA's directory.
    pub directory: String,
    /// The client for the CA.
    pub https: Client,
    /// The directory in which the account and the certificate are stored.
    pub state_dir: PathBuf,
    /// The pause before a failed order is tried again for the first time.
    pub retry: Duration,
}

/// A certificate that is ordered, stored and renewed.
#[derive(Debug)]
pub(super) struct Acme {
    settings: Settings,
    challenges: Challenges,
    https: Https,
    state: StateDir,
    /// Ends the pause before the next try.
    hurry: Notify,
}

impl Acme {
    /// Loads the stored certificate, or makes one to show until one is issued.
    ///
    /// # Errors
    /// [`CertificateError`] if nothing could be stored.
    pub(super) fn open(settings: Settings) -> Result<(Self, Pair), CertificateError> {
        let https = Https::new(settings.https.clone());
        let directory = state::directory_of(&settings.state_dir, &settings.directory);
        let state = StateDir::open(directory).map_err(|source| CertificateError::State {
            path: settings.state_dir.clone(),
            source,
        })?;
        let (challenges, hurry) = (Challenges::default(), Notify::new());
        let acme = Self { settings, challenges, https, state, hurry };
        let pair = match acme.stored_certificate() {
            Ok(Some(pair)) => {
                let until = pair.validity.map(|validity| date(validity.until));
                tracing::info!(until, "the certificate that was kept is shown");
                return Ok((acme, pair));
            }
            Ok(None) => Pair::make(acme.settings.domains.clone())?,
            Err(reason) => {
                let path = acme.state.path(state::CERTIFICATE);
                tracing::warn!("{} is not used: {reason}", path.display());
                Pair::make(acme.settings.domains.clone())?
            }
        };
        tracing::warn!(
            "there is no certificate yet: a self-signed one is shown, which clients refuse, until \
             the CA has issued one"
        );
        Ok((acme, pair))
    }

    /// Orders and renews the certificate, until dropped.
    pub(super) async fn keep_up(&self, current: &Current) {
        task::run(self, current).await;
    }

    /// Ends the pause before an order that waits to be tried again.
    pub(super) fn hurry(&self) {
        tracing::info!("an order that waits to be tried again is tried now");
        self.hurry.notify_waiters();
    }

    /// Returns the TLS settings for a connection of the CA that asks for an open challenge.
    pub(super) fn answer_challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.challenges.answer(hello)
    }

    /// Completes when the pause before the next try is to end early.
    async fn hurried(&self) {
        self.hurry.notified().await;
    }

    fn domains(&self) -> &[String] {
        &self.settings.domains
    }

    /// Returns the URL of the CA's directory.
    fn directory(&self) -> &str {
        &self.settings.directory
    }

    /// Returns the pause before a failed order is tried again for the first time.
    fn retry(&self) -> Duration {
        self.settings.retry
    }

    /// Returns the time before which the CA wants no further request, if the last refusal said so.
    fn take_not_before(&self) -> Option<SystemTime> {
        self.https.take_not_before()
    }

    /// Returns the stored account, or creates one.
    ///
    /// # Errors
    /// [`OrderError`]
    async fn account(&self) -> Result<Account, OrderError> {
        account::get(&self.settings, &self.https, &self.state).await
    }

    /// Removes the stored account, which the CA does not know.
    ///
    /// # Errors
    /// [`OrderError::Keep`]
    fn remove_account(&self) -> Result<(), OrderError> {
        account::remove(&self.state)
    }

    /// Answers the challenge for a name for as long as the result lives.
    ///
    /// # Errors
    /// [`OrderError::Challenge`]
    fn open_challenge(&self, domain: &str, digest: &[u8]) -> Result<OpenChallenge, OrderError> {
        Ok(self.challenges.open(domain, digest)?)
    }

    /// Stores an issued certificate with its key.
    ///
    /// # Errors
    /// [`OrderError::Unusable`] or [`OrderError::Keep`]; the stored one remains.
    fn store_certificate(&self, pem: &[u8]) -> Result<Pair, OrderError> {
        let pair = self.usable(pem).map_err(OrderError::Unusable)?;
        self.state.write(state::CERTIFICATE, pem).map_err(OrderError::Keep)?;
        Ok(pair)
    }

    /// Returns the stored certificate, if it can be used now. The error is the reason why not.
    fn stored_certificate(&self) -> Result<Option<Pair>, String> {
        match self.state.read(state::CERTIFICATE) {
            Ok(Some(pem)) => self.usable(&pem).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Parses a certificate with its key. The error is the reason why it cannot be used now.
    fn usable(&self, pem: &[u8]) -> Result<Pair, String> {
        let pair = Pair::from_pem(pem)?;
        let validity = pair.validity.ok_or("the certificate has no readable validity")?;
        let (from, until) = (date(validity.from), date(validity.until));
        if !validity.holds(SystemTime::now()) {
            return Err(format!("the certificate is valid from {from} until {until}"));
        }
        if !pair.is_for(&self.settings.domains) {
            let (names, wanted) = (pair.names().join(", "), self.settings.domains.join(", "));
            return Err(format!("the certificate is for {names}, not for {wanted}"));
        }
        Ok(pair)
    }
}

/// Formats a time for the log.
fn date(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}
