//! The way of a packet: one look-up says where it goes and with which header. Nothing here
//! allocates, locks or logs.

use std::{net::SocketAddr, time::Instant};

use callbox_base::{clock::Now, ids::PeerAddr};
use callbox_stun::{
    ChannelData, Family, Kind, MAX_FRAME, Method, Packet, ParseError, Request, TransactionId,
    max_payload, write_data_indication,
};
use rand::Rng;

use super::{
    AllocationId, DropReason, Engine, FiveTuple, Owner, Via,
    allocation::{Allocation, Slot, Transport},
    rate::Direction,
};

/// The verdict on a datagram from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromClient {
    /// The packet is now the payload: send it from the allocation's socket.
    Forward {
        /// The allocation from whose socket to send.
        allocation: AllocationId,
        /// The peer's address.
        to: SocketAddr,
        /// True if no router may fragment the datagram (DONT-FRAGMENT).
        whole: bool,
    },
    /// The packet is now the payload, and its peer an allocation of this server: hand it to
    /// [`Engine::handle_relayed`] of its worker.
    HandOver(HandOver),
    /// It was a request: [`Engine::poll_output`] gives what is to be done, and the answer.
    Handled,
    /// It is dropped, and has been counted.
    Dropped(DropReason),
}

/// The way from one relayed address of this server to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOver {
    /// The owner of the address that it goes to.
    pub owner: Owner,
    /// The relayed address that it comes from.
    pub from: SocketAddr,
    /// The relayed address that it goes to.
    pub to: SocketAddr,
}

/// The verdict on a datagram from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromPeer {
    /// The packet now has its header: send it to the client.
    Forward {
        /// The client, and the listener or stream to send from.
        to: FiveTuple,
    },
    /// It is dropped, and has been counted.
    Dropped(DropReason),
}

/// A payload's way to a peer.
struct ToPeer<'a> {
    id: AllocationId,
    allocation: &'a Allocation,
    to: SocketAddr,
    payload: std::ops::Range<usize>,
    whole: bool,
}

impl ToPeer<'_> {
    /// Checks that the payload fits a datagram, which that of a message on a stream need not, and
    /// counts it against what may pass in a second.
    #[inline]
    fn within_limits(self, now: Instant) -> Result<Self, DropReason> {
        if self.payload.len() > max_payload(self.to) {
            return Err(DropReason::TooLong);
        }
        self.allocation.limits.admit(Direction::Up, now, self.payload.len())?;
        Ok(self)
    }
}

impl Engine {
    /// Takes in a datagram from a client, or a message from a client's stream. If the verdict says
    /// to forward it, `packet` now holds the payload.
    #[inline]
    pub fn handle_client(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        packet: &mut Packet<'_>,
    ) -> FromClient {
        let bytes = packet.bytes();
        if !self.arriving.is_empty() {
            self.may_have_arrived(tuple, bytes);
        }
        let way = match Kind::of(bytes) {
            Kind::ChannelData => self.channel_data(tuple, bytes),
            Kind::Stun => match self.parse(tuple.via, bytes) {
                Ok(request) if request.method == Method::Send => self.send(tuple, &request),
                Ok(request) => return self.handle_request(now, tuple, &request),
                Err(ParseError::NotARequest) => Err(DropReason::NotARequest),
                Err(_) => Err(DropReason::BadMessage),
            },
            Kind::Other => Err(DropReason::Foreign),
        };
        match way.and_then(|way| way.within_limits(now.instant)) {
            Ok(ToPeer { id, allocation, to, payload, whole }) => {
                allocation.usage.add_up(payload.len());
                self.metrics.relayed_up(payload.len());
                packet.narrow(payload);
                match self.common.relayed.find(to) {
                    None => FromClient::Forward { allocation: id, to, whole },
                    Some(owner) => {
                        let from = (allocation.ip.0, allocation.port).into();
                        FromClient::HandOver(HandOver { owner, from, to })
                    }
                }
            }
            Err(reason) => {
                self.metrics.dropped(reason);
                FromClient::Dropped(reason)
            }
        }
    }

    /// Takes in a packet for which [`FromClient::HandOver`] was the verdict, as if it had gone out
    /// and come in by the allocation's socket. It is judged again, since the allocation may have
    /// been closed in the meantime.
    #[inline]
    pub fn handle_relayed(&mut self, now: Now, way: HandOver, packet: &mut Packet<'_>) -> FromPeer {
        let id = way.owner.allocation;
        // The allocation may have been closed since, and its name given to another.
        let still =
            self.open_ref(id).is_ok_and(|a| (a.ip.0, a.port) == (way.to.ip(), way.to.port()));
        if !still {
            self.metrics.dropped(DropReason::NoAllocation);
            return FromPeer::Dropped(DropReason::NoAllocation);
        }
        self.handle_peer(now, id, way.from, packet)
    }

    /// Takes in a datagram from `source` that an allocation's socket has received (RFC 8656 §11.3,
    /// §12.6). If the verdict says to forward it, `packet` now has its header, for which it needs
    /// [`HEADROOM`](crate::HEADROOM) free bytes on each side.
    ///
    /// # Panics
    /// If `packet` has less room than that.
    #[inline]
    pub fn handle_peer(
        &mut self,
        now: Now,
        id: AllocationId,
        source: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> FromPeer {
        let payload = packet.bytes().len();
        match self.route_to_client(now, id, source, packet) {
            Ok(to) => {
                self.metrics.relayed_down(payload);
                FromPeer::Forward { to }
            }
            Err(reason) => {
                self.metrics.dropped(reason);
                FromPeer::Dropped(reason)
            }
        }
    }

    fn route_to_client(
        &mut self,
        now: Now,
        id: AllocationId,
        source: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Result<FiveTuple, DropReason> {
        let Some(Slot::Open(allocation)) = self.slots.get(id.0 as usize) else {
            return Err(DropReason::NoAllocation);
        };
        let peer = self.common.addresses.from_wire(source);
        if !allocation.may_pass(peer, source, &self.common.relayed) {
            return Err(DropReason::NoPermission);
        }
        let payload = packet.bytes().len();
        allocation.limits.admit(Direction::Down, now.instant, payload)?;
        let limit = match allocation.tuple.via {
            Via::Listener(_) => max_payload(allocation.tuple.client.0),
            Via::Stream(_) => MAX_FRAME,
        };
        match allocation.channel_of.get(&peer) {
            Some(number) => {
                if ChannelData::HEADER + payload > limit {
                    return Err(DropReason::TooLong);
                }
                ChannelData::wrap(packet, *number);
                // "Over … TCP, TLS-over-TCP …, the ChannelData message MUST be padded to a multiple
                // of four bytes" (RFC 8656 §12.5).
                if let Via::Stream(_) = allocation.tuple.via {
                    packet.pad();
                }
            }
            None => {
                let transaction = TransactionId(self.rng.random());
                if !write_data_indication(packet, peer.0, transaction, limit) {
                    return Err(DropReason::TooLong);
                }
            }
        }
        allocation.usage.add_down(payload);
        Ok(allocation.tuple)
    }

    /// Reads a message, as far as this server can do what it asks for.
    #[inline]
    fn parse<'a>(&self, via: Via, bytes: &'a [u8]) -> Result<Request<'a>, ParseError> {
        let mut request = Request::parse(bytes)?;
        if request.attributes.dont_fragment && !self.common.config.dont_fragment {
            request.attributes.disown_dont_fragment();
        }
        if request.attributes.discovery.is_any() {
            let here = self.common.quartet.is_some_and(|quartet| quartet.includes(via));
            if !here || request.method != Method::Binding {
                request.attributes.disown_discovery();
            }
        }
        Ok(request)
    }

    /// A ChannelData message (RFC 8656 §12.5).
    #[inline]
    fn channel_data(&self, tuple: FiveTuple, bytes: &[u8]) -> Result<ToPeer<'_>, DropReason> {
        let ChannelData { number, payload } =
            ChannelData::parse(bytes).ok_or(DropReason::BadChannelData)?;
        let (mut id, mut allocation) = self.open_on(tuple).ok_or(DropReason::NoAllocation)?;
        let mut channel = allocation.channels.get(&number);
        if channel.is_none()
            && let Some(twin) = self.twin(allocation)
        {
            (id, allocation) = twin;
            channel = allocation.channels.get(&number);
        }
        let channel = channel.ok_or(DropReason::NoChannel)?;
        if !allocation.may_pass(channel.peer, channel.wire, &self.common.relayed) {
            return Err(DropReason::NoPermission);
        }
        Ok(ToPeer { id, allocation, to: channel.wire, payload, whole: false })
    }

    /// A Send indication (RFC 8656 §11.2). It is never answered, whatever is wrong with it.
    #[inline]
    fn send(&self, tuple: FiveTuple, request: &Request<'_>) -> Result<ToPeer<'_>, DropReason> {
        let attributes = &request.attributes;
        let (Some(peer), Some(payload), false, true) = (
            attributes.peer,
            attributes.data.clone(),
            attributes.malformed,
            attributes.unknown.is_empty(),
        ) else {
            return Err(DropReason::BadIndication);
        };
        let (mut id, mut allocation) = self.open_on(tuple).ok_or(DropReason::NoAllocation)?;
        if let Some(twin) = self.twin(allocation)
            && allocation.family() != Family::of(peer)
        {
            (id, allocation) = twin;
        }
        let peer = PeerAddr(peer);
        let to = self.common.addresses.to_wire(peer);
        if !allocation.may_pass(peer, to, &self.common.relayed) {
            return Err(DropReason::NoPermission);
        }
        // A permission says nothing of ports, of which there is no 0; and a listener of ours, where
        // --allow-peer opens its address, is a loop.
        if peer.0.port() == 0 || self.common.addresses.is_listener(to, Transport::Udp) {
            return Err(DropReason::ForbiddenPeer);
        }
        // Where datagrams of the client are translated between families, or from IPv6 to IPv6,
        // "the DONT-FRAGMENT attribute MUST be ignored", but not what it sends over a stream
        // (RFC 8656 §13, §14, §15).
        let translated =
            matches!(tuple.via, Via::Listener(_)) && !(tuple.client.0.is_ipv4() && to.is_ipv4());
        let whole = attributes.dont_fragment && !translated;
        Ok(ToPeer { id, allocation, to, payload, whole })
    }

    #[inline]
    fn open_on(&self, tuple: FiveTuple) -> Option<(AllocationId, &Allocation)> {
        let id = *self.by_tuple.get(&tuple)?;
        match self.slots.get(id.0 as usize)? {
            Slot::Open(allocation) => Some((id, allocation)),
            Slot::Opening(_) => None,
        }
    }
}
