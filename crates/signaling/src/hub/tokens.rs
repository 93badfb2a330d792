//! The tokens of sessions: expiry, warnings and replacement.

use std::time::Duration;

use callbox_base::{clock::Now, ids::SessionId};

use super::{Hub, blocking, credentials, session_close};
use crate::{
    CloseReason, Timestamp, config::TOKEN_LEEWAY, events::AuthExpiringEvent, jwt::Identity,
    kicks::TokenMark, timer::Timer,
};

/// The furthest ahead a token is looked for. It may be good for longer, up to numbers that no clock
/// can count to; then it is looked at again.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Returns the time at which a client that brings a token now is warned that it expires. The warning comes
/// no earlier than half of the remaining lifetime, so that clients with short-lived tokens do not renew
/// them in a loop.
pub(super) fn warn_at(hub: &Hub, now: Now, expires: u64) -> Option<Duration> {
    let expires = Duration::from_secs(expires);
    let warning = hub.config.token_warning.min(expires.saturating_sub(now.unix) / 2);
    (!hub.config.token_warning.is_zero()).then(|| expires.saturating_sub(warning))
}

/// Replaces the token of a session.
pub(super) fn replace(hub: &mut Hub, now: Now, id: SessionId, identity: Identity) {
    let warn_at = warn_at(hub, now, identity.expires);
    let Some(session) = hub.sessions.get_mut(&id) else { return };
    // Who brings the same one again is told as if it had not.
    if session.expires != identity.expires {
        session.warn_at = warn_at;
    }
    session.expires = identity.expires;
    session.token = TokenMark::of(&identity);
    session.name = identity.name;
    session.grants = identity.grants;
    let (user, token) = (session.user.clone(), session.token);
    hub.users.watches.restrict(id, &session.grants);
    // It may say another `maxCalls`.
    hub.users.watches.touch(&user);
    hub.timers.clear(session.token_check, Timer::Token(id));
    credentials::readmit(hub, now, &user, token);
    check(hub, now, id);
    blocking::refuse_blocked(hub, now, &user);
}

/// Checks a session's token: closes the session if it has expired, warns if that is near, and
/// schedules the next check.
pub(super) fn check(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(session) = hub.sessions.get_mut(&id) else { return };
    if expired(now, session.expires) {
        return session_close::close(hub, now, id, CloseReason::TokenExpired);
    }
    let expires = Duration::from_secs(session.expires);
    if session.warn_at.is_some_and(|at| now.unix >= at) {
        session.warn_at = None;
        hub.outbox.send(id, &AuthExpiringEvent { expires_at: Timestamp(expires) });
    }
    let next = session.warn_at.unwrap_or(expires.saturating_add(TOKEN_LEEWAY));
    // The clock may have been set back since: then this is not the last look.
    session.token_check = now.instant + next.saturating_sub(now.unix).min(LONGEST_WAIT);
    hub.timers.set(session.token_check, Timer::Token(id));
}

/// Returns true if a token that expires at this second has expired, the leeway included.
pub(super) fn expired(now: Now, expires: u64) -> bool {
    now.unix >= Duration::from_secs(expires).saturating_add(TOKEN_LEEWAY)
}
