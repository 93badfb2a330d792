//! `presence:subscribe { userIds }`: see whether these users can be called, now in the answer and
//! from now on in `presence:changed`. It replaces the list before; an empty one ends it.

use callbox_base::ids::UserId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::payload::parse;
use crate::{
    ErrorCode, Hub, RequestError, answers::PresenceSubscribeAnswer, events::PresenceChangedEvent,
    hub::presence, payload::Fields, sender::Sender, watches::MAX_WATCHED,
};

/// See whether users can be called, from now on.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresenceSubscribeRequest {
    /// The users to watch, up to 256, in place of those before.
    user_ids: Vec<UserId>,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<PresenceSubscribeAnswer, RequestError> {
    let payload: PresenceSubscribeRequest = parse(data)?;
    let mut users = payload.user_ids;
    users.sort_unstable();
    users.dedup();
    if users.len() > MAX_WATCHED {
        return Err(RequestError::invalid_payload(format!(
            "userIds has more than {MAX_WATCHED} users."
        )));
    }
    let session = hub.sessions.get(sender.session);
    let is_hidden =
        |user: &&UserId| !session.is_some_and(|session| session.token().grants().may_see(user));
    if let Some(user) = users.iter().find(is_hidden) {
        let message = format!("Your token does not let you see the presence of {user}.");
        return Err(RequestError::new(ErrorCode::InvalidTarget, message));
    }
    let presence: Vec<_> = users
        .into_iter()
        .map(|user_id| PresenceChangedEvent { status: presence::status(hub, &user_id), user_id })
        .collect();
    hub.users.watch(sender.session, &presence);
    Ok(PresenceSubscribeAnswer { presence })
}
