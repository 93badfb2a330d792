//! Opening and resuming sessions.

use std::collections::BTreeSet;

use callbox_base::{
    clock::Now,
    ids::{DeviceId, SessionId, UserId},
};

use super::{Hub, blocking, credentials, rejoin, session_close, tokens, views};
use crate::{
    ClientMark, CloseReason, JsonText, Output, Resume, SessionWelcome, jwt::Identity,
    kicks::TokenMark, rate::EventLimit, tables::Session, timer::Timer,
};

/// Opens a session for a connection whose client has proved its identity, or resumes an earlier one.
pub(super) fn open(
    hub: &mut Hub,
    now: Now,
    connection: SessionId,
    identity: Identity,
    device: Option<DeviceId>,
    resume: Resume,
) {
    // Session ids are never used twice; a shell that does loses the second one's Open.
    if hub.sessions.contains_key(&connection) {
        return;
    }
    if hub.stopping {
        return session_close::send_close(hub, connection, CloseReason::ServerShutdown);
    }
    if tokens::expired(now, identity.expires) {
        return session_close::send_close(hub, connection, CloseReason::TokenExpired);
    }
    if let Resume::From { session, seq } = resume
        && can_resume(hub, session, &identity, device.as_ref(), seq)
    {
        return resume_session(hub, now, connection, session, seq, identity);
    }
    let token = TokenMark::of(&identity);
    let user = identity.user;
    let mark = if let Resume::Like(mark) = resume { Some(mark) } else { None };
    let device = device.or_else(|| recognize_device(hub, now, &user, mark?));
    let device = device.unwrap_or_else(|| own_device(connection));
    let older = hub.users.get(&user).and_then(|entry| entry.devices.get(&device)).copied();
    if older.is_none() && !make_room(hub, now, &user) {
        return session_close::send_close(hub, connection, CloseReason::TooManyConnections);
    }

    hub.users.update(&user, |entry| {
        entry.devices.insert(device.clone(), connection);
        entry.lost.remove(&device);
    });
    // Only now, so that what is known of the user stays.
    if let Some(older) = older {
        let was_here = views::is_here(hub, older);
        session_close::forget(hub, older);
        if was_here {
            session_close::send_close(hub, older, CloseReason::Replaced);
        }
    }
    let entry = Session {
        user: user.clone(),
        name: identity.name,
        grants: identity.grants,
        token,
        device: device.clone(),
        mark,
        expires: identity.expires,
        warn_at: tokens::warn_at(hub, now, identity.expires),
        token_check: now.instant,
        events: EventLimit::default(),
        blocked: BTreeSet::new(),
        away_until: None,
    };
    hub.sessions.insert(connection, entry);
    hub.outbox.open(connection, !matches!(resume, Resume::Never | Resume::Like(_)));
    hub.counters.sessions_opened += 1;
    credentials::readmit(hub, now, &user, token);
    welcome(hub, now, connection, false);
    blocking::refuse_blocked(hub, now, &user);
    for call in hub.users.calls(&user) {
        rejoin::enter(hub, now, call, connection, &user, &device);
    }
    tokens::check(hub, now, connection);
}

/// Sends a session its first message.
fn welcome(hub: &mut Hub, now: Now, id: SessionId, resumed: bool) {
    let Some(session) = hub.sessions.get(&id) else { return };
    let ice = credentials::mint_for_session(hub, now, id, None);
    let welcome = SessionWelcome {
        session_id: id,
        user_id: session.user.clone(),
        device_id: session.device.clone(),
        resumed,
        ice_servers: ice.ice_servers,
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
    hub.sessions.get(&id).is_some_and(|session| {
        session.user == identity.user
            && device.is_none_or(|device| session.device == *device)
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
    let Some(session) = hub.sessions.get_mut(&id) else { return };
    if let Some(at) = session.away_until.take() {
        hub.timers.clear(at, Timer::Away(id));
        hub.away.remove(&(at, id));
    }
    // What its new token lets it do holds for the welcome already.
    session.grants.clone_from(&identity.grants);
    session.token = TokenMark::of(&identity);
    let (user, token) = (session.user.clone(), session.token);
    hub.counters.sessions_resumed += 1;
    credentials::readmit(hub, now, &user, token);
    hub.outbox.push(Output::Resumed { connection, session: id });
    welcome(hub, now, id, true);
    hub.outbox.resume(id, seq);
    for call in hub.users.calls(&user) {
        rejoin::resume(hub, now, call, id);
    }
    // It may be a fresh one.
    tokens::replace(hub, now, id, identity);
}

/// Returns true if one more device of a user may connect. Ends a session without a connection for it if
/// need be.
fn make_room(hub: &mut Hub, now: Now, user: &UserId) -> bool {
    let devices = hub.users.get(user).map_or(0, |entry| entry.devices.len());
    if devices >= hub.config.max_sessions_per_user {
        let sessions = hub.users.get(user).into_iter().flat_map(|entry| entry.devices.values());
        let away = sessions.filter_map(|id| Some((hub.sessions.get(id)?.away_until?, *id)));
        let Some((_, oldest)) = away.min() else { return false };
        session_close::end(hub, now, oldest);
    }
    if hub.sessions.len() >= hub.config.max_sessions {
        let Some((_, oldest)) = hub.away.first().copied() else { return false };
        session_close::end(hub, now, oldest);
    }
    true
}

/// Returns the device of a client that names none, if it is recognized by its mark.
pub(super) fn recognize_device(
    hub: &Hub,
    now: Now,
    user: &UserId,
    mark: ClientMark,
) -> Option<DeviceId> {
    hub.users.get(user)?.lost.only_with(mark, now.instant).cloned()
}

/// The device of a connection that names none.
fn own_device(connection: SessionId) -> DeviceId {
    DeviceId::new(&connection.to_string()).expect("a session id is 26 letters and digits")
}
