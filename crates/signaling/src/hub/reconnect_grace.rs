//! The reconnect grace: the time in which a member of a call that lost its connection may come
//! back.

use callbox_base::{clock::Now, ids::SessionId};

use super::{Hub, media, members};
use crate::{
    events::{CallReconnectedEvent, CallReconnectingEvent},
    member::Member,
    timer::Timer,
};

/// Starts the reconnect grace of a member whose connection is gone.
pub(super) fn start(hub: &mut Hub, now: Now, member: Member, may_resume: bool) {
    let until = now.instant + hub.config.reconnect_grace;
    let Some(party) = members::party_mut(&mut hub.calls, &mut hub.rooms, member) else { return };
    if party.device().is_none() {
        return;
    }
    let was_lost = party.is_lost();
    if !may_resume {
        party.detach();
    }
    party.start_grace(until, &mut hub.timers, Timer::Grace(member));
    publish_change(hub, now, member, was_lost);
}

/// Ends the reconnect grace of a member whose session was resumed.
pub(super) fn resume(hub: &mut Hub, now: Now, member: Member) {
    let Ok(party) = members::find_mut(hub, member) else { return };
    let was_lost = party.is_lost();
    stop(hub, member);
    publish_change(hub, now, member, was_lost);
}

/// Attaches the new session of a member's device to the call, and ends its reconnect grace. Returns
/// true if everyone was sent the state of the call.
pub(super) fn reattach(hub: &mut Hub, now: Now, member: Member, session: SessionId) -> bool {
    let Ok(party) = members::find_mut(hub, member) else { return false };
    let was_lost = party.is_lost();
    party.attach(session);
    if let Member::Side(call, _) = member
        && let Some(call) = hub.calls.get_mut(call)
    {
        call.set_orphaned(false);
    }
    stop(hub, member);
    publish_change(hub, now, member, was_lost)
}

/// Stops the reconnect grace of a member.
pub(super) fn stop(hub: &mut Hub, member: Member) {
    let Some(party) = members::party_mut(&mut hub.calls, &mut hub.rooms, member) else { return };
    party.stop_grace(&mut hub.timers, Timer::Grace(member));
}

/// Tells the others that a member was lost or is back, if that differs from `was_lost`, and updates
/// the state of a call of two. Returns true if the state changed; then everyone was sent it.
pub(super) fn publish_change(hub: &mut Hub, now: Now, member: Member, was_lost: bool) -> bool {
    let Some(party) = members::find(hub, member) else { return false };
    let is_lost = party.is_lost();
    let (call_id, user_id) = (member.call(), party.user().clone());
    // Before the accept the callee's devices only ring; the accepting one is told then.
    let accepted = hub.calls.get(call_id).is_none_or(|call| call.state().is_accepted());
    if accepted && is_lost != was_lost {
        let (room_id, participant_id) = (members::room_id(hub, call_id), member.participant());
        if was_lost {
            let back = CallReconnectedEvent { call_id, room_id, participant_id, user_id };
            members::send_to_others(hub, member, &back);
        } else {
            let lost = CallReconnectingEvent { call_id, room_id, participant_id, user_id };
            members::send_to_others(hub, member, &lost);
        }
    }
    media::update_state(hub, now, call_id)
}
