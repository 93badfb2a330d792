//! The data path: one look-up says where a packet goes and with which header. Nothing here
//! allocates, locks or logs.

use std::{net::SocketAddr, time::Instant};

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{
    ChannelData, Family, Kind, MAX_FRAME, Method, Packet, ParseError, Request, TransactionId,
    max_payload, write_data_indication,
};
use rand::Rng;

use super::{Engine, mobility, requests, tracing};
use crate::{
    AllocationId, Common, Direction, DropReason, FiveTuple, FromClient, FromPeer, HandOver, Via,
    allocations::{Allocation, Allocations},
    transport::Transport,
};

/// The route of a payload to a peer.
struct ToPeer<'a> {
    id: AllocationId,
    allocation: &'a Allocation,
    to: SocketAddr,
    payload: std::ops::Range<usize>,
    dont_fragment: bool,
}

impl ToPeer<'_> {
    /// Checks that the payload fits a datagram, which that of a message on a stream need not, and
    /// counts it against what may pass in a second.
    #[inline]
    fn within_limits(self, now: Instant) -> Result<Self, DropReason> {
        if self.payload.len() > max_payload(self.to) {
            return Err(DropReason::TooLong);
        }
        self.allocation.limits().admit(Direction::Up, now, self.payload.len())?;
        Ok(self)
    }
}

/// Routes a datagram from a client, or a message from a client's stream.
#[inline]
pub(super) fn handle_client(
    engine: &mut Engine,
    now: Now,
    tuple: FiveTuple,
    packet: &mut Packet<'_>,
) -> FromClient {
    let bytes = packet.bytes();
    if engine.mobility.expects_any() {
        mobility::may_have_arrived(engine, tuple, bytes);
    }
    let Engine { common, allocations, .. } = &*engine;
    let way = match Kind::of(bytes) {
        Kind::ChannelData => channel_data(common, allocations, tuple, bytes),
        Kind::Stun => match parse(common, tuple.via, bytes) {
            Ok(request) if request.method == Method::Send => {
                send_indication(common, allocations, tuple, &request)
            }
            Ok(request) => return requests::handle(engine, now, tuple, &request),
            Err(ParseError::NotARequest) => Err(DropReason::NotARequest),
            Err(_) => Err(DropReason::BadMessage),
        },
        Kind::Other => Err(DropReason::Foreign),
    };
    match way.and_then(|way| way.within_limits(now.instant)) {
        Ok(ToPeer { id, allocation, to, payload, dont_fragment }) => {
            let is_first = allocation.usage().add_up(payload.len());
            engine.metrics.relayed_up(payload.len());
            packet.narrow(payload);
            let verdict = match common.relayed.find(to) {
                None => FromClient::Forward { allocation: id, to, dont_fragment },
                Some(owner) => {
                    FromClient::HandOver(HandOver { owner, from: allocation.local(), to })
                }
            };
            if is_first && engine.trace.is_some() {
                tracing::first_packet(engine, id, Direction::Up, to);
            }
            verdict
        }
        Err(reason) => {
            engine.metrics.dropped(reason);
            if engine.trace.is_some()
                && let Some(id) = engine.allocations.on(tuple)
            {
                tracing::refused(engine, id, Direction::Up, None, reason);
            }
            FromClient::Dropped(reason)
        }
    }
}

/// Routes a packet from another allocation of this server to the client of the one that it goes to.
#[inline]
pub(super) fn handle_relayed(
    engine: &mut Engine,
    now: Now,
    way: HandOver,
    packet: &mut Packet<'_>,
) -> FromPeer {
    let id = way.owner.allocation;
    // The allocation may have been closed since, and its name given to another.
    let still = engine.allocations.get(id).is_some_and(|allocation| allocation.local() == way.to);
    if !still {
        engine.metrics.dropped(DropReason::NoAllocation);
        return FromPeer::Dropped(DropReason::NoAllocation);
    }
    handle_peer(engine, now, id, way.from, packet)
}

/// Routes a datagram that an allocation's socket has received.
#[inline]
pub(super) fn handle_peer(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    source: SocketAddr,
    packet: &mut Packet<'_>,
) -> FromPeer {
    let payload = packet.bytes().len();
    match route_to_client(engine, now, id, source, packet) {
        Ok(to) => {
            engine.metrics.relayed_down(payload);
            FromPeer::Forward { to }
        }
        Err(reason) => {
            engine.metrics.dropped(reason);
            if engine.trace.is_some() {
                tracing::refused(engine, id, Direction::Down, Some(source), reason);
            }
            FromPeer::Dropped(reason)
        }
    }
}

fn route_to_client(
    engine: &mut Engine,
    now: Now,
    id: AllocationId,
    source: SocketAddr,
    packet: &mut Packet<'_>,
) -> Result<FiveTuple, DropReason> {
    let allocation = engine.allocations.get(id).ok_or(DropReason::NoAllocation)?;
    let peer = engine.common.addresses.from_wire(source);
    if !allocation.may_pass(peer, source, &engine.common.relayed) {
        return Err(DropReason::NoPermission);
    }
    let payload = packet.bytes().len();
    allocation.limits().admit(Direction::Down, now.instant, payload)?;
    let limit = match allocation.tuple().via {
        Via::Listener(_) => max_payload(allocation.tuple().client.0),
        Via::Stream(_) => MAX_FRAME,
    };
    match allocation.channels().of_peer(peer) {
        Some(number) => {
            if ChannelData::HEADER + payload > limit {
                return Err(DropReason::TooLong);
            }
            ChannelData::wrap(packet, number);
            // "Over … TCP, TLS-over-TCP …, the ChannelData message MUST be padded to a multiple of
            // four bytes" (RFC 8656 §12.5).
            if let Via::Stream(_) = allocation.tuple().via {
                packet.pad();
            }
        }
        None => {
            let transaction = TransactionId(engine.rng.random());
            if !write_data_indication(packet, peer.0, transaction, limit) {
                return Err(DropReason::TooLong);
            }
        }
    }
    let tuple = allocation.tuple();
    if allocation.usage().add_down(payload) && engine.trace.is_some() {
        tracing::first_packet(engine, id, Direction::Down, source);
    }
    Ok(tuple)
}

/// Reads a message. Attributes that ask for what this server cannot do count as unknown.
#[inline]
fn parse<'a>(common: &Common, via: Via, bytes: &'a [u8]) -> Result<Request<'a>, ParseError> {
    let mut request = Request::parse(bytes)?;
    if request.attributes.dont_fragment && !common.config.dont_fragment {
        request.attributes.disown_dont_fragment();
    }
    if request.attributes.discovery.is_any() {
        let here = common.quartet.is_some_and(|quartet| quartet.includes(via));
        if !here || request.method != Method::Binding {
            request.attributes.disown_discovery();
        }
    }
    Ok(request)
}

/// Routes a ChannelData message (RFC 8656 §12.5).
#[inline]
fn channel_data<'a>(
    common: &Common,
    allocations: &'a Allocations,
    tuple: FiveTuple,
    bytes: &[u8],
) -> Result<ToPeer<'a>, DropReason> {
    let ChannelData { number, payload } =
        ChannelData::parse(bytes).ok_or(DropReason::BadChannelData)?;
    let (mut id, mut allocation) = allocations.open_on(tuple).ok_or(DropReason::NoAllocation)?;
    let mut channel = allocation.channels().get(number);
    if channel.is_none()
        && let Some(twin) = allocations.twin(allocation)
    {
        (id, allocation) = twin;
        channel = allocation.channels().get(number);
    }
    let channel = channel.ok_or(DropReason::NoChannel)?;
    if !allocation.may_pass(channel.peer, channel.wire, &common.relayed) {
        return Err(DropReason::NoPermission);
    }
    Ok(ToPeer { id, allocation, to: channel.wire, payload, dont_fragment: false })
}

/// Routes a Send indication (RFC 8656 §11.2). It is never answered, whatever is wrong with it.
#[inline]
fn send_indication<'a>(
    common: &Common,
    allocations: &'a Allocations,
    tuple: FiveTuple,
    request: &Request<'_>,
) -> Result<ToPeer<'a>, DropReason> {
    let attributes = &request.attributes;
    let (Some(peer), Some(payload), false, true) = (
        attributes.peer,
        attributes.data.clone(),
        attributes.malformed,
        attributes.unknown.is_empty(),
    ) else {
        return Err(DropReason::BadIndication);
    };
    let (mut id, mut allocation) = allocations.open_on(tuple).ok_or(DropReason::NoAllocation)?;
    if let Some(twin) = allocations.twin(allocation)
        && allocation.family() != Family::of(peer)
    {
        (id, allocation) = twin;
    }
    let peer = PeerAddr(peer);
    let to = common.addresses.to_wire(peer);
    if !allocation.may_pass(peer, to, &common.relayed) {
        return Err(DropReason::NoPermission);
    }
    // A permission says nothing of ports, of which there is no 0; and a listener of ours, where
    // --allow-peer opens its address, is a loop.
    if peer.0.port() == 0 || common.addresses.is_listener(to, Transport::Udp) {
        return Err(DropReason::ForbiddenPeer);
    }
    // "The DONT-FRAGMENT attribute MUST be ignored" where datagrams of the client are translated
    // between families, or from IPv6 to IPv6, but not if the client has a stream (RFC 8656 §13,
    // §14, §15).
    let translated =
        matches!(tuple.via, Via::Listener(_)) && !(tuple.client.0.is_ipv4() && to.is_ipv4());
    let dont_fragment = attributes.dont_fragment && !translated;
    Ok(ToPeer { id, allocation, to, payload, dont_fragment })
}
