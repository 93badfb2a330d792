//! Connections come and go.

use std::time::Duration;

use serde_json::{Map, json};

use super::{
    CloseReason, EndReason, Hub, Output, config::TOKEN_LEEWAY, hub::Timer, ice::IceServers,
    rate::EventLimit, tables::Session,
};
use crate::{
    auth::Identity,
    clock::Now,
    ids::{CallId, DeviceId, SessionId},
};

/// The furthest ahead a token's expiry is looked for. A token may be good for longer, up to
/// numbers that no clock can count to; then it is looked at again.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

impl Hub {
    /// A connection has proved who it is.
    pub(super) fn open(
        &mut self,
        now: Now,
        session: SessionId,
        identity: Identity,
        device: DeviceId,
    ) {
        // Session ids are never used twice; a shell that does loses the second one's Open.
        if self.sessions.contains_key(&session) {
            return;
        }
        let user = identity.user;
        let entry = self.users.get(&user);
        let older = entry.and_then(|entry| entry.devices.get(&device)).copied();
        let devices = entry.map_or(0, |entry| entry.devices.len());
        let full = self.sessions.len() >= self.config.max_sessions
            || devices >= self.config.max_sessions_per_user;
        let refusal = if self.stopping {
            Some(CloseReason::ServerShutdown)
        } else if expired(now, identity.expires) {
            Some(CloseReason::TokenExpired)
        } else if older.is_none() && full {
            Some(CloseReason::TooManyConnections)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return self.tell_close(session, reason);
        }
        if let Some(older) = older {
            self.forget_session(older);
            self.tell_close(older, CloseReason::Replaced);
        }

        let expires = identity.expires;
        let expiry_check = now.instant + until_expiry(now, expires);
        self.timers.set(expiry_check, Timer::TokenExpiry(session));
        self.users.update(&user, |entry| {
            entry.devices.insert(device.clone(), session);
        });
        let entry = Session {
            user: user.clone(),
            name: identity.name,
            device: device.clone(),
            expires,
            expiry_check,
            events: EventLimit::default(),
        };
        self.sessions.insert(session, entry);
        self.counters.sessions_opened += 1;

        let mut welcome = Map::new();
        welcome.insert("sessionId".into(), json!(session));
        welcome.insert("userId".into(), json!(user));
        welcome.insert("deviceId".into(), json!(device));
        IceServers::mint(&self.config, now, &user, None).write_to(&mut welcome);
        self.outbox.push(Output::Welcome { session, data: welcome.into() });
        for call in self.users.calls(&user) {
            self.enter(now, call, session, &user, &device);
        }
    }

    /// A connection is gone, or its front says so.
    pub(super) fn leave(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.forget_session(id) else { return };
        for call in self.users.calls(&session.user) {
            self.lose(now, call, id);
        }
    }

    /// Closes a session from our side; for its calls that is a lost connection like any other.
    pub(super) fn close(&mut self, now: Now, session: SessionId, reason: CloseReason) {
        self.tell_close(session, reason);
        self.leave(now, session);
    }

    fn tell_close(&mut self, session: SessionId, reason: CloseReason) {
        self.counters.sessions_closed.add(reason);
        self.outbox.push(Output::Close { session, reason });
    }

    /// Takes a session out of the tables; its calls are not told.
    fn forget_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.timers.clear(session.expiry_check, Timer::TokenExpiry(id));
        self.users.update(&session.user, |entry| {
            entry.devices.remove(&session.device);
        });
        Some(session)
    }

    /// The expiry timer of a session is due: either the token is over, or it is good for longer
    /// than we looked ahead, or the clock was set back.
    pub(super) fn check_expiry(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if expired(now, session.expires) {
            return self.close(now, id, CloseReason::TokenExpired);
        }
        session.expiry_check = now.instant + until_expiry(now, session.expires);
        self.timers.set(session.expiry_check, Timer::TokenExpiry(id));
    }

    /// The server stops.
    pub(super) fn shut_down(&mut self, now: Now) {
        self.stopping = true;
        let calls: Vec<CallId> = self.calls.iter().map(|call| call.id).collect();
        for call in calls {
            self.end(now, call, EndReason::ServerShutdown);
        }
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.close(now, session, CloseReason::ServerShutdown);
        }
    }
}

/// Whether a token that expires at this second is no good any more.
fn expired(now: Now, expires: u64) -> bool {
    now.unix >= Duration::from_secs(expires).saturating_add(TOKEN_LEEWAY)
}

/// In what time to look at the token's expiry.
fn until_expiry(now: Now, expires: u64) -> Duration {
    let at = Duration::from_secs(expires).saturating_add(TOKEN_LEEWAY);
    at.saturating_sub(now.unix).min(LONGEST_WAIT)
}
