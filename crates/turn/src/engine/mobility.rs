//! Clients that move (RFC 8016): requests are led to their allocations by ticket or by address, and
//! allocations to where their clients are.

use callbox_stun::{ErrorCode, Kind, Method, Request};

use super::{Engine, comprehension};
use crate::{
    AllocationId, Common, FiveTuple, Output, Via,
    auth::TurnIdentity,
    mobility::{Expected, MobileNumber, Ticket},
};

/// Returns the ticket that a Refresh shows.
///
/// # Errors
/// 437 for one that is none of ours.
pub(super) fn ticket(common: &Common, request: &Request<'_>) -> Option<Result<Ticket, ErrorCode>> {
    let presented =
        request.attributes.mobility_ticket.filter(|_| request.method == Method::Refresh);
    let value = presented.filter(|_| common.is_mobile())?;
    Some(Ticket::read(value).ok_or(ErrorCode::AllocationMismatch))
}

/// Returns true if an Allocate asks for mobility.
///
/// # Errors
/// 405 if there is none: it is off, or streams of the client's own belong to what it would have
/// (RFC 6062). 400 for a ticket where there is none yet (RFC 8016 §3.1.2).
pub(super) fn is_requested(
    common: &Common,
    request: &Request<'_>,
    may: bool,
) -> Result<bool, ErrorCode> {
    match request.attributes.mobility_ticket {
        None => Ok(false),
        Some([]) if may && common.is_mobile() => Ok(true),
        Some([]) => Err(ErrorCode::MobilityForbidden),
        Some(_) => Err(ErrorCode::BadRequest),
    }
}

/// Returns the allocation that a request is for.
pub(super) fn addressed(
    engine: &Engine,
    tuple: FiveTuple,
    request: &Request<'_>,
) -> Option<AllocationId> {
    let here = engine.allocations.on(tuple);
    here.or_else(|| engine.mobility.allocation_arriving(tuple))
        .or_else(|| by_ticket(engine, request))
}

/// Returns the allocation of the ticket that a request shows.
fn by_ticket(engine: &Engine, request: &Request<'_>) -> Option<AllocationId> {
    engine.mobility.allocation_of(&ticket(&engine.common, request)?.ok()?)
}

/// Returns the allocation that an authenticated request is for, other than Allocate: one that has a
/// ticket is for the ticket's allocation, whose client may have moved; with any other its client
/// has arrived.
///
/// # Errors
/// 437 if there is none, 441 for another user's.
pub(super) fn find(
    engine: &mut Engine,
    tuple: FiveTuple,
    identity: &TurnIdentity,
    request: &Request<'_>,
) -> Result<AllocationId, ErrorCode> {
    let here = engine.allocations.on(tuple);
    let ticket = ticket(&engine.common, request);
    let id = match ticket {
        None => here.or_else(|| engine.mobility.allocation_arriving(tuple)),
        Some(_) => by_ticket(engine, request).filter(|id| here.is_none_or(|here| here == *id)),
    };
    let id = id.ok_or(ErrorCode::AllocationMismatch)?;
    if engine.allocations.open_ref(id)?.owner().username != identity.username {
        return Err(ErrorCode::WrongCredentials);
    }
    match ticket {
        Some(ticket) => expect(engine, id, tuple, ticket?)?,
        None => drop(arrive(engine, tuple)),
    }
    Ok(id)
}

/// Expects a client at the address where it has shown its ticket: another one, or the one that
/// counts already.
///
/// # Errors
/// 437 if another client is expected there.
fn expect(
    engine: &mut Engine,
    id: AllocationId,
    tuple: FiveTuple,
    presented: Ticket,
) -> Result<(), ErrorCode> {
    let allocation = engine.allocations.open_ref(id)?;
    let number = allocation.mobility().ok_or(ErrorCode::AllocationMismatch)?;
    let (is_there, is_lost) = (allocation.tuple() == tuple, allocation.tuple().via == Via::NOWHERE);
    let expected = engine.mobility.expect(&mut engine.rng, number, tuple, presented, is_there)?;
    let Expected::Now { before } = expected else { return Ok(()) };
    if let Some(tuple) = before {
        engine.outputs.push(Output::Forget { tuple });
    }
    if is_lost {
        // There is no other address that could count.
        arrive(engine, tuple);
    }
    Ok(())
}

/// Notes that something came from an address: if a client is expected there, its allocation is
/// there from now on. Returns true if it is so.
fn arrive(engine: &mut Engine, tuple: FiveTuple) -> bool {
    let Some(id) = engine.mobility.arrive(tuple) else { return false };
    let Some(tuple) = engine.allocations.relocate(id, tuple) else { return false };
    engine.outputs.push(Output::Forget { tuple });
    true
}

/// Notes that a message which needs no answer came from an address where a client may have arrived.
#[cold]
pub(super) fn may_have_arrived(engine: &mut Engine, tuple: FiveTuple, bytes: &[u8]) {
    let is_send = |request: &Request<'_>| {
        request.method == Method::Send && comprehension::check(request).is_ok()
    };
    let is_data = match Kind::of(bytes) {
        Kind::ChannelData => true,
        Kind::Stun => Request::parse(bytes).is_ok_and(|request| is_send(&request)),
        Kind::Other => false,
    };
    if is_data {
        arrive(engine, tuple);
    }
}

/// Notes that a client's stream is gone. Returns true if its allocation stays, since the client may
/// have moved.
pub(super) fn stream_lost(engine: &mut Engine, tuple: FiveTuple) -> bool {
    if engine.mobility.stop_expecting(tuple) {
        return true;
    }
    let Some((id, allocation)) = engine.allocations.open_on(tuple) else { return false };
    let Some(number) = allocation.mobility() else { return false };
    let next = engine.mobility.next(number);
    if !next.is_some_and(|next| arrive(engine, next)) {
        engine.allocations.detach(id);
    }
    true
}

/// Ends the mobility of an allocation that is gone, or gives it to `left`, the other address, if
/// only one of a dual allocation is gone.
pub(super) fn end(engine: &mut Engine, number: MobileNumber, left: Option<AllocationId>) {
    if let Some(left) = left {
        engine.mobility.pass_on(number, left);
        if let Ok(left) = engine.allocations.open_mut(left) {
            left.set_mobility(number);
        }
        return;
    }
    if let Some(tuple) = engine.mobility.remove(number) {
        engine.outputs.push(Output::Forget { tuple });
    }
}
