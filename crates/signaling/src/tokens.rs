//! The tokens of sessions: whose is about to expire is told, and may bring another one; and what they
//! allow.

use std::time::Duration;

use callbox_base::{
    clock::Now,
    ids::{SessionId, UserId},
};

use super::{
    CloseReason, Hub, Timestamp, config::TOKEN_LEEWAY, events::AuthExpiringEvent, kicks::TokenMark,
    timer::Timer,
};
use crate::jwt::Identity;

/// The furthest ahead a token is looked for. It may be good for longer, up to numbers that no clock
/// can count to; then it is looked at again.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

impl Hub {
    /// When whoever brings a token now is told that it expires soon. Half of the time that it has left
    /// is for other things, so that clients whose tokens live shorter than the warning is long do not
    /// bring one after the other.
    pub(super) fn warn_at(&self, now: Now, expires: u64) -> Option<Duration> {
        let expires = Duration::from_secs(expires);
        let warning = self.config.token_warning.min(expires.saturating_sub(now.unix) / 2);
        (!self.config.token_warning.is_zero()).then(|| expires.saturating_sub(warning))
    }

    /// A session has this token from now on.
    pub(super) fn replace_token(&mut self, now: Now, id: SessionId, identity: Identity) {
        let warn_at = self.warn_at(now, identity.expires);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // Who brings the same one again is told as if it had not.
        if session.expires != identity.expires {
            session.warn_at = warn_at;
        }
        session.expires = identity.expires;
        session.token = TokenMark::of(&identity);
        session.name = identity.name;
        session.grants = identity.grants;
        let (user, token) = (session.user.clone(), session.token);
        self.users.watches.restrict(id, &session.grants);
        // It may say another `maxCalls`.
        self.users.watches.touch(&user);
        self.timers.clear(session.token_check, Timer::Token(id));
        self.readmit(now, &user, token);
        self.check_token(now, id);
        self.refuse_blocked(now, &user);
    }

    /// Looks at a session's token: closes the session if its time is over, says so if that is near,
    /// and looks again at the next such moment.
    pub(super) fn check_token(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if expired(now, session.expires) {
            return self.close(now, id, CloseReason::TokenExpired);
        }
        let expires = Duration::from_secs(session.expires);
        if session.warn_at.is_some_and(|at| now.unix >= at) {
            session.warn_at = None;
            self.outbox.send(id, &AuthExpiringEvent { expires_at: Timestamp(expires) });
        }
        let next = session.warn_at.unwrap_or(expires.saturating_add(TOKEN_LEEWAY));
        // The clock may have been set back since: then this is not the last look.
        session.token_check = now.instant + next.saturating_sub(now.unix).min(LONGEST_WAIT);
        self.timers.set(session.token_check, Timer::Token(id));
    }

    /// In how many live calls a user may be: the least that is set, here and in the tokens of the
    /// user's sessions.
    pub(super) fn max_calls(&self, user: &UserId) -> usize {
        let sessions = self.users.get(user).into_iter().flat_map(|entry| entry.devices.values());
        let tokens = sessions.filter_map(|id| self.sessions.get(id)?.grants.max_calls);
        let least = tokens.min().and_then(|max| usize::try_from(max).ok());
        least.map_or(self.config.max_calls_per_user, |max| max.min(self.config.max_calls_per_user))
    }
}

/// Whether a token that expires at this second is no good any more.
pub(super) fn expired(now: Now, expires: u64) -> bool {
    now.unix >= Duration::from_secs(expires).saturating_add(TOKEN_LEEWAY)
}
