//! `ice:candidate { callId?, candidate }`: an ICE candidate for the other side. `candidate` is what
//! the browser's `RTCIceCandidate` prints as, its line alone, or null at the end of candidates.

use serde::Deserialize;
use serde_json::Value;

use super::{Answered, Sender, about, parse};
use crate::{
    clock::Now,
    ids::CallId,
    signaling::{Hub, relaying::signed},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    call_id: Option<CallId>,
    #[serde(borrow, rename = "candidate")]
    _candidate: Candidate<'a>,
}

/// Only checked: what is relayed is what the sender wrote.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected null, a text, or an object with the text `candidate`")]
enum Candidate<'a> {
    End(()),
    Line(#[allow(dead_code)] &'a str),
    Init {
        #[serde(rename = "candidate")]
        _candidate: &'a str,
    },
}

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: Value) -> Answered {
    let payload: Payload<'_> = parse(&data)?;
    let (id, role) = hub.locate_party(sender, payload.call_id)?;
    hub.relay_candidate(now, id, role, signed(data, id, sender))?;
    Ok(about(id))
}
