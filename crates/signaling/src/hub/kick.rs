//! Kicks: the forced logout of a user or of one of the user's devices.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, UserId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Hub, call_end,
    room_leave::{self, Leaving},
    session_close,
};
use crate::{CloseReason, EndReason, call::Party};

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

/// Closes sessions of a user and ends their calls, for [`Hub::kick`].
pub(super) fn kick(hub: &mut Hub, now: Now, user: &UserId, device: Option<&DeviceId>) -> Kicked {
    let mut kicked = Kicked::default();
    for id in hub.users.calls(user).to_vec() {
        let Some(call) = hub.calls.get(id) else {
            if remove_from_room(hub, now, id, user, device) {
                kicked.rooms += 1;
                kicked.ended.push(id);
            }
            continue;
        };
        let Some(role) = call.role_of(user) else { continue };
        if device.is_none_or(|device| call.party(role).device() == Some(device)) {
            call_end::end(hub, now, id, EndReason::Kicked);
            kicked.ended.push(id);
        }
    }
    kicked.calls = kicked.ended.len();
    let devices = hub.users.get(user).map(|user| user.devices().clone()).unwrap_or_default();
    let mut tokens = Vec::new();
    for (name, id) in devices {
        if device.is_none_or(|device| *device == name) {
            tokens.extend(hub.sessions.get(id).map(|session| session.token().mark().id()));
            session_close::close(hub, now, id, CloseReason::Kicked);
            kicked.sessions += 1;
        }
    }
    let ttl = hub.config.kick_ttl;
    if !ttl.is_zero() {
        hub.kicks.add(now, user, tokens.into_iter(), device.is_none(), ttl);
    }
    kicked
}

/// Removes a user's devices, or one of them, from a room. Returns true if one was in it.
fn remove_from_room(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    user: &UserId,
    device: Option<&DeviceId>,
) -> bool {
    let Some(room) = hub.rooms.get(id) else { return false };
    let is_meant = |party: &Party| {
        party.user() == user && device.is_none_or(|device| party.device() == Some(device))
    };
    let meant = room.parties().filter(|(_, party)| is_meant(party));
    let meant: Vec<_> = meant.map(|(participant, _)| participant).collect();
    let leaving = Leaving::for_reason(EndReason::Kicked);
    for participant in &meant {
        room_leave::leave(hub, now, id, *participant, &leaving);
    }
    !meant.is_empty()
}
