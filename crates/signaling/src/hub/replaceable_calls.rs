//! Calls that a new one of the same user replaces, since their connection is lost.
//!
//! A lost connection does not prevent its user from making a new call: calls that only its
//! reconnection could continue end in favour of the new one.

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};

use super::{
    Hub, call_end, limits,
    room_leave::{self, Leaving},
};
use crate::{
    EndReason, ErrorCode, RequestError,
    call::{Call, Party, Role},
    sender::Sender,
};

/// Returns the replaceable calls of a user: those in its reconnect grace, and those to which the
/// sender's device has been reattached without a request about the call since.
pub(super) fn replaceable_calls(hub: &Hub, sender: &Sender) -> impl Iterator<Item = CallId> {
    let calls = hub.users.calls(&sender.user);
    let is_replaceable = |party: &Party| {
        let is_unclaimed = party.is_unclaimed_by(sender.session);
        *party.user() != sender.user || party.is_in_grace() || is_unclaimed
    };
    calls.iter().copied().filter(move |id| {
        if let Some(call) = hub.calls.get(*id) {
            let own = call.role_of(&sender.user).map(|role| call.party(role));
            return own.is_some_and(is_replaceable);
        }
        let room = hub.rooms.get(*id);
        room.is_some_and(|room| room.parties().all(|(_, party)| is_replaceable(party)))
    })
}

/// Ends as many replaceable calls as it takes for the user to begin another call.
pub(super) fn end_for_call(hub: &mut Hub, now: Now, sender: &Sender) {
    let calls: Vec<CallId> = replaceable_calls(hub, sender).collect();
    for id in calls {
        if !limits::is_at_limit(hub, &sender.user) {
            return;
        }
        let Some(room) = hub.rooms.get(id) else {
            // The sender is notified as well: it has not requested this.
            call_end::end(hub, now, id, EndReason::Left);
            continue;
        };
        let own: Vec<_> =
            room.devices_of(&sender.user).map(|(participant, _)| participant).collect();
        let by = Some(sender.user.clone());
        let leaving = Leaving { reason: EndReason::Left, by, requested_by: None };
        for participant in own {
            room_leave::leave(hub, now, id, participant, &leaving);
        }
    }
}

/// Assigns the calls of the sender to its session, which has sent a request about one of them.
pub(super) fn claim(hub: &mut Hub, sender: &Sender) {
    for id in hub.users.calls(&sender.user).to_vec() {
        if let Some(call) = hub.calls.get_mut(id) {
            for role in [Role::Caller, Role::Callee] {
                call.party_mut(role).claim(sender.session);
            }
        } else if let Some(room) = hub.rooms.get_mut(id) {
            room.parties_mut().for_each(|party| party.claim(sender.session));
        }
    }
}

/// Checks that one more call of the sender may ring at a user, if the replaceable ones were to
/// end.
pub(super) fn check_ringing(
    hub: &Hub,
    sender: &Sender,
    callee: &UserId,
) -> Result<(), RequestError> {
    let stay = own_ringing_at(hub, sender, callee).count();
    if stay >= hub.config.max_ringing_per_pair
        && stay - replaceable_ringing_at(hub, sender, callee).count()
            >= hub.config.max_ringing_per_pair
    {
        let message = "As many of your calls as may be ring at this user already.";
        return Err(RequestError::new(ErrorCode::TooManyCalls, message));
    }
    Ok(())
}

/// Returns the sender's calls that ring at this user.
fn own_ringing_at<'a>(
    hub: &'a Hub,
    sender: &Sender,
    callee: &UserId,
) -> impl Iterator<Item = &'a Call> {
    let calls = hub.users.calls(&sender.user);
    let calls = calls.iter().filter_map(|id| hub.calls.get(*id));
    calls.filter(move |call| call.rings_at(callee))
}

/// Returns the sender's replaceable calls that ring at this user.
fn replaceable_ringing_at(
    hub: &Hub,
    sender: &Sender,
    callee: &UserId,
) -> impl Iterator<Item = CallId> {
    let rings = |id: &CallId| hub.calls.get(*id).is_some_and(|call| call.rings_at(callee));
    replaceable_calls(hub, sender).filter(rings)
}

/// Ends as many replaceable calls as it takes for one more call of the sender to ring at this user.
pub(super) fn end_for_ringing(hub: &mut Hub, now: Now, sender: &Sender, callee: &UserId) {
    let replaceable: Vec<CallId> = replaceable_ringing_at(hub, sender, callee).collect();
    for id in replaceable {
        if own_ringing_at(hub, sender, callee).count() < hub.config.max_ringing_per_pair {
            return;
        }
        call_end::end(hub, now, id, EndReason::Left);
    }
}

/// Checks that a user may be in one more call, if the replaceable ones were to end.
pub(super) fn check_own_calls(hub: &Hub, sender: &Sender) -> Result<(), RequestError> {
    let all = limits::own_calls(hub, &sender.user);
    let max = limits::max_calls(hub, &sender.user);
    if all >= max && all - replaceable_calls(hub, sender).count() >= max {
        let message = "You are in as many calls as you may be in.";
        return Err(RequestError::new(ErrorCode::TooManyCalls, message));
    }
    Ok(())
}
