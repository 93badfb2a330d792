//! Lost connections, as the calls and rooms of their sessions see them.

use callbox_base::{
    clock::Now,
    ids::{CallId, SessionId},
};

use super::{Hub, push_wait, reconnect_grace, transfer};
use crate::{CallState, call::Involvement, member::Member};

/// Handles the lost connection, or the end, of a session that may be in a call: a side of the call
/// gets its reconnect grace.
pub(super) fn lose(hub: &mut Hub, now: Now, id: CallId, session: SessionId) {
    let may_resume = hub.sessions.contains(session);
    let Some(call) = hub.calls.get_mut(id) else {
        return lose_in_room(hub, now, id, session, may_resume);
    };
    match call.involvement_of(session) {
        Some(Involvement::Side(role)) => {
            reconnect_grace::start(hub, now, Member::Side(id, role), may_resume)
        }
        // It rings when it comes back.
        Some(Involvement::Ringing | Involvement::Offered(_)) if may_resume => {}
        Some(Involvement::Ringing) => {
            call.ringing_mut().remove(session);
            let reaches_nobody = call.ringing().is_empty() && call.state() == CallState::Initiating;
            if reaches_nobody && !hub.stopping {
                push_wait::reach_no_device(hub, now, id);
            }
        }
        Some(Involvement::Offered(_)) => transfer::refuse(hub, now, id),
        None => {}
    }
}

/// Starts the reconnect grace of a participant whose session lost its connection or ended.
pub(super) fn lose_in_room(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    session: SessionId,
    may_resume: bool,
) {
    let room = hub.rooms.get(id);
    if let Some(participant) = room.and_then(|room| room.participant_of(session)) {
        reconnect_grace::start(hub, now, Member::Participant(id, participant), may_resume);
    }
}
