//! The log lines about refused credentials, by which an operator finds out why a user is not
//! admitted, and fail2ban which address tries too often. `docs/logs.md` specifies their format.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use callbox_base::{ids::UserId, throttle::Throttle};
use callbox_signaling::jwt::{RefusedToken, TokenError};

use super::arrival::Remote;

/// Writes the lines, with limits for each address and for all together.
#[derive(Debug, Default)]
pub(super) struct RefusedLog(Mutex<Throttle>);

impl RefusedLog {
    /// Logs that a user's token was refused. An expired one is expected, and no sign of an attack.
    pub(super) fn token(&self, remote: Remote, refused: &RefusedToken) {
        let Some(suppressed) = self.admit(remote) else { return };
        let address = remote.0.ip().to_canonical();
        let user = refused.user.as_ref().map(UserId::as_str);
        let reason = refused.error.reason();
        match refused.error {
            TokenError::Expired => {
                tracing::info!(%address, user, reason, suppressed, "token refused");
            }
            TokenError::UnknownKey | TokenError::Invalid(_) => {
                tracing::warn!(%address, user, reason, suppressed, "token refused");
            }
        }
    }

    /// Logs that a key of the REST API was refused.
    pub(super) fn api_key(&self, remote: Remote) {
        let Some(suppressed) = self.admit(remote) else { return };
        let address = remote.0.ip().to_canonical();
        let reason = "it is none of --api-key";
        tracing::warn!(%address, reason, suppressed, "API key refused");
    }

    /// Returns `Some` if a log line is due, with the number of lines left out since the last one,
    /// if any.
    fn admit(&self, remote: Remote) -> Option<Option<u64>> {
        let mut throttle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let suppressed = throttle.admit(remote.0.ip(), Instant::now())?;
        Some((suppressed > 0).then_some(suppressed))
    }
}
