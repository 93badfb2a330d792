//! From a port that is taken to an allocation that its client is told of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use callbox_base::{clock::Now, usage::Usage};
use callbox_stun::{ErrorCode, EvenPort, Family, Method, ResponseBuilder};

use super::{Engine, answers, tracing};
use crate::{
    AllocationId, Common, Event, FiveTuple, Output, Owner, Via,
    allocations::{AllocateRequest, Allocation, Opening},
    auth::TurnIdentity,
    limits::Limits,
    meter::{Meter, Rates},
    relay_ports::{ReservationToken, Taken},
    timers::Timer,
    transport::Transport,
};

/// The lifetime of an allocation for which no longer one is asked (RFC 8656 §7.2).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// The time for which a port is kept for the holder of a reservation token (RFC 8656 §7.2: 30 s).
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// Returns the lifetime that a client is given: what it asks for, between the default and the
/// maximum (RFC 8656 §7.2), and no longer than its credentials bear.
pub(super) fn lifetime(
    common: &Common,
    now: Now,
    identity: &TurnIdentity,
    requested: Option<u32>,
) -> Duration {
    let max = common.config.max_lifetime;
    let max = identity.time_left(now).map_or(max, |left| left.min(max));
    let requested = requested.map_or(DEFAULT_LIFETIME, |s| Duration::from_secs(s.into()));
    requested.clamp(DEFAULT_LIFETIME.min(max), max)
}

/// Takes a port on an address of a family.
///
/// # Errors
/// 440 if there is none of the family; 486 and 508 as [`Shared::take`](crate::Shared) says.
pub(super) fn take_port(
    engine: &mut Engine,
    tuple: FiveTuple,
    user: &Arc<str>,
    family: Family,
    even: Option<EvenPort>,
) -> Result<Taken, ErrorCode> {
    let ip = engine.common.addresses.choose(family, local_ip(engine, tuple));
    let ip = ip.ok_or(ErrorCode::AddressFamilyNotSupported)?;
    engine.common.shared.take(&mut engine.rng, user, ip, even)
}

/// Returns the server's address that a client came to.
fn local_ip(engine: &Engine, tuple: FiveTuple) -> IpAddr {
    match tuple.via {
        Via::Listener(index) => engine.common.addresses.listener(index).ip(),
        Via::Stream(id) => engine.streams.local_ip(id),
    }
}

/// Starts the time of a reserved port.
pub(super) fn start_reservation(engine: &mut Engine, now: Now, token: ReservationToken) {
    engine.timers.set(now.instant + RESERVATION_LIFETIME, Timer::Reservation(token));
}

/// Gives back what was taken for an allocation that does not come to be.
pub(super) fn give_back(engine: &Engine, id: AllocationId) {
    if let Some(opening) = engine.allocations.opening(id) {
        give_back_ports(&engine.common, opening);
    }
}

fn give_back_ports(common: &Common, opening: &Opening) {
    let Taken { ip, port, reserved } = opening.taken();
    common.shared.release(&opening.request().identity.user, ip, port);
    if let Some(token) = reserved {
        // Its timer finds nothing left to do.
        common.shared.expire(token);
    }
}

/// Has the socket of an address opened.
pub(super) fn open_socket(engine: &mut Engine, id: AllocationId) {
    if let Some(opening) = engine.allocations.opening(id) {
        let address = (opening.taken().ip.0, opening.taken().port).into();
        let errors = opening.request().hears_icmp;
        engine.outputs.push(match opening.request().transport {
            Transport::Udp => Output::OpenRelay { allocation: id, address, errors },
            Transport::Tcp => Output::ListenRelay { allocation: id, address },
        });
    }
}

/// Drops an address that is not opened after all, and gives back what was taken for it.
pub(super) fn cancel(engine: &mut Engine, id: AllocationId) {
    if let Some(opening) = engine.allocations.remove_opening(id) {
        give_back_ports(&engine.common, &opening);
    }
}

/// Gives the client its allocation, if it still may have it: all sockets that can be had are open,
/// the first, and the second of a dual allocation.
pub(super) fn settle(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    second: Option<AllocationId>,
) {
    let Some(opening) = engine.allocations.opening(id) else { return };
    let code = if opening.is_abandoned() {
        // Nobody is left to use it.
        ErrorCode::AllocationMismatch
    } else if !engine.common.shared.serve(now, &opening.request().identity) {
        // The call has ended in the meantime, or the user was kicked.
        ErrorCode::Unauthorized
    } else {
        return open(engine, now, id, second);
    };
    give_back(engine, id);
    if let Some(second) = second {
        cancel(engine, second);
        engine.outputs.push(Output::CloseRelay { allocation: second });
    }
    refuse(engine, now, id, code, true);
}

/// Answers an Allocate with an error, if its client is still there; what was taken for it has been
/// given back. `opened` is true if its socket is open.
pub(super) fn refuse(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    code: ErrorCode,
    opened: bool,
) {
    let Some(opening) = engine.allocations.remove_opening(id) else { return };
    if opened {
        engine.outputs.push(Output::CloseRelay { allocation: id });
    }
    if opening.is_abandoned() {
        return;
    }
    let &AllocateRequest { tuple, transaction, fingerprint, ref identity, .. } = opening.request();
    let method = Method::Allocate;
    let mut response = ResponseBuilder::error_to(method, transaction, fingerprint, code);
    if code == ErrorCode::Unauthorized {
        response = answers::challenge(&engine.common, now, tuple, response);
    }
    let bytes = response.finish(Some(identity.key.expose()));
    let owner = tracing::owner(engine, identity);
    answers::send(engine, tuple, method, Err(code), bytes);
    tracing::answered_later(engine, tuple, owner, method, Err(code));
}

fn open(engine: &mut Engine, now: Now, id: AllocationId, second: Option<AllocationId>) {
    let usage = Arc::new(Usage::default());
    let Some(opening) = engine.allocations.opening(id) else { return };
    let (fingerprint, mobile) = (opening.request().fingerprint, opening.request().mobile);
    install(engine, now, id, second, &usage);
    if let Some(second) = second {
        install(engine, now, second, Some(id), &usage);
    }
    if mobile {
        let number = engine.mobility.insert(&mut engine.rng, id);
        if let Ok(allocation) = engine.allocations.open_mut(id) {
            allocation.set_mobility(number);
        }
    }
    let Some(allocation) = engine.allocations.get(id) else { return };
    let (tuple, call) = (allocation.tuple(), allocation.owner().call);
    let response = success(engine, allocation, fingerprint);
    let bytes = response.finish(Some(allocation.owner().key.expose()));
    if let Some(call) = call {
        engine.outputs.push(Output::Event(Event::AllocationOpened { call, usage }));
    }
    answers::send(engine, tuple, Method::Allocate, Ok(()), bytes);
    tracing::opened(engine, id);
}

/// Makes an allocation of an address whose socket is open.
fn install(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    twin: Option<AllocationId>,
    usage: &Arc<Usage>,
) {
    let Some(opening) = engine.allocations.opening(id) else { return };
    let (taken, request) = (opening.taken(), opening.request());
    let (common, transport) = (&engine.common, request.transport);
    let relayed = common.addresses.advertise((taken.ip.0, taken.port).into());
    let limits = limits(common, now, &request.identity.user);
    let mut allocation =
        Allocation::new(opening, now.instant, relayed, limits, usage.clone(), twin);
    allocation.set_expiry(id, now.instant + request.lifetime, &mut engine.timers);
    let owner = Owner { worker: engine.worker, allocation: id };
    engine.common.relayed.open(taken.ip, taken.port, owner, transport);
    engine.metrics.allocation_opened();
    engine.allocations.open(id, allocation);
}

/// Returns the bandwidth limits of a new allocation of a user.
fn limits(common: &Common, now: Now, user: &Arc<str>) -> Limits {
    let config = &common.config;
    let rates = Rates::new(config.max_bandwidth, config.max_packet_rate);
    Limits {
        own: Meter::new(rates, now.instant).map(Box::new),
        user: common.shared.meter(now.instant, user),
    }
}

/// Returns the success that a client is told with of its allocation, the IPv4 address first.
pub(super) fn success(
    engine: &Engine,
    allocation: &Allocation,
    fingerprint: bool,
) -> ResponseBuilder {
    let transaction = allocation.transaction();
    let mut response = ResponseBuilder::success_to(Method::Allocate, transaction, fingerprint)
        .relayed_address(allocation.relayed().0);
    if let Some((_, twin)) = engine.allocations.twin(allocation) {
        response = response.relayed_address(twin.relayed().0);
    }
    response = response.mapped_address(allocation.tuple().client.0).lifetime(allocation.lifetime());
    if let Some(code) = allocation.missing() {
        response = response.address_error(allocation.family().other(), code);
    }
    if let Some(ticket) = allocation.mobility().and_then(|number| engine.mobility.ticket(number)) {
        response = response.mobility_ticket(ticket.bytes());
    }
    match allocation.reserved() {
        Some(token) => response.reservation_token(token),
        None => response,
    }
}
