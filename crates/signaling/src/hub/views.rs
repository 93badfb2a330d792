//! The hub as operators see it: calls, sessions, users and numbers.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use crate::{CallRecord, Role, Stats};

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

/// A user who is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUser {
    /// The user.
    pub user_id: UserId,
    /// The name to show to people, where a token has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The devices that are connected.
    pub devices: Vec<DeviceId>,
}

/// Returns the records of live calls and rooms, then of those that are over and still shown.
pub(super) fn records(hub: &Hub, now: Now) -> impl Iterator<Item = CallRecord> {
    let live = hub.calls.iter().map(move |call| call.record(now));
    let live = live.chain(hub.rooms.iter().map(move |room| room.record(now)));
    live.chain(hub.ended.iter().map(|call| call.record()))
}

/// Returns the record of a call or room that is live or still shown.
pub(super) fn record(hub: &Hub, now: Now, id: CallId) -> Option<CallRecord> {
    live_record(hub, now, id).or_else(|| hub.ended.get(id).map(|call| call.record()))
}

/// Returns the record of a call or room that is not over.
pub(super) fn live_record(hub: &Hub, now: Now, id: CallId) -> Option<CallRecord> {
    let call = hub.calls.get(id).map(|call| call.record(now));
    call.or_else(|| Some(hub.rooms.get(id)?.record(now)))
}

/// Returns the records of all sessions, in the order of ids.
pub(super) fn sessions(hub: &Hub) -> impl Iterator<Item = SessionRecord> {
    hub.sessions.sorted().into_iter().map(|(id, session)| SessionRecord {
        session_id: id,
        user_id: session.user().clone(),
        name: session.token().name().map(Into::into),
        device_id: session.device().clone(),
        connected: session.is_here(),
    })
}

/// Returns the users who are connected, in the order of user ids.
pub(super) fn online_users(hub: &Hub) -> impl Iterator<Item = OnlineUser> {
    hub.users.sorted().into_iter().filter_map(|(id, user)| {
        let here = user.devices().iter().filter(|(_, session)| hub.sessions.is_here(**session));
        let devices: Vec<_> = here.map(|(device, _)| device.clone()).collect();
        let name = || display_name(hub, id);
        (!devices.is_empty()).then(|| OnlineUser { user_id: id.clone(), name: name(), devices })
    })
}

/// Returns the display name of a user, as the token of one of the user's sessions has it.
pub(super) fn display_name(hub: &Hub, user: &UserId) -> Option<String> {
    let mut sessions = hub.users.sessions(user).filter_map(|id| hub.sessions.get(id));
    sessions.find_map(|session| session.token().name().map(Into::into))
}

/// Returns the numbers for metrics.
pub(super) fn stats(hub: &Hub) -> Stats {
    let in_rooms = || hub.rooms.iter().flat_map(|room| room.journals().map(|(_, journal)| journal));
    let in_calls = || {
        hub.calls
            .iter()
            .flat_map(|call| [Role::Caller, Role::Callee].map(|role| call.journal(role)))
    };
    let journals = || in_calls().chain(in_rooms());
    let mut calls = hub.calls.by_state().clone();
    calls.merge(hub.rooms.by_state());
    Stats {
        sessions: hub.sessions.len(),
        sessions_away: hub.sessions.away_len(),
        unacknowledged_bytes: hub.outbox.unacknowledged(),
        users: hub.users.len(),
        calls,
        rooms: hub.rooms.len(),
        room_participants: hub.rooms.iter().map(|room| room.len()).sum(),
        ended_calls: hub.ended.len(),
        timers: hub.timers.len(),
        watches: hub.users.watches_len(),
        journal_candidates: journals().map(|journal| journal.len()).sum(),
        journal_bytes: journals().map(|journal| journal.bytes()).sum(),
        remembered_bytes: journals().map(|journal| journal.relayed_bytes()).sum(),
        counters: hub.counters.clone(),
    }
}
