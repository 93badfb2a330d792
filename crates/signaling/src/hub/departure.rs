//! Clients that leave for good.

use callbox_base::{
    clock::Now,
    ids::{CallId, SessionId},
};

use super::{
    Hub, call_end, disconnect, reconnect_grace,
    room_leave::{self, Leaving},
    session_close,
};
use crate::{EndReason, call::Involvement, member::Member, sender::Sender};

/// Ends a session whose client has left for good, and its calls with it, except those that are
/// being transferred to another device.
pub(super) fn depart(hub: &mut Hub, now: Now, id: SessionId) {
    let Some(sender) = hub.sessions.sender(id) else { return };
    session_close::forget(hub, id);
    for call in hub.users.calls(&sender.user).to_vec() {
        depart_from(hub, now, call, &sender);
    }
}

/// Ends one call for a client that has left.
fn depart_from(hub: &mut Hub, now: Now, id: CallId, sender: &Sender) {
    if let Some(room) = hub.rooms.get(id) {
        if let Some(participant) = room.participant_of(sender.session) {
            let (by, requested_by) = (Some(sender.user.clone()), Some(sender.session));
            let leaving = Leaving { reason: EndReason::Left, by, requested_by };
            room_leave::leave(hub, now, id, participant, &leaving);
        }
        return;
    }
    let Some(call) = hub.calls.get_mut(id) else { return };
    match (call.involvement_of(sender.session), call.transfer_mut()) {
        (Some(Involvement::Side(role)), Some(transfer)) if transfer.role() == role => {
            transfer.note_alone();
            reconnect_grace::start(hub, now, Member::Side(id, role), false);
        }
        (Some(Involvement::Side(_)), _) => {
            drop(call_end::end_for(hub, now, id, EndReason::Left, sender))
        }
        _ => disconnect::lose(hub, now, id, sender.session),
    }
}
