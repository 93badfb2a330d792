//! The sender of a request who has proved who it is.

use std::{sync::Arc, time::Duration};

use callbox_base::{clock::Now, ids::CallId};

use super::LongTermKey;

/// The user of everybody who is authenticated by an access token. The name on the wire is the
/// key's, which changes in mid-allocation when the authorization server takes a new one (RFC 7635
/// §4); and no other user has a name like this.
pub(super) const BY_TOKEN: &str = "\0access token";

/// The sender of a request, with credentials that were found to be right.
#[derive(Debug, Clone)]
pub struct TurnIdentity {
    /// The USERNAME, or the name that the USERHASH stands for. An allocation is bound to it (RFC
    /// 8656 §5).
    pub username: Arc<str>,
    /// The user against whose quota it counts.
    pub user: Arc<str>,
    /// The one call that the credentials are for, if they are for one.
    pub call: Option<CallId>,
    /// The time, in seconds since 1970, after which the credentials open nothing; `None` for static
    /// users, whose credentials do not expire.
    pub expires: Option<u64>,
    /// The key that answers are signed with.
    pub key: LongTermKey,
}

impl TurnIdentity {
    /// Returns true if the credentials have expired.
    pub fn is_expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|expires| now.unix_secs() > expires)
    }

    /// Returns the longest time for which an allocation of these credentials may live, if they
    /// bound that: nothing outlives an access token (RFC 7635 §9). In the token's last second that
    /// is one second.
    pub fn time_left(&self, now: Now) -> Option<Duration> {
        let expires = self.expires.filter(|_| &*self.username == BY_TOKEN)?;
        Some(Duration::from_secs(expires.saturating_sub(now.unix_secs()).max(1)))
    }
}
