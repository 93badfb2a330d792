//! `user:block { userId, blocked? }`: take no calls from a user for as long as this session lasts.

use callbox_base::{clock::Now, ids::UserId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::payload::parse;
use crate::{
    ErrorCode, Hub, RequestError, answers::UserBlockAnswer, hub::blocking, payload::Fields,
    sender::Sender, sessions::MAX_BLOCKED,
};

/// Take no calls from a user any more.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBlockRequest {
    /// The user to block.
    user_id: UserId,
    /// False takes them again; true if it is left out.
    blocked: Option<bool>,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<UserBlockAnswer, RequestError> {
    let payload: UserBlockRequest = parse(data)?;
    let (user, blocked) = (payload.user_id, payload.blocked.unwrap_or(true));
    if user == sender.user {
        return Err(RequestError::new(ErrorCode::InvalidTarget, "You cannot block yourself."));
    }
    let session = hub.sessions.get_mut(sender.session).ok_or_else(RequestError::call_not_found)?;
    if !blocked {
        session.unblock(&user);
    } else if session.block(user.clone()).is_ok() {
        blocking::refuse_blocked(hub, now, &sender.user);
    } else {
        let message = format!("This session blocks {MAX_BLOCKED} users, and may block no more.");
        return Err(RequestError::new(ErrorCode::TooManyBlocked, message));
    }
    Ok(UserBlockAnswer { user_id: user, blocked })
}
