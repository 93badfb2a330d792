//! The ends of sessions and of their connections.

use callbox_base::{clock::Now, ids::SessionId};

use super::{Hub, disconnect};
use crate::{CloseReason, Output, lost_devices::LostDevice, rate::Verdict, sessions::Session};

/// Records that the client has all events up to this number. It counts as an event of the client.
pub(super) fn acknowledge(hub: &mut Hub, now: Now, id: SessionId, seq: u64) {
    let Some(session) = hub.sessions.get_mut(id) else { return };
    match session.count_event(now.instant, &hub.config) {
        Verdict::Pass => hub.outbox.acknowledge(id, seq),
        // The next acknowledgement includes this one.
        Verdict::Refuse { .. } => {}
        Verdict::Close => close(hub, now, id, CloseReason::RateLimited),
    }
}

/// Keeps a session whose connection broke until it is resumed or given up.
pub(super) fn lose_connection(hub: &mut Hub, now: Now, id: SessionId) {
    let window = hub.config.resume_window;
    let Some(session) = hub.sessions.get(id) else { return };
    if !hub.outbox.is_resumable(id) || window.is_zero() || hub.stopping {
        return lose(hub, now, id);
    }
    let user = session.user().clone();
    if !hub.sessions.mark_away(id, now.instant + window, &mut hub.timers) {
        return;
    }
    hub.outbox.wait(id);
    for call in hub.users.calls(&user).to_vec() {
        disconnect::lose(hub, now, call, id);
    }
}

/// Ends a session for good.
pub(super) fn end(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(session) = forget(hub, id) else { return };
    for call in hub.users.calls(session.user()).to_vec() {
        disconnect::lose(hub, now, call, id);
    }
}

/// Closes a session from the server's side; to its calls this is a lost connection like any other.
pub(super) fn close(hub: &mut Hub, now: Now, session: SessionId, reason: CloseReason) {
    if hub.sessions.is_here(session) {
        send_close(hub, session, reason);
    }
    end(hub, now, session);
}

/// Tells the driver to close a connection.
pub(super) fn send_close(hub: &mut Hub, session: SessionId, reason: CloseReason) {
    hub.counters.sessions_closed.add(reason);
    hub.outbox.push(Output::Close { session, reason });
}

/// Removes a session without telling its calls.
pub(super) fn forget(hub: &mut Hub, id: SessionId) -> Option<Session> {
    let session = hub.sessions.remove(id, &mut hub.timers)?;
    hub.outbox.close(id);
    hub.users.detach(session.user(), session.device(), id);
    Some(session)
}

/// Ends a session whose connection is gone. Its device may be recognized when it comes back.
pub(super) fn lose(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(session) = hub.sessions.get(id) else { return };
    if let Some(mark) = session.mark() {
        let until = now.instant + hub.config.reconnect_grace;
        let lost = LostDevice { mark, device: session.device().clone(), until };
        let max = hub.config.max_sessions_per_user;
        hub.users.add_lost(session.user(), lost, now.instant, max);
    }
    end(hub, now, id);
}
