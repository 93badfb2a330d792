//! `signal:answer { callId?, sdp }`: an SDP answer for the other side. For clients that do not say
//! `call:connected`, relaying it makes a connecting call connected; so it must answer something.
//! In a room, `{ roomId, to, sdp }`.

use callbox_base::clock::Now;

use super::{locate, payload::Recipient};
use crate::{
    ErrorCode, Hub, RequestError,
    answers::CallAnswer,
    call::{DescriptionKind, Journal},
    hub::{members, relaying},
    member::Lane,
    payload::Fields,
    relayed_content::Description,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let recipient = Recipient::read(data)?;
    let description = Description::read(data)?;
    let lane = locate::lane(hub, sender, &recipient)?;
    if matches!(lane, Lane::From(call, _) if !members::call_state(hub, call)?.is_accepted()) {
        let message = "Nobody has accepted the call, so there is no offer to answer.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    let offers = members::journal(hub, lane.back());
    if !offers.is_some_and(Journal::has_offered) {
        let message = "The other side has made no offer to answer.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    let text = relaying::signed(hub, data, lane.from(), sender);
    relaying::relay_description(hub, now, lane, DescriptionKind::Answer, &description, text)?;
    Ok(CallAnswer { call_id: lane.from().call(), room_id: recipient.room_id })
}
