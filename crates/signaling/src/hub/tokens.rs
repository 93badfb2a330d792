//! The tokens of sessions: replacement, warnings and expiry.

use callbox_base::{clock::Now, ids::SessionId};

use super::{Hub, blocking, credentials, session_close};
use crate::{CloseReason, events::AuthExpiringEvent, jwt::Identity};

/// Replaces the token of a session.
pub(super) fn replace(hub: &mut Hub, now: Now, id: SessionId, identity: Identity) {
    let Some(session) = hub.sessions.get_mut(id) else { return };
    session.token_mut().replace(now, identity, hub.config.token_warning);
    let (user, token) = (session.user().clone(), session.token().mark());
    hub.users.restrict_watches(id, session.token().grants());
    // The token may set another `maxCalls`.
    hub.users.touch(&user);
    credentials::readmit(hub, now, &user, token);
    check(hub, now, id);
    blocking::refuse_blocked(hub, now, &user);
}

/// Checks a session's token: closes the session if it has expired, warns if that is near, and
/// schedules the next check.
pub(super) fn check(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(session) = hub.sessions.get_mut(id) else { return };
    if session.token().has_expired(now) {
        return session_close::close(hub, now, id, CloseReason::TokenExpired);
    }
    if let Some(expires_at) = session.token_mut().take_warning(now) {
        hub.outbox.send(id, &AuthExpiringEvent { expires_at });
    }
    hub.sessions.schedule_token_check(now, id, &mut hub.timers);
}
