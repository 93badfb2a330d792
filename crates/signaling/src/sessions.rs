//! Connections come and go.

use std::collections::BTreeSet;

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use rand::Rng;

use super::{
    CloseReason, EndReason, Hub, JsonText, Output, Resume, SessionWelcome,
    events::ServerDrainingEvent,
    kicks::TokenMark,
    rate::{EventLimit, Verdict},
    tables::Session,
    timer::Timer,
    tokens::expired,
};
use crate::jwt::Identity;

/// The times in milliseconds over which the clients of a server that stops are spread when they come
/// back.
const FEW_RETURNS: u64 = 1000;
const MANY_RETURNS: u64 = 30_000;

impl Hub {
    /// A connection has proved who it is.
    pub(super) fn open(
        &mut self,
        now: Now,
        connection: SessionId,
        identity: Identity,
        device: Option<DeviceId>,
        resume: Resume,
    ) {
        // Session ids are never used twice; a shell that does loses the second one's Open.
        if self.sessions.contains_key(&connection) {
            return;
        }
        if self.stopping {
            return self.tell_close(connection, CloseReason::ServerShutdown);
        }
        if expired(now, identity.expires) {
            return self.tell_close(connection, CloseReason::TokenExpired);
        }
        if let Resume::From { session, seq } = resume
            && self.can_resume(session, &identity, device.as_ref(), seq)
        {
            return self.resume(now, connection, session, seq, identity);
        }
        let token = TokenMark::of(&identity);
        let user = identity.user;
        let mark = if let Resume::Like(mark) = resume { Some(mark) } else { None };
        let device = device.or_else(|| self.device_like(now, &user, mark?));
        let device = device.unwrap_or_else(|| own_device(connection));
        let older = self.users.get(&user).and_then(|entry| entry.devices.get(&device)).copied();
        if older.is_none() && !self.make_room(now, &user) {
            return self.tell_close(connection, CloseReason::TooManyConnections);
        }

        self.users.update(&user, |entry| {
            entry.devices.insert(device.clone(), connection);
            entry.lost.remove(&device);
        });
        // Only now, so that what is known of the user stays.
        if let Some(older) = older {
            let was_here = self.is_here(older);
            self.forget_session(older);
            if was_here {
                self.tell_close(older, CloseReason::Replaced);
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
            warn_at: self.warn_at(now, identity.expires),
            token_check: now.instant,
            events: EventLimit::default(),
            blocked: BTreeSet::new(),
            away_until: None,
        };
        self.sessions.insert(connection, entry);
        self.outbox.open(connection, !matches!(resume, Resume::Never | Resume::Like(_)));
        self.counters.sessions_opened += 1;
        self.readmit(now, &user, token);
        self.welcome(now, connection, false);
        self.refuse_blocked(now, &user);
        for call in self.users.calls(&user) {
            self.enter(now, call, connection, &user, &device);
        }
        self.check_token(now, connection);
    }

    fn welcome(&mut self, now: Now, id: SessionId, resumed: bool) {
        let Some(session) = self.sessions.get(&id) else { return };
        let ice = self.ice_for(now, id, None);
        let welcome = SessionWelcome {
            session_id: id,
            user_id: session.user.clone(),
            device_id: session.device.clone(),
            resumed,
            ice_servers: ice.ice_servers,
            turn_credentials: ice.turn_credentials,
        };
        self.outbox.push(Output::Welcome { session: id, data: JsonText::of(&welcome) });
    }

    /// Whether a client may go on with a session: it is its own, and all that it has not seen is
    /// still there.
    fn can_resume(
        &self,
        id: SessionId,
        identity: &Identity,
        device: Option<&DeviceId>,
        seq: u64,
    ) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            session.user == identity.user
                && device.is_none_or(|device| session.device == *device)
                && self.outbox.can_resume(id, seq)
        })
    }

    /// A client goes on with its session over a new connection.
    fn resume(
        &mut self,
        now: Now,
        connection: SessionId,
        id: SessionId,
        seq: u64,
        identity: Identity,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(at) = session.away_until.take() {
            self.timers.clear(at, Timer::Away(id));
            self.away.remove(&(at, id));
        }
        // What its new token lets it do holds for the welcome already.
        session.grants.clone_from(&identity.grants);
        session.token = TokenMark::of(&identity);
        let (user, token) = (session.user.clone(), session.token);
        self.counters.sessions_resumed += 1;
        self.readmit(now, &user, token);
        self.outbox.push(Output::Resumed { connection, session: id });
        self.welcome(now, id, true);
        self.outbox.resume(id, seq);
        for call in self.users.calls(&user) {
            self.come_back(now, call, id);
        }
        // It may be a fresh one.
        self.replace_token(now, id, identity);
    }

    /// Whether one more device of a user may connect. A session that is only waited for makes room.
    fn make_room(&mut self, now: Now, user: &UserId) -> bool {
        let devices = self.users.get(user).map_or(0, |entry| entry.devices.len());
        if devices >= self.config.max_sessions_per_user {
            let sessions =
                self.users.get(user).into_iter().flat_map(|entry| entry.devices.values());
            let away = sessions.filter_map(|id| Some((self.sessions.get(id)?.away_until?, *id)));
            let Some((_, oldest)) = away.min() else { return false };
            self.leave(now, oldest);
        }
        if self.sessions.len() >= self.config.max_sessions {
            let Some((_, oldest)) = self.away.first().copied() else { return false };
            self.leave(now, oldest);
        }
        true
    }

    /// Whether a session has a connection.
    pub(super) fn is_here(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.away_until.is_none())
    }

    /// The client has all events up to this number. It counts like an event of its own.
    pub(super) fn acknowledge(&mut self, now: Now, id: SessionId, seq: u64) {
        let (per_second, burst) = (self.config.events_per_second, self.config.event_burst);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.events.take(now.instant, per_second, burst) {
            Verdict::Pass => self.outbox.acknowledge(id, seq),
            // The next one says this as well.
            Verdict::Refuse { .. } => {}
            Verdict::Close => self.close(now, id, CloseReason::RateLimited),
        }
    }

    /// The connection of a session broke.
    pub(super) fn lose_connection(&mut self, now: Now, id: SessionId) {
        let window = self.config.resume_window;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !self.outbox.is_resumable(id) || window.is_zero() || self.stopping {
            return self.lose_session(now, id);
        }
        if session.away_until.is_some() {
            return;
        }
        let until = now.instant + window;
        session.away_until = Some(until);
        self.outbox.wait(id);
        let user = session.user.clone();
        self.timers.set(until, Timer::Away(id));
        self.away.insert((until, id));
        for call in self.users.calls(&user) {
            self.lose(now, call, id);
        }
    }

    /// A session is gone for good.
    pub(super) fn leave(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.forget_session(id) else { return };
        for call in self.users.calls(&session.user) {
            self.lose(now, call, id);
        }
    }

    /// Closes a session from our side; for its calls that is a lost connection like any other.
    pub(super) fn close(&mut self, now: Now, session: SessionId, reason: CloseReason) {
        if self.is_here(session) {
            self.tell_close(session, reason);
        }
        self.leave(now, session);
    }

    fn tell_close(&mut self, session: SessionId, reason: CloseReason) {
        self.counters.sessions_closed.add(reason);
        self.outbox.push(Output::Close { session, reason });
    }

    /// Takes a session out of the tables; its calls are not told.
    pub(super) fn forget_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.users.watches.forget(id);
        self.outbox.close(id);
        self.timers.clear(session.token_check, Timer::Token(id));
        if let Some(at) = session.away_until {
            self.timers.clear(at, Timer::Away(id));
            self.away.remove(&(at, id));
        }
        self.users.update(&session.user, |entry| {
            if entry.devices.get(&session.device) == Some(&id) {
                entry.devices.remove(&session.device);
            }
        });
        Some(session)
    }

    /// The server stops. If the next one is to go on with its calls, they wait for their sides from now
    /// on; nobody hears that of the other side, since all are told to come back.
    pub(super) fn shut_down(&mut self, now: Now) {
        self.stopping = true;
        let rooms: Vec<CallId> = self.rooms.iter().map(|room| room.id).collect();
        for room in rooms {
            self.end(now, room, EndReason::ServerShutdown);
        }
        if !self.config.keep_calls {
            self.end_all_calls(now);
        }
        let mut sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        sessions.sort_unstable();
        // They do not come back all at once: about a thousand a second, but while they are waited for.
        let in_time = (self.config.reconnect_grace / 2).as_millis() as u64;
        let most = MANY_RETURNS.min(in_time).max(FEW_RETURNS);
        let spread = (sessions.len() as u64).clamp(FEW_RETURNS, most);
        for &session in &sessions {
            let reconnect_after_ms = self.rng.random_range(0..spread);
            self.outbox.send(session, &ServerDrainingEvent { reconnect_after_ms });
            if self.is_here(session) {
                self.tell_close(session, CloseReason::ServerShutdown);
            }
            self.outbox.close(session);
        }
        for session in sessions {
            self.leave(now, session);
        }
    }
}

/// The device of a connection that names none.
fn own_device(connection: SessionId) -> DeviceId {
    DeviceId::new(&connection.to_string()).expect("a session id is 26 letters and digits")
}
