//! What operators do to calls and users.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{CallRecord, CloseReason, EndReason, Hub, call::Party, rooms::Leaving};

/// A session, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    /// Its id.
    pub session_id: SessionId,
    /// The user that it belongs to.
    pub user_id: UserId,
    /// The name to show to people, where the token has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The device that it is on.
    pub device_id: DeviceId,
    /// True if it has a connection; else it waits to be resumed.
    pub connected: bool,
}

/// The sessions, calls and allocations that a kick has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kicked {
    /// The number of sessions.
    pub sessions: usize,
    /// The number of live calls, those that only rang and rooms included. A room goes on without
    /// the user.
    pub calls: usize,
    /// The number of rooms among them.
    pub rooms: usize,
    /// The number of allocations of the relay; each address of a dual one counts. The hub leaves it
    /// at 0.
    pub allocations: usize,
    /// The ids of the calls.
    #[serde(skip)]
    pub ended: Vec<CallId>,
}

impl Hub {
    /// Returns every session, in the order of ids, which is that of age.
    pub fn sessions(&self) -> impl Iterator<Item = SessionRecord> {
        let mut sessions: Vec<_> = self.sessions.iter().collect();
        sessions.sort_unstable_by_key(|(id, _)| **id);
        sessions.into_iter().map(|(id, session)| SessionRecord {
            session_id: *id,
            user_id: session.user.clone(),
            name: session.name.clone(),
            device_id: session.device.clone(),
            connected: session.away_until.is_none(),
        })
    }

    /// Ends a live call with the reason `kicked`. Returns the call, also one that was over already;
    /// `None` if there is none.
    pub fn hang_up(&mut self, now: Now, id: CallId) -> Option<CallRecord> {
        self.end(now, id, EndReason::Kicked);
        self.call(now, id)
    }

    /// Closes the sessions of a user, or of one of the user's devices, and ends the calls that they
    /// are in with the reason `kicked`; a room they leave. With a token that is still good the user
    /// may come back, but gets no credentials for the relay before
    /// [`Config::kick_ttl`](crate::Config::kick_ttl) is over.
    ///
    /// The relay is not the hub's: the caller tells it, as with `Common::kick` of `callbox-turn`.
    pub fn kick(&mut self, now: Now, user: &UserId, device: Option<&DeviceId>) -> Kicked {
        let mut kicked = Kicked::default();
        for id in self.users.calls(user) {
            let Some(call) = self.calls.get(id) else {
                if self.kick_out(now, id, user, device) {
                    kicked.rooms += 1;
                    kicked.ended.push(id);
                }
                continue;
            };
            let Some(role) = call.role_of(user) else { continue };
            if device.is_none_or(|device| call.parties[role].device.as_ref() == Some(device)) {
                self.end(now, id, EndReason::Kicked);
                kicked.ended.push(id);
            }
        }
        kicked.calls = kicked.ended.len();
        let devices = self.users.get(user).map(|entry| entry.devices.clone()).unwrap_or_default();
        let mut tokens = Vec::new();
        for (name, id) in devices {
            if device.is_none_or(|device| *device == name) {
                tokens.extend(self.sessions.get(&id).map(|session| session.token.id()));
                self.close(now, id, CloseReason::Kicked);
                kicked.sessions += 1;
            }
        }
        let ttl = self.config.kick_ttl;
        if !ttl.is_zero() {
            self.kicks.add(now, user, tokens.into_iter(), device.is_none(), ttl);
        }
        kicked
    }

    /// Puts a user's devices, or one of them, out of a room. Says whether one was in it.
    fn kick_out(&mut self, now: Now, id: CallId, user: &UserId, device: Option<&DeviceId>) -> bool {
        let Some(room) = self.rooms.get(id) else { return false };
        let is_meant = |party: &Party| {
            party.user == *user && device.is_none_or(|device| party.device.as_ref() == Some(device))
        };
        let all = room.participants.iter().filter(|(_, occupant)| is_meant(&occupant.party));
        let meant: Vec<_> = all.map(|(participant, _)| *participant).collect();
        let leaving = Leaving::for_reason(EndReason::Kicked);
        for participant in &meant {
            self.leave_room(now, id, *participant, &leaving);
        }
        !meant.is_empty()
    }
}
