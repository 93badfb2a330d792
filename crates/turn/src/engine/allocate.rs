//! Allocate (RFC 8656 §7.2): a relayed address for a client. The request has a socket opened, and
//! is answered once that is known to be open.

use callbox_base::clock::Now;
use callbox_stun::{ErrorCode, Family, Request, ResponseBuilder};

use super::{Engine, answers, dual_stack, mobility, opening};
use crate::{
    AllocationId, FiveTuple, OpenError, Via,
    allocations::{AllocateRequest, Opening, SecondFamily, Wanted},
    auth::{TurnIdentity, WrongCredentials},
    relay_ports::Taken,
    transport::Transport,
};

/// Checks the request and has the socket opened; the answer follows in [`relay_opened`]. Returns
/// `None` where there is nothing to answer yet.
pub(super) fn handle(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    identity: TurnIdentity,
    request: &Request<'_>,
) -> Result<Option<ResponseBuilder>, ErrorCode> {
    if let Some(id) = mobility::addressed(engine, tuple, request) {
        return repeat_answer(engine, id, &identity, request);
    }
    let transport = check_attributes(tuple, request)?;
    let mobile = mobility::is_requested(&engine.common, request, transport == Transport::Udp)?;
    check_credentials(engine, now, tuple, &identity, request)?;
    let (taken, second_family) = take_port(engine, tuple, &identity, request)?;
    if let Some(token) = taken.reserved {
        opening::start_reservation(engine, now, token);
    }
    let attributes = &request.attributes;
    let lifetime = opening::lifetime(&engine.common, now, &identity, attributes.lifetime);
    let request = AllocateRequest {
        tuple,
        identity,
        transaction: request.transaction,
        fingerprint: request.fingerprint,
        lifetime,
        transport,
        wanted: match (attributes.reservation_token, attributes.even_port) {
            (Some(_), _) => Wanted::Reserved,
            (None, Some(even)) => Wanted::Even(even),
            (None, None) => Wanted::Any,
        },
        hears_icmp: attributes.dont_fragment || attributes.additional_family.is_some(),
        mobile,
    };
    let id = engine.allocations.insert(Opening::new(request, taken, second_family));
    opening::open_socket(engine, id);
    Ok(None)
}

/// Answers an Allocate of a client that has an allocation: the same transaction again gets the same
/// success again, any other is a mismatch (RFC 8656 §7.2).
fn repeat_answer(
    engine: &Engine,
    id: AllocationId,
    identity: &TurnIdentity,
    request: &Request<'_>,
) -> Result<Option<ResponseBuilder>, ErrorCode> {
    if let Some(opening) = engine.allocations.opening(id)
        && opening.request().transaction == request.transaction
    {
        return Ok(None);
    }
    let allocation = engine.allocations.open_ref(id)?;
    if allocation.transaction() != request.transaction
        || allocation.owner().username != identity.username
    {
        return Err(ErrorCode::AllocationMismatch);
    }
    Ok(Some(opening::success(engine, allocation, request.fingerprint)))
}

/// Returns the transport that is requested.
///
/// # Errors
/// 442 for one that is not served, 400 for attributes that exclude each other.
fn check_attributes(tuple: FiveTuple, request: &Request<'_>) -> Result<Transport, ErrorCode> {
    let attributes = &request.attributes;
    let protocol = attributes.requested_transport.ok_or(ErrorCode::BadRequest)?;
    let transport = Transport::requested(protocol).ok_or(ErrorCode::UnsupportedTransport)?;
    let token = attributes.reservation_token;
    let (even, additional) = (attributes.even_port, attributes.additional_family);
    // TCP is for clients over streams, and neither ports of one's choice nor DONT-FRAGMENT go with
    // it (RFC 6062 §5.1); and one address.
    let over_udp = matches!(tuple.via, Via::Listener(_));
    let chooses = token.is_some() || even.is_some() || additional.is_some();
    let exclude = [
        transport == Transport::Tcp && (over_udp || chooses || attributes.dont_fragment),
        token.is_some() && (even.is_some() || attributes.requested_family.is_some()),
        token.is_some() && additional.is_some(),
        additional.is_some() && attributes.requested_family.is_some(),
        additional.is_some() && even.is_some_and(|even| even.reserve_next),
        // "The attribute value of 0x02 … is the only valid value" (RFC 8656 §18.11).
        additional.is_some_and(|family| family != Some(Family::V6)),
    ];
    if exclude.contains(&true) { Err(ErrorCode::BadRequest) } else { Ok(transport) }
}

/// Checks that credentials may open something new: those that are over may not, but what they have
/// opened goes on.
///
/// # Errors
/// 401 for those that have expired or are revoked.
fn check_credentials(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    identity: &TurnIdentity,
    request: &Request<'_>,
) -> Result<(), ErrorCode> {
    let reason = if identity.is_expired(now) {
        WrongCredentials::Expired
    } else if engine.common.shared.is_revoked(now, identity) {
        WrongCredentials::Revoked
    } else {
        return Ok(());
    };
    answers::log_wrong_credentials(engine, tuple, request, reason);
    Err(ErrorCode::Unauthorized)
}

/// Takes the port that is requested: the reserved one, or one of the family. Of a dual allocation
/// it is one of the other family if there is none of the first.
fn take_port(
    engine: &mut Engine,
    tuple: FiveTuple,
    identity: &TurnIdentity,
    request: &Request<'_>,
) -> Result<(Taken, SecondFamily), ErrorCode> {
    let attributes = &request.attributes;
    let is_dual = attributes.additional_family.is_some();
    let second_family = if is_dual { SecondFamily::V6 } else { SecondFamily::Nothing };
    if let Some(token) = attributes.reservation_token {
        return Ok((engine.common.shared.redeem(token, &identity.user)?, second_family));
    }
    // "if … absent, the server … IPv4" (RFC 8656 §7.2), whatever the client came over.
    let family = match attributes.requested_family {
        None => Family::V4,
        Some(family) => family.ok_or(ErrorCode::AddressFamilyNotSupported)?,
    };
    let even = attributes.even_port;
    match opening::take_port(engine, tuple, &identity.user, family, even) {
        Err(code @ ErrorCode::InsufficientCapacity) if is_dual => {
            let v6 = opening::take_port(engine, tuple, &identity.user, Family::V6, even);
            Ok((v6.map_err(|_| code)?, SecondFamily::Failed(code)))
        }
        taken => Ok((taken?, second_family)),
    }
}

/// Handles the outcome of opening a socket: another port is tried, the other address of a dual
/// allocation is opened, or the client is answered.
pub(super) fn relay_opened(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    result: Result<(), OpenError>,
) {
    let Some(opening) = engine.allocations.opening_mut(id) else {
        debug_assert!(false, "{id:?} was not being opened");
        return;
    };
    let outcome = match result {
        Err(OpenError::AddressInUse) if opening.may_try_another() => {
            let (taken, even) = (opening.taken(), opening.request().wanted.even());
            match engine.common.shared.exchange(&mut engine.rng, taken, even) {
                Some(other) => {
                    opening.try_port(other);
                    opening::open_socket(engine, id);
                    return;
                }
                None => Err(ErrorCode::InsufficientCapacity),
            }
        }
        Err(_) => Err(ErrorCode::InsufficientCapacity),
        Ok(()) => Ok(()),
    };
    match (opening.second_family(), outcome) {
        (SecondFamily::V6, outcome) => dual_stack::open_v6(engine, now, id, outcome),
        (SecondFamily::Opened(first), Ok(())) => opening::settle(engine, now, first, Some(id)),
        (SecondFamily::Opened(first), Err(code)) => {
            dual_stack::go_without_v6(engine, now, first, id, code);
        }
        (_, Ok(())) => opening::settle(engine, now, id, None),
        (_, Err(code)) => {
            opening::give_back(engine, id);
            opening::refuse(engine, now, id, code, false);
        }
    }
}
