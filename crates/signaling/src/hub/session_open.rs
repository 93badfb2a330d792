//! Opening and resuming sessions.

use callbox_base::{
    clock::Now,
    ids::{DeviceId, SessionId, UserId},
};

use super::{Hub, blocking, credentials, rejoin, session_close, tokens};
use crate::{
    CloseReason, JsonText, Output, Resume, SessionWelcome,
    jwt::Identity,
    session_token::{SessionToken, has_expired},
    sessions::Session,
};

/// Opens a session for a connection whose client has proved its identity, or resumes an earlier
/// one.
pub(super) fn open(
    hub: &mut Hub,
    now: Now,
    connection: SessionId,
    identity: Identity,
    device: Option<DeviceId>,
    resume: Resume,
) {
    // Session ids are never used twice; a driver that does so loses the second `Open`.
    if hub.sessions.contains(connection) {
        return;
    }
    if hub.stopping {
        return session_close::send_close(hub, connection, CloseReason::ServerShutdown);
    }
    if has_expired(now, identity.expires) {
        return session_close::send_close(hub, connection, CloseReason::TokenExpired);
    }
    if let Resume::From { session, seq } = resume
        && can_resume(hub, session, &identity, device.as_ref(), seq)
    {
        return resume_session(hub, now, connection, session, seq, identity);
    }
    let user = identity.user.clone();
    let mark = if let Resume::Like(mark) = resume { Some(mark) } else { None };
    let device = device.or_else(|| hub.users.recognize(&user, mark?, now.instant).cloned());
    let device = device.unwrap_or_else(|| own_device(connection));
    let older = hub.users.session_on(&user, &device);
    if older.is_none() && !evict_away_sessions(hub, now, &user) {
        return session_close::send_close(hub, connection, CloseReason::TooManyConnections);
    }

    hub.users.attach(&user, &device, connection);
    // Only now, so that the user's entry stays.
    if let Some(older) = older {
        let was_here = hub.sessions.is_here(older);
        session_close::forget(hub, older);
        if was_here {
            session_close::send_close(hub, older, CloseReason::Replaced);
        }
    }
    let token = SessionToken::new(now, identity, hub.config.token_warning);
    let mark_of_token = token.mark();
    let session = Session::new(user.clone(), device.clone(), mark, token);
    hub.sessions.insert(connection, session);
    hub.outbox.open(connection, !matches!(resume, Resume::Never | Resume::Like(_)));
    hub.counters.sessions_opened += 1;
    credentials::readmit(hub, now, &user, mark_of_token);
    welcome(hub, now, connection, false);
    blocking::refuse_blocked(hub, now, &user);
    for call in hub.users.calls(&user).to_vec() {
        rejoin::enter(hub, now, call, connection, &user, &device);
    }
    tokens::check(hub, now, connection);
}

/// Sends a session its first message.
fn welcome(hub: &mut Hub, now: Now, id: SessionId, resumed: bool) {
    let Some(session) = hub.sessions.get(id) else { return };
    let ice = credentials::mint_for_session(hub, now, id, None);
    let welcome = SessionWelcome {
        session_id: id,
        user_id: session.user().clone(),
        device_id: session.device().clone(),
        resumed,
        ice_servers: ice.ice_servers,
        ice_transport_policy: ice.ice_transport_policy,
        turn_credentials: ice.turn_credentials,
    };
    hub.outbox.push(Output::Welcome { session: id, data: JsonText::of(&welcome) });
}

/// Returns true if a client may resume a session: it is the client's own, and every event that the
/// client misses is still kept.
fn can_resume(
    hub: &Hub,
    id: SessionId,
    identity: &Identity,
    device: Option<&DeviceId>,
    seq: u64,
) -> bool {
    hub.sessions.get(id).is_some_and(|session| {
        *session.user() == identity.user
            && device.is_none_or(|device| session.device() == device)
            && hub.outbox.can_resume(id, seq)
    })
}

/// Resumes a session over a new connection.
fn resume_session(
    hub: &mut Hub,
    now: Now,
    connection: SessionId,
    id: SessionId,
    seq: u64,
    identity: Identity,
) {
    hub.sessions.mark_here(id, &mut hub.timers);
    let Some(session) = hub.sessions.get_mut(id) else { return };
    // The rights of its new token hold for the welcome already.
    session.token_mut().adopt_rights(&identity);
    let (user, token) = (session.user().clone(), session.token().mark());
    hub.counters.sessions_resumed += 1;
    credentials::readmit(hub, now, &user, token);
    hub.outbox.push(Output::Resumed { connection, session: id });
    welcome(hub, now, id, true);
    hub.outbox.resume(id, seq);
    for call in hub.users.calls(&user).to_vec() {
        rejoin::resume(hub, now, call, id);
    }
    // The new token may expire later.
    tokens::replace(hub, now, id, identity);
}

/// Returns true if one more device of a user may connect. Ends a session without a connection for
/// it if need be.
fn evict_away_sessions(hub: &mut Hub, now: Now, user: &UserId) -> bool {
    if hub.users.sessions(user).count() >= hub.config.max_sessions_per_user {
        let oldest = hub.sessions.oldest_away_of(hub.users.sessions(user));
        let Some(oldest) = oldest else { return false };
        session_close::end(hub, now, oldest);
    }
    if hub.sessions.len() >= hub.config.max_sessions {
        let Some(oldest) = hub.sessions.oldest_away() else { return false };
        session_close::end(hub, now, oldest);
    }
    true
}

/// Makes the device of a client that names none, from the id of its connection.
fn own_device(connection: SessionId) -> DeviceId {
    DeviceId::new(&connection.to_string()).expect("a session id is 26 letters and digits")
}
