//! `signal:offer { callId?, sdp }`: an SDP offer for the other side. The caller's may come before
//! the accept; it is kept for the device that accepts.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Sender, parse};
use crate::{
    clock::Now,
    ids::CallId,
    signaling::{
        Hub, RequestError, answers::CallAnswer, call::DescriptionKind, events, relaying::signed,
    },
};

/// An SDP offer or answer for the other side.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct SignalRequest<'a> {
    /// Which call; may be left out by a session that is in one call only.
    pub(super) call_id: Option<CallId>,
    /// The description.
    #[serde(borrow, rename = "sdp")]
    #[schema(value_type = events::Sdp)]
    _sdp: Sdp<'a>,
}

/// Only checked: what is relayed is what the sender wrote.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or an object with the text `sdp`")]
enum Sdp<'a> {
    Text(#[allow(dead_code)] &'a str),
    Description {
        #[serde(rename = "sdp")]
        _sdp: &'a str,
    },
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: Value,
) -> Result<CallAnswer, RequestError> {
    let payload: SignalRequest<'_> = parse(&data)?;
    let (id, role) = hub.locate_party(sender, payload.call_id)?;
    hub.relay_description(now, id, role, DescriptionKind::Offer, signed(data, id, sender))?;
    Ok(CallAnswer { call_id: id })
}
