//! What clients ask, one file for each request: what its payload is, and what it does.

mod accept;
mod answer;
mod block;
mod cancel;
mod candidate;
mod connected;
mod end;
mod ice_refresh;
mod initiate;
mod media_update;
mod message;
mod offer;
mod presence;
mod reconnecting;
mod refresh;
mod reject;
mod report;
mod ring;
mod room_join;
mod room_leave;
mod transfer;
mod upgrade;

use std::borrow::Cow;

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId, SessionId},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Answer, CloseReason, ErrorCode, Hub, JsonText, Output, Payload, RequestError, RequestId,
    RequestName,
    call::{Place, Role},
    idempotency::MessageId,
    members::{Lane, Member},
    payload::{Fields, NotAnObject},
    rate::Verdict,
    sender::Sender,
};
use crate::jwt::Identity;
pub(super) use block::UserBlockRequest;
pub(super) use candidate::IceCandidateRequest;
pub(super) use initiate::CallInitiateRequest;
pub(super) use media_update::MediaUpdateRequest;
pub(super) use message::CallMessageRequest;
pub(super) use offer::SignalRequest;
pub(super) use presence::PresenceSubscribeRequest;
pub use refresh::AuthRefreshRequest;
pub(super) use report::CallStatsRequest;
pub(super) use room_join::RoomJoinRequest;
pub(super) use room_leave::RoomLeaveRequest;
pub(super) use transfer::CallTransferRequest;
pub(super) use upgrade::CallUpgradeRequest;

/// A request that only names a call.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallRequest {
    /// Which; may be left out by a session that is in one call only.
    call_id: Option<CallId>,
    /// Which room, where it is one.
    room_id: Option<RoomId>,
}

/// The recipient of a request: the other side of a call, or others in a room.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    call_id: Option<CallId>,
    room_id: Option<RoomId>,
    /// For which participant of the room.
    to: Option<ParticipantId>,
}

impl Way {
    fn read(data: &Fields<'_>) -> Result<Self, RequestError> {
        data.read_as(&["callId", "roomId", "to"]).map_err(unfit)
    }
}

/// A request that ends a call.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallEndRequest<'a> {
    /// Which call; may be left out by a session that is in one call only.
    call_id: Option<CallId>,
    /// Why: a word that the server knows counts as that, and any other text as a plain no.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    reason: Option<Cow<'a, str>>,
}

/// Lets only a ringing device pass; says what is wrong with the others.
fn must_ring(place: &Place, caller: &str, accepted: &str) -> Result<(), RequestError> {
    match place {
        Place::Ringing | Place::Offered(_) => Ok(()),
        Place::Party(Role::Caller) => Err(RequestError::new(ErrorCode::NotAllowed, caller)),
        Place::Party(Role::Callee) => Err(RequestError::new(ErrorCode::InvalidState, accepted)),
    }
}

/// The answer to a request that was executed.
#[derive(Serialize)]
struct Done<T> {
    ok: bool,
    #[serde(flatten)]
    answer: T,
}

/// The need for a request's answer: there is none if it would be neither sent nor remembered. Most
/// requests that browsers relay ask for no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl Wanted {
    /// An answer as it is sent: what the request's own file says, and that all went well.
    fn write<T: Serialize>(
        self,
        result: Result<T, RequestError>,
    ) -> Result<Option<Answer>, RequestError> {
        let answer = result?;
        let write = || Answer(JsonText::of(&Done { ok: true, answer }));
        Ok((self == Self::Yes).then(write))
    }
}

impl Hub {
    /// A client asked for something. `proof` comes with a request that brings a token.
    pub(super) fn request(
        &mut self,
        now: Now,
        session: SessionId,
        id: Option<RequestId>,
        event: &str,
        data: &Payload,
        proof: Option<Result<Identity, RequestError>>,
    ) {
        // A session that the hub has just closed may have sent more before it knew.
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        let sender = Sender { session, user: entry.user.clone(), device: entry.device.clone() };
        let request = RequestName::parse(event);
        match request {
            Some(request) => self.counters.events.add(request),
            None => self.counters.unknown_events += 1,
        }

        let (per_second, burst) = (self.config.events_per_second, self.config.event_burst);
        let verdict = entry.events.take(now.instant, per_second, burst);
        if let Verdict::Refuse { retry_after, first } = verdict {
            let error = RequestError::rate_limited("You send too many events.", retry_after);
            // Who wants no answers is told once, so that a flood is not answered by a flood.
            if id.is_some() || first {
                self.refuse(session, id, event, &error);
            } else {
                self.counters.errors.add(error.code);
            }
            return;
        }
        if verdict == Verdict::Close {
            return self.close(now, session, CloseReason::RateLimited);
        }

        // Asked twice, these do no harm: they set what the session has, which may be another one by then.
        let sets = [RequestName::PresenceSubscribe, RequestName::UserBlock];
        let named = request.filter(|request| !sets.contains(request));
        let data = data.fields();
        let name = match (named, &data) {
            (Some(request), Ok(data)) => match MessageId::read(&sender.device, request, data) {
                Ok(name) => name,
                Err(error) => return self.refuse(session, id, event, &error),
            },
            _ => None,
        };
        if let Some(name) = &name
            && let Some(answer) = self.users.get(&sender.user).and_then(|u| u.answered.find(name))
        {
            // It was made before, and the answer to it may have been lost.
            let answer = answer.clone();
            if let Some(id) = id {
                self.outbox.push(Output::Answer { session, id, answer });
            }
            return;
        }
        // The answer comes before whatever the request sets off.
        let before = self.outbox.len();
        let wanted = if id.is_some() || name.is_some() { Wanted::Yes } else { Wanted::No };
        let result = self.dispatch(now, &sender, request, data, proof, wanted);
        if request.is_some_and(RequestName::is_about_a_call) {
            self.claim_calls(&sender);
        }
        // What was refused has done nothing, and may be asked for again.
        if let (Some(name), Ok(Some(answer))) = (name, &result) {
            self.users.update(&sender.user, |user| user.answered.remember(name, answer.clone()));
        }
        match (result, id) {
            (Ok(Some(answer)), Some(id)) => {
                self.outbox.insert(before, Output::Answer { session, id, answer });
            }
            (Ok(_), _) => {}
            (Err(error), id) => self.refuse(session, id, event, &error),
        }
    }

    /// Tells a client that its event was refused.
    fn refuse(
        &mut self,
        session: SessionId,
        id: Option<RequestId>,
        event: &str,
        error: &RequestError,
    ) {
        self.counters.errors.add(error.code);
        match id {
            Some(id) => self.outbox.push(Output::Answer { session, id, answer: error.answer() }),
            None => self.outbox.send_event(session, error.event(Some(event))),
        }
    }

    /// Hands a request to its file.
    fn dispatch(
        &mut self,
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
            RequestName::AuthRefresh => wanted.write(refresh::apply(self, now, sender, proof)),
            RequestName::CallInitiate => wanted.write(initiate::apply(self, now, sender, data)),
            RequestName::CallRing => wanted.write(ring::apply(self, sender, data)),
            RequestName::CallAccept => wanted.write(accept::apply(self, now, sender, data)),
            RequestName::CallReject => wanted.write(reject::apply(self, now, sender, data)),
            RequestName::CallCancel => wanted.write(cancel::apply(self, now, sender, data)),
            RequestName::CallEnd => wanted.write(end::apply(self, now, sender, data)),
            RequestName::IceCandidate => wanted.write(candidate::apply(self, now, sender, data)),
            RequestName::SignalOffer => wanted.write(offer::apply(self, now, sender, data)),
            RequestName::SignalAnswer => wanted.write(answer::apply(self, now, sender, data)),
            RequestName::CallTransfer => wanted.write(transfer::apply(self, now, sender, data)),
            RequestName::CallConnected => wanted.write(connected::apply(self, now, sender, data)),
            RequestName::CallReconnecting => {
                wanted.write(reconnecting::apply(self, now, sender, data))
            }
            RequestName::MediaUpdate => wanted.write(media_update::apply(self, sender, data)),
            RequestName::CallUpgrade => wanted.write(upgrade::apply(self, now, sender, data)),
            RequestName::CallMessage => wanted.write(message::apply(self, sender, data)),
            RequestName::CallStats => wanted.write(report::apply(self, sender, data)),
            RequestName::IceRefresh => wanted.write(ice_refresh::apply(self, now, sender, data)),
            RequestName::RoomJoin => wanted.write(room_join::apply(self, now, sender, data)),
            RequestName::RoomLeave => wanted.write(room_leave::apply(self, now, sender, data)),
            RequestName::PresenceSubscribe => wanted.write(presence::apply(self, sender, data)),
            RequestName::UserBlock => wanted.write(block::apply(self, now, sender, data)),
        }
    }

    /// The call that a request is about, and what the sender is to it. Without an id it is the one
    /// call that the sender's session is in.
    fn locate(&self, sender: &Sender, id: Option<CallId>) -> Result<(CallId, Place), RequestError> {
        let Some(id) = id else {
            let calls = self.users.get(&sender.user).map_or(&[][..], |user| &user.calls);
            let mut places = calls
                .iter()
                .filter_map(|&id| Some((id, self.calls.get(id)?.place_of(sender.session)?)));
            return match (places.next(), places.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err(call_id_required("This device is in no call.")),
                (Some(_), Some(_)) => Err(call_id_required("This device is in several calls.")),
            };
        };
        if let Some(call) = self.calls.get(id) {
            let place = call.place_of(sender.session).map(|place| (id, place));
            return place.ok_or_else(|| match call.role_of(&sender.user) {
                Some(Role::Callee) if call.state().is_accepted() => RequestError::new(
                    ErrorCode::InvalidState,
                    "Another of your devices has answered the call.",
                ),
                Some(_) => RequestError::not_a_participant("This device is not in the call."),
                None => RequestError::not_a_participant("You are not in the call."),
            });
        }
        if let Some(room) = self.rooms.get(id) {
            return Err(match room.participant_of(sender.session) {
                Some(_) => RequestError::new(
                    ErrorCode::InvalidState,
                    "That is a room: name it in roomId, where there is such a thing in a room.",
                ),
                None => RequestError::not_a_participant("You are not in the call."),
            });
        }
        Err(match self.ended.get(id) {
            Some(call) if call.was_in_it(&sender.user) => {
                RequestError::new(ErrorCode::CallEnded, "The call is over.")
            }
            Some(_) => RequestError::not_a_participant("You were not in the call."),
            None => RequestError::call_not_found(),
        })
    }

    /// The same for what only a side of the call may do.
    fn locate_party(
        &self,
        sender: &Sender,
        id: Option<CallId>,
    ) -> Result<(CallId, Role), RequestError> {
        match self.locate(sender, id)? {
            (id, Place::Party(role)) => Ok((id, role)),
            (_, Place::Ringing | Place::Offered(_)) => {
                Err(RequestError::new(ErrorCode::InvalidState, "Accept the call first."))
            }
        }
    }

    /// The same for what makes sense once somebody has accepted.
    fn locate_accepted(
        &self,
        sender: &Sender,
        id: Option<CallId>,
    ) -> Result<(CallId, Role), RequestError> {
        let (id, role) = self.locate_party(sender, id)?;
        if self.calls.get(id).is_some_and(|call| call.state().is_accepted()) {
            return Ok((id, role));
        }
        Err(RequestError::new(ErrorCode::InvalidState, "Nobody has accepted the call."))
    }

    /// Who the sender is in a call of two or, where one is named, in a room.
    fn locate_member(
        &self,
        sender: &Sender,
        call: Option<CallId>,
        room: Option<&RoomId>,
    ) -> Result<Member, RequestError> {
        if let Some(room) = room {
            let (call, participant) = self.locate_participant(sender.session, room, call)?;
            return Ok(Member::Participant(call, participant));
        }
        let (call, role) = self.locate_party(sender, call)?;
        Ok(Member::Side(call, role))
    }

    /// The same for what makes sense once somebody has accepted. Who is in a room has.
    fn locate_talking(
        &self,
        sender: &Sender,
        call: Option<CallId>,
        room: Option<&RoomId>,
    ) -> Result<Member, RequestError> {
        if room.is_some() {
            return self.locate_member(sender, call, room);
        }
        let (call, role) = self.locate_accepted(sender, call)?;
        Ok(Member::Side(call, role))
    }

    /// The way that something goes for the other side of a call of two, or for a participant of a
    /// room.
    fn locate_lane(&self, sender: &Sender, way: &Way) -> Result<Lane, RequestError> {
        match (self.locate_member(sender, way.call_id, way.room_id.as_ref())?, way.to) {
            (Member::Side(call, role), _) => Ok(Lane::From(call, role)),
            (Member::Participant(..), None) => Err(RequestError::invalid_payload(
                "Say in `to` which participant of the room it is for.",
            )),
            (Member::Participant(call, from), Some(to)) => self.lane_to(call, from, to),
        }
    }
}

/// Reads a payload.
fn parse<'a, T: Deserialize<'a>>(data: &Fields<'a>) -> Result<T, RequestError> {
    data.read_all().map_err(unfit)
}

/// The refusal of a payload that does not fit its type.
fn unfit(error: serde_path_to_error::Error<serde_json::Error>) -> RequestError {
    let (path, mut message) = (error.path().to_string(), error.into_inner().to_string());
    // The place is one within the field, which the sender does not count from.
    message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
    // Of a missing field the message has the name, and the path is that of the whole.
    if path == "." {
        RequestError::invalid_payload(message)
    } else {
        RequestError::invalid_payload(format!("{path}: {message}"))
    }
}

fn call_id_required(why: &str) -> RequestError {
    let message = format!("{why} Say in callId which one you mean.");
    RequestError::new(ErrorCode::CallIdRequired, message)
}
