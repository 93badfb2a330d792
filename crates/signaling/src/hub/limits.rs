//! Limits on how many calls a user begins, takes part in and is called by.

use std::time::Duration;

use callbox_base::{clock::Now, ids::UserId};
use serde_json::value::RawValue;

use super::Hub;
use crate::{ErrorCode, RequestError, call::Call, rate::interval};

/// Returns the number of live calls that a user may be in: the least that is set, in the
/// configuration and in the tokens of the user's sessions.
pub(super) fn max_calls(hub: &Hub, user: &UserId) -> usize {
    let sessions = hub.users.sessions(user);
    let tokens = sessions.filter_map(|id| hub.sessions.get(id)?.token().grants().max_calls);
    let least = tokens.min().and_then(|max| usize::try_from(max).ok());
    least.map_or(hub.config.max_calls_per_user, |max| max.min(hub.config.max_calls_per_user))
}

/// Returns the number of calls that a user is in. Calls that only ring at the user's devices do not
/// count: others began them, and they must not keep the user from anything.
pub(super) fn own_calls(hub: &Hub, user: &UserId) -> usize {
    hub.users.calls(user).len() - ringing_at(hub, user).count()
}

/// Returns the calls to a user that nobody has accepted.
pub(super) fn ringing_at<'a>(hub: &'a Hub, user: &UserId) -> impl Iterator<Item = &'a Call> {
    let calls = hub.users.calls(user);
    let calls = calls.iter().filter_map(|id| hub.calls.get(*id));
    calls.filter(move |call| call.rings_at(user))
}

/// Returns true if a user is in as many calls as the user may be in.
pub(super) fn is_at_limit(hub: &Hub, user: &UserId) -> bool {
    own_calls(hub, user) >= max_calls(hub, user)
}

/// Returns true if a call to this user would end with `busy`.
pub(super) fn is_busy(hub: &Hub, user: &UserId) -> bool {
    let ringing = ringing_at(hub, user).count();
    let counted = if hub.config.ringing_is_busy { ringing } else { 0 };
    ringing >= hub.config.max_ringing_per_user
        || own_calls(hub, user) + counted >= max_calls(hub, user)
}

/// Checks that the server may carry one more call or room.
pub(super) fn check_all_calls(hub: &Hub) -> Result<(), RequestError> {
    if hub.calls.len() + hub.rooms.len() >= hub.config.max_calls {
        let message = "The server carries as many calls as it may. Try again later.";
        return Err(RequestError::new(ErrorCode::ServerFull, message));
    }
    Ok(())
}

/// Counts a call from one user to another. This is the last check, so that only calls that come
/// about count.
pub(super) fn count_call_to(
    hub: &mut Hub,
    now: Now,
    caller: &UserId,
    callee: &UserId,
) -> Result<(), RequestError> {
    let (pair, per_minute) = ((caller.clone(), callee.clone()), hub.config.calls_per_pair);
    let free = hub.pairs.check(now.instant, &pair, per_minute);
    free.map_err(|retry_after| {
        RequestError::rate_limited("You call this user too often.", retry_after)
    })?;
    count_call(hub, now, caller)?;
    hub.pairs.count(now.instant, pair, per_minute);
    Ok(())
}

/// Counts a call that a user begins, or a room that the user joins. This is the last check as well.
pub(super) fn count_call(hub: &mut Hub, now: Now, user: &UserId) -> Result<(), RequestError> {
    let every = interval(Duration::from_secs(60), hub.config.calls_per_minute);
    let counted = hub.users.count_call(user, now.instant, every, hub.config.call_burst);
    counted.map_err(|retry_after| RequestError::rate_limited("You call too often.", retry_after))
}

/// Returns the metadata that a client sent along, if it is within the limit.
pub(super) fn checked_metadata(
    hub: &Hub,
    metadata: Option<&RawValue>,
) -> Result<Option<Box<RawValue>>, RequestError> {
    if metadata.is_some_and(|metadata| metadata.get().len() > hub.config.max_metadata) {
        let message = format!("metadata has more than {} bytes.", hub.config.max_metadata);
        return Err(RequestError::new(ErrorCode::PayloadTooLarge, message));
    }
    Ok(metadata.map(ToOwned::to_owned))
}
