//! The lines of the log about credentials that were refused, by which an operator sees why somebody does
//! not come in, and fail2ban who tries too often. `docs/logs.md` promises how they look.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use callbox_base::{ids::UserId, throttle::Throttle};
use callbox_signaling::jwt::{RefusedToken, TokenError};

use super::entry::Remote;

/// Writes the lines, as many as one address and all together may cause.
#[derive(Debug, Default)]
pub(super) struct RefusedLog(Mutex<Throttle>);

impl RefusedLog {
    /// A user's token was refused. That one has expired is a matter of course, and no attack.
    pub fn token(&self, remote: Remote, refused: &RefusedToken) {
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

    /// A key of the REST API was refused.
    pub fn api_key(&self, remote: Remote) {
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
