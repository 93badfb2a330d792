//! The ends of sessions and of their connections.

use callbox_base::{clock::Now, ids::SessionId};

use super::{Hub, disconnect, views};
use crate::{
    CloseReason, Output, lost_devices::LostDevice, rate::Verdict, tables::Session, timer::Timer,
};

/// Records that the client has all events up to this number. It counts as an event of the client.
pub(super) fn acknowledge(hub: &mut Hub, now: Now, id: SessionId, seq: u64) {
    let (per_second, burst) = (hub.config.events_per_second, hub.config.event_burst);
    let Some(session) = hub.sessions.get_mut(&id) else { return };
    match session.events.take(now.instant, per_second, burst) {
        Verdict::Pass => hub.outbox.acknowledge(id, seq),
        // The next one says this as well.
        Verdict::Refuse { .. } => {}
        Verdict::Close => close(hub, now, id, CloseReason::RateLimited),
    }
}

/// Keeps a session whose connection broke until it is resumed or given up.
pub(super) fn lose_connection(hub: &mut Hub, now: Now, id: SessionId) {
    let window = hub.config.resume_window;
    let Some(session) = hub.sessions.get_mut(&id) else { return };
    if !hub.outbox.is_resumable(id) || window.is_zero() || hub.stopping {
        return lose(hub, now, id);
    }
    if session.away_until.is_some() {
        return;
    }
    let until = now.instant + window;
    session.away_until = Some(until);
    hub.outbox.wait(id);
    let user = session.user.clone();
    hub.timers.set(until, Timer::Away(id));
    hub.away.insert((until, id));
    for call in hub.users.calls(&user) {
        disconnect::lose(hub, now, call, id);
    }
}

/// Ends a session for good.
pub(super) fn end(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(session) = forget(hub, id) else { return };
    for call in hub.users.calls(&session.user) {
        disconnect::lose(hub, now, call, id);
    }
}

/// Closes a session from the server's side; to its calls this is a lost connection like any other.
pub(super) fn close(hub: &mut Hub, now: Now, session: SessionId, reason: CloseReason) {
    if views::is_here(hub, session) {
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
    let session = hub.sessions.remove(&id)?;
    hub.users.watches.forget(id);
    hub.outbox.close(id);
    hub.timers.clear(session.token_check, Timer::Token(id));
    if let Some(at) = session.away_until {
        hub.timers.clear(at, Timer::Away(id));
        hub.away.remove(&(at, id));
    }
    hub.users.update(&session.user, |entry| {
        if entry.devices.get(&session.device) == Some(&id) {
            entry.devices.remove(&session.device);
        }
    });
    Some(session)
}

/// Ends a session whose connection is gone. Its device may be recognized when it comes back.
pub(super) fn lose(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(session) = hub.sessions.get(&id) else { return };
    if let Some(mark) = session.mark {
        let (user, device) = (session.user.clone(), session.device.clone());
        let until = now.instant + hub.config.reconnect_grace;
        let max = hub.config.max_sessions_per_user;
        hub.users.update(&user, |entry| {
            entry.lost.add(LostDevice { mark, device, until }, now.instant, max);
        });
    }
    end(hub, now, id);
}
