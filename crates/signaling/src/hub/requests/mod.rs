//! The requests of clients, one file for each: its payload and its execution.

mod accept;
mod answer;
mod block;
mod cancel;
mod candidate;
mod connected;
mod end;
mod ice_refresh;
mod initiate;
mod locate;
mod media_update;
mod message;
mod offer;
mod payload;
mod presence;
mod reconnecting;
mod refresh;
mod reject;
mod ring;
mod room_join;
mod room_leave;
mod stats;
mod transfer;
mod upgrade;

use callbox_base::{clock::Now, ids::SessionId};
use serde::Serialize;

pub(crate) use block::UserBlockRequest;
pub(crate) use candidate::IceCandidateRequest;
pub(crate) use initiate::CallInitiateRequest;
pub(crate) use media_update::MediaUpdateRequest;
pub(crate) use message::CallMessageRequest;
pub(crate) use offer::SignalRequest;
pub(crate) use payload::{CallEndRequest, CallRequest};
pub(crate) use presence::PresenceSubscribeRequest;
pub use refresh::AuthRefreshRequest;
pub(crate) use room_join::RoomJoinRequest;
pub(crate) use room_leave::RoomLeaveRequest;
pub(crate) use stats::CallStatsRequest;
pub(crate) use transfer::CallTransferRequest;
pub(crate) use upgrade::CallUpgradeRequest;

use super::{Hub, replaceable_calls, session_close};
use crate::{
    Answer, CloseReason, ErrorCode, JsonText, Output, Payload, RequestError, RequestId,
    RequestName,
    idempotency::MessageId,
    jwt::Identity,
    payload::{Fields, NotAnObject},
    rate::Verdict,
    sender::Sender,
};

/// Executes a request of a client, and answers it. `proof` comes with a request that brings a
/// token.
pub(super) fn receive(
    hub: &mut Hub,
    now: Now,
    session: SessionId,
    id: Option<RequestId>,
    event: &str,
    data: &Payload,
    proof: Option<Result<Identity, RequestError>>,
) {
    // A session that the hub has just closed may have sent more before it learned that.
    let Some(sender) = hub.sessions.sender(session) else { return };
    let Some(entry) = hub.sessions.get_mut(session) else { return };
    let request = RequestName::parse(event);
    match request {
        Some(request) => hub.counters.events.add(request),
        None => hub.counters.unknown_events += 1,
    }

    let verdict = entry.count_event(now.instant, &hub.config);
    if let Verdict::Refuse { retry_after, first } = verdict {
        let error = RequestError::rate_limited("You send too many events.", retry_after);
        // A client that wants no answers is told once, so that a flood is not answered by a flood.
        if id.is_some() || first {
            refuse(hub, session, id, event, &error);
        } else {
            hub.counters.errors.add(error.code);
        }
        return;
    }
    if verdict == Verdict::Close {
        return session_close::close(hub, now, session, CloseReason::RateLimited);
    }

    // Repeating these is harmless: they set state of the session, which may be another one by then.
    let sets = [RequestName::PresenceSubscribe, RequestName::UserBlock];
    let named = request.filter(|request| !sets.contains(request));
    let data = data.fields();
    let name = match (named, &data) {
        (Some(request), Ok(data)) => match MessageId::read(&sender.device, request, data) {
            Ok(name) => name,
            Err(error) => return refuse(hub, session, id, event, &error),
        },
        _ => None,
    };
    if let Some(name) = &name
        && let Some(answer) = hub.users.get(&sender.user).and_then(|user| user.answer_to(name))
    {
        // The request was executed before, and the answer to it may have been lost.
        let answer = answer.clone();
        if let Some(id) = id {
            hub.outbox.push(Output::Answer { session, id, answer });
        }
        return;
    }
    // The answer comes before the outputs of the request.
    let before = hub.outbox.len();
    let wanted = if id.is_some() || name.is_some() { Wanted::Yes } else { Wanted::No };
    let result = dispatch(hub, now, &sender, request, data, proof, wanted);
    if request.is_some_and(RequestName::is_about_a_call) {
        replaceable_calls::claim(hub, &sender);
    }
    // A refused request has done nothing, and may be made again.
    if let (Some(name), Ok(Some(answer))) = (name, &result) {
        hub.users.remember_answer(&sender.user, name, answer.clone());
    }
    match (result, id) {
        (Ok(Some(answer)), Some(id)) => {
            hub.outbox.insert(before, Output::Answer { session, id, answer });
        }
        (Ok(_), _) => {}
        (Err(error), id) => refuse(hub, session, id, event, &error),
    }
}

/// Tells a client that its event was refused.
fn refuse(
    hub: &mut Hub,
    session: SessionId,
    id: Option<RequestId>,
    event: &str,
    error: &RequestError,
) {
    hub.counters.errors.add(error.code);
    match id {
        Some(id) => hub.outbox.push(Output::Answer { session, id, answer: error.answer() }),
        None => hub.outbox.send_event(session, error.event(Some(event))),
    }
}

/// Executes a request by the function in its own file.
fn dispatch(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    request: Option<RequestName>,
    data: Result<Fields<'_>, NotAnObject>,
    proof: Option<Result<Identity, RequestError>>,
    wanted: Wanted,
) -> Result<Option<Answer>, RequestError> {
    let Some(request) = request else {
        return Err(RequestError::new(ErrorCode::UnknownEvent, "There is no such event."));
    };
    let data = &data.map_err(|NotAnObject| {
        RequestError::invalid_payload("The payload must be a JSON object.")
    })?;
    if request.is_for_two() && data.value("roomId").is_some() {
        let message = format!("There is no {request} in a room.");
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    match request {
        RequestName::AuthRefresh => wanted.write(refresh::apply(hub, now, sender, proof)),
        RequestName::CallInitiate => wanted.write(initiate::apply(hub, now, sender, data)),
        RequestName::CallRing => wanted.write(ring::apply(hub, sender, data)),
        RequestName::CallAccept => wanted.write(accept::apply(hub, now, sender, data)),
        RequestName::CallReject => wanted.write(reject::apply(hub, now, sender, data)),
        RequestName::CallCancel => wanted.write(cancel::apply(hub, now, sender, data)),
        RequestName::CallEnd => wanted.write(end::apply(hub, now, sender, data)),
        RequestName::IceCandidate => wanted.write(candidate::apply(hub, now, sender, data)),
        RequestName::SignalOffer => wanted.write(offer::apply(hub, now, sender, data)),
        RequestName::SignalAnswer => wanted.write(answer::apply(hub, now, sender, data)),
        RequestName::CallTransfer => wanted.write(transfer::apply(hub, now, sender, data)),
        RequestName::CallConnected => wanted.write(connected::apply(hub, now, sender, data)),
        RequestName::CallReconnecting => wanted.write(reconnecting::apply(hub, now, sender, data)),
        RequestName::MediaUpdate => wanted.write(media_update::apply(hub, sender, data)),
        RequestName::CallUpgrade => wanted.write(upgrade::apply(hub, now, sender, data)),
        RequestName::CallMessage => wanted.write(message::apply(hub, sender, data)),
        RequestName::CallStats => wanted.write(stats::apply(hub, sender, data)),
        RequestName::IceRefresh => wanted.write(ice_refresh::apply(hub, now, sender, data)),
        RequestName::RoomJoin => wanted.write(room_join::apply(hub, now, sender, data)),
        RequestName::RoomLeave => wanted.write(room_leave::apply(hub, now, sender, data)),
        RequestName::PresenceSubscribe => wanted.write(presence::apply(hub, sender, data)),
        RequestName::UserBlock => wanted.write(block::apply(hub, now, sender, data)),
    }
}

/// An answer with `ok: true`.
#[derive(Serialize)]
struct Done<T> {
    ok: bool,
    #[serde(flatten)]
    answer: T,
}

/// The need for a request's answer: none if it would be neither sent nor remembered. Most requests
/// that browsers relay ask for no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl Wanted {
    /// Writes the answer of a request that was executed, with `ok: true`.
    fn write<T: Serialize>(
        self,
        result: Result<T, RequestError>,
    ) -> Result<Option<Answer>, RequestError> {
        let answer = result?;
        let write = || Answer(JsonText::of(&Done { ok: true, answer }));
        Ok((self == Self::Yes).then(write))
    }
}
