//! The token of a session: its rights, its expiry and the warning before that.

use std::time::{Duration, Instant};

use callbox_base::clock::Now;

use super::{Timestamp, config::TOKEN_LEEWAY, kicks::TokenMark};
use crate::jwt::{Grants, Identity};

/// The longest time until a token is checked again. It may be valid for longer, up to numbers that
/// no clock can count to.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The token that a session has now.
#[derive(Debug)]
pub(super) struct SessionToken {
    name: Option<String>,
    grants: Grants,
    mark: TokenMark,
    /// The expiry, in seconds since 1970.
    expires: u64,
    /// The time of the warning that it expires, counted from 1970; `None` once the client was
    /// warned.
    warn_at: Option<Duration>,
}

impl SessionToken {
    /// Makes the token of a session from what its verification said. `warning` is the time before
    /// its expiry at which the client is warned.
    pub(crate) fn new(now: Now, identity: Identity, warning: Duration) -> Self {
        Self {
            mark: TokenMark::of(&identity),
            warn_at: warn_at(now, identity.expires, warning),
            expires: identity.expires,
            name: identity.name,
            grants: identity.grants,
        }
    }

    /// Replaces the token. One with the same expiry keeps the warning before, or its absence.
    pub(crate) fn replace(&mut self, now: Now, identity: Identity, warning: Duration) {
        let (expires, warn_at) = (self.expires, self.warn_at);
        *self = Self::new(now, identity, warning);
        if self.expires == expires {
            self.warn_at = warn_at;
        }
    }

    /// Takes the rights of a token that will replace this one.
    pub(crate) fn adopt_rights(&mut self, identity: &Identity) {
        self.grants.clone_from(&identity.grants);
        self.mark = TokenMark::of(identity);
    }

    /// Returns the display name, if the token has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(crate) fn mark(&self) -> TokenMark {
        self.mark
    }

    pub(crate) fn has_expired(&self, now: Now) -> bool {
        has_expired(now, self.expires)
    }

    /// Returns the expiry if the client is to be warned of it now. It is warned once.
    pub(crate) fn take_warning(&mut self, now: Now) -> Option<Timestamp> {
        self.warn_at.take_if(|at| now.unix >= *at)?;
        Some(Timestamp(Duration::from_secs(self.expires)))
    }

    /// Returns the time of the next check. The clock may be set back until then, so that it need
    /// not be the last one.
    pub(crate) fn next_check(&self, now: Now) -> Instant {
        let over = || Duration::from_secs(self.expires).saturating_add(TOKEN_LEEWAY);
        let next = self.warn_at.unwrap_or_else(over);
        now.instant + next.saturating_sub(now.unix).min(LONGEST_WAIT)
    }
}

/// Returns the time at which a client that brings a token now is warned that it expires. The
/// warning comes no earlier than half of the remaining lifetime, so that clients with short-lived
/// tokens do not renew them in a loop.
fn warn_at(now: Now, expires: u64, warning: Duration) -> Option<Duration> {
    let expires = Duration::from_secs(expires);
    let ahead = warning.min(expires.saturating_sub(now.unix) / 2);
    (!warning.is_zero()).then(|| expires.saturating_sub(ahead))
}

/// Returns true if a token that expires at this second has expired, the leeway included.
pub(super) fn has_expired(now: Now, expires: u64) -> bool {
    now.unix >= Duration::from_secs(expires).saturating_add(TOKEN_LEEWAY)
}
