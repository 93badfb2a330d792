//! The stop of the server.

use callbox_base::{
    clock::Now,
    ids::{CallId, SessionId},
};
use rand::Rng;

use super::{Hub, call_end, reporting, session_close};
use crate::{CloseReason, EndReason, events::ServerDrainingEvent};

/// The least and the most milliseconds over which the clients of a stopping server are spread when
/// they come back.
const FEW_RETURNS: u64 = 1000;
const MANY_RETURNS: u64 = 30_000;

/// Closes every session, since the server stops. If the next server is to continue the calls, their
/// reconnect grace starts; nobody is told that of the other side, since all are told to come back.
pub(super) fn shut_down(hub: &mut Hub, now: Now) {
    hub.stopping = true;
    let rooms: Vec<CallId> = hub.rooms.iter().map(|room| room.id()).collect();
    for room in rooms {
        call_end::end(hub, now, room, EndReason::ServerShutdown);
    }
    if !hub.config.keep_calls {
        call_end::end_all(hub, now);
    }
    let sessions: Vec<SessionId> = hub.sessions.sorted().into_iter().map(|(id, _)| id).collect();
    // The clients come back about a thousand a second, and within their reconnect grace.
    let in_time = (hub.config.reconnect_grace / 2).as_millis() as u64;
    let most = MANY_RETURNS.min(in_time).max(FEW_RETURNS);
    let spread = (sessions.len() as u64).clamp(FEW_RETURNS, most);
    for &session in &sessions {
        let reconnect_after_ms = hub.rng.random_range(0..spread);
        hub.outbox.send(session, &ServerDrainingEvent { reconnect_after_ms });
        if hub.sessions.is_here(session) {
            session_close::send_close(hub, session, CloseReason::ServerShutdown);
        }
        hub.outbox.close(session);
    }
    for session in sessions {
        session_close::end(hub, now, session);
    }
}

/// Ends the live calls with this hub, since they cannot be kept.
pub(super) fn give_up_calls(hub: &mut Hub, now: Now) {
    hub.config.keep_calls = false;
    hub.persistence = None;
    call_end::end_all(hub, now);
    reporting::settle_all(hub);
}
