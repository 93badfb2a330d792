//! The steps that an engine tells for traces. Each function does nothing without
//! [`Config::trace`](crate::Config::trace); none of them is called for a packet that is relayed,
//! except for the first.

use std::net::SocketAddr;

use callbox_base::auth::TurnUsername;
use callbox_stun::{ErrorCode, Method, Request};

use super::Engine;
use crate::{
    AllocationId, Direction, DropReason, EndReason, Event, FiveTuple, Output, TraceOwner,
    TraceStep, Traced, TracedRequest,
    allocations::Allocation,
    auth::{TurnIdentity, WrongCredentials},
};

/// Returns the owner of the steps that an authenticated request leads to.
pub(super) fn owner(engine: &Engine, identity: &TurnIdentity) -> Option<TraceOwner> {
    engine.trace.as_ref()?;
    Some(TraceOwner { user: identity.user.clone(), call: identity.call, is_proved: true })
}

/// Returns the owner that a request with refused credentials names.
pub(super) fn claimed_owner(engine: &Engine, request: &Request<'_>) -> Option<TraceOwner> {
    engine.trace.as_ref()?;
    let name = TurnUsername::parse(request.attributes.username?)?;
    Some(TraceOwner { user: name.user.into(), call: name.call, is_proved: false })
}

/// Tells a step of a user.
pub(super) fn tell(
    engine: &mut Engine,
    client: FiveTuple,
    owner: Option<TraceOwner>,
    step: TraceStep,
) {
    if engine.trace.is_some() {
        let traced = Box::new(Traced { client, owner, step });
        engine.outputs.push(Output::Event(Event::Traced(traced)));
    }
}

/// Tells a step of an open allocation.
fn tell_of(engine: &mut Engine, id: AllocationId, step: impl FnOnce(&Allocation) -> TraceStep) {
    if engine.trace.is_none() {
        return;
    }
    let Some(allocation) = engine.allocations.get(id) else { return };
    let (client, owner, step) =
        (allocation.tuple(), owner(engine, allocation.owner()), step(allocation));
    tell(engine, client, owner, step);
}

/// Tells that a request was answered.
pub(super) fn answered(
    engine: &mut Engine,
    tuple: FiveTuple,
    owner: Option<TraceOwner>,
    request: &Request<'_>,
    result: Result<(), ErrorCode>,
    refusal: Option<WrongCredentials>,
) {
    if engine.trace.is_some() {
        let request = TracedRequest::of(request);
        let step = TraceStep::Answered { request, result, refusal, relayed: None, injected: false };
        tell(engine, tuple, owner, step);
    }
}

/// Tells that a request met with a fault: an answer, or with `None` silence.
pub(super) fn injected(
    engine: &mut Engine,
    tuple: FiveTuple,
    owner: Option<TraceOwner>,
    request: &Request<'_>,
    answer: Option<ErrorCode>,
) {
    if engine.trace.is_some() {
        let request = TracedRequest::of(request);
        let step = match answer {
            None => TraceStep::Silenced(request),
            Some(code) => TraceStep::Answered {
                request,
                result: Err(code),
                refusal: None,
                relayed: None,
                injected: true,
            },
        };
        tell(engine, tuple, owner, step);
    }
}

/// Tells the answer to a request that took its time.
pub(super) fn answered_later(
    engine: &mut Engine,
    tuple: FiveTuple,
    owner: Option<TraceOwner>,
    method: Method,
    result: Result<(), ErrorCode>,
) {
    let request = TracedRequest::plain(method);
    let step =
        TraceStep::Answered { request, result, refusal: None, relayed: None, injected: false };
    tell(engine, tuple, owner, step);
}

/// Tells that an allocation was opened.
pub(super) fn opened(engine: &mut Engine, id: AllocationId) {
    tell_of(engine, id, |allocation| TraceStep::Answered {
        request: TracedRequest {
            lifetime: u32::try_from(allocation.lifetime().as_secs()).ok(),
            ..TracedRequest::plain(Method::Allocate)
        },
        result: Ok(()),
        refusal: None,
        relayed: Some(allocation.relayed().0),
        injected: false,
    });
}

/// Tells that something of an allocation has expired.
pub(super) fn expired(engine: &mut Engine, id: AllocationId, step: TraceStep) {
    tell_of(engine, id, |_| step);
}

/// Tells of the first packet that was relayed in a direction.
#[cold]
pub(super) fn first_packet(
    engine: &mut Engine,
    id: AllocationId,
    direction: Direction,
    peer: SocketAddr,
) {
    tell_of(engine, id, |_| TraceStep::FirstPacket { direction, peer });
}

/// Counts a packet that was not relayed, and tells of the first.
#[cold]
pub(super) fn refused(
    engine: &mut Engine,
    id: AllocationId,
    direction: Direction,
    peer: Option<SocketAddr>,
    reason: DropReason,
) {
    let is_open = engine.allocations.get(id).is_some();
    let is_first = |engine: &mut Engine| Some(engine.trace.as_mut()?.refused(id, direction));
    if is_open && is_first(engine) == Some(true) {
        let step = TraceStep::FirstRefused { direction, peer, reason };
        tell_of(engine, id, |_| step);
    }
}

/// Counts a packet that was lost on purpose, and tells of the first.
pub(super) fn lost(engine: &mut Engine, id: AllocationId, direction: Direction) {
    let is_open = engine.allocations.get(id).is_some();
    let is_first = |engine: &mut Engine| Some(engine.trace.as_mut()?.lost(id, direction));
    if is_open && is_first(engine) == Some(true) {
        tell_of(engine, id, |_| TraceStep::FirstLost(direction));
    }
}

/// Tells that an allocation is about to be closed, with its counts.
pub(super) fn closing(engine: &mut Engine, id: AllocationId, reason: EndReason) {
    let Some([refused, lost]) = engine.trace.as_mut().map(|counts| counts.take(id)) else { return };
    tell_of(engine, id, |allocation| {
        let (bytes_up, bytes_down) = allocation.usage().read();
        TraceStep::Closed { reason, bytes_up, bytes_down, refused, lost }
    });
}
