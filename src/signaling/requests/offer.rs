//! `signal:offer { callId?, sdp }`: an SDP offer for the other side. The caller's may come before
//! the accept; it is kept for the device that accepts.

use serde::Deserialize;
use serde_json::Value;

use super::{Answered, Sender, about, parse};
use crate::{
    clock::Now,
    ids::CallId,
    signaling::{Hub, call::DescriptionKind, relaying::signed},
};

/// The payload of both descriptions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    pub call_id: Option<CallId>,
    #[serde(borrow, rename = "sdp")]
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

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: Value) -> Answered {
    let payload: Payload<'_> = parse(&data)?;
    let (id, role) = hub.locate_party(sender, payload.call_id)?;
    hub.relay_description(now, id, role, DescriptionKind::Offer, signed(data, id, sender))?;
    Ok(about(id))
}
