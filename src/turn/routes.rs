//! The way of a packet: one look-up says where it goes and with which header. Nothing here
//! allocates, locks or logs.

use std::net::SocketAddr;

use rand::Rng;

use super::{
    AllocationId, DropReason, Engine, FiveTuple,
    allocation::{Allocation, Slot},
};
use crate::{
    clock::Now,
    ids::PeerAddr,
    stun::{ChannelData, Kind, Method, Packet, Request, TransactionId, write_data_indication},
};

/// What became of a datagram from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromClient {
    /// The packet is now the payload: send it from the allocation's socket.
    Forward {
        /// From which socket.
        allocation: AllocationId,
        /// To which peer.
        to: SocketAddr,
    },
    /// It was a request; what to do comes out of [`Engine::poll_output`].
    Handled,
    /// It went nowhere, and has been counted.
    Dropped(DropReason),
}

/// What became of a datagram from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromPeer {
    /// The packet now has its header: send it to the client.
    Forward {
        /// To whom, from which listener.
        to: FiveTuple,
    },
    /// It went nowhere, and has been counted.
    Dropped(DropReason),
}

/// A payload's way to a peer.
struct ToPeer {
    allocation: AllocationId,
    to: SocketAddr,
    payload: std::ops::Range<usize>,
}

impl Engine {
    /// Takes in a datagram from a client.
    #[inline]
    pub fn handle_client(&mut self, now: Now, tuple: FiveTuple, packet: &mut Packet) -> FromClient {
        let bytes = packet.bytes();
        let way = match Kind::of(bytes) {
            Kind::ChannelData => self.channel_data(tuple, bytes),
            Kind::Stun => match Request::parse(bytes) {
                Ok(request) if request.method == Method::Send => self.send(tuple, &request),
                Ok(request) => return self.handle_request(now, tuple, &request),
                Err(crate::stun::ParseError::NotARequest) => Err(DropReason::NotARequest),
                Err(_) => Err(DropReason::BadMessage),
            },
            Kind::Other => Err(DropReason::Foreign),
        };
        match way {
            Ok(ToPeer { allocation, to, payload }) => {
                packet.narrow(payload);
                self.metrics.relayed_up(packet.bytes().len());
                FromClient::Forward { allocation, to }
            }
            Err(reason) => {
                self.metrics.dropped(reason);
                FromClient::Dropped(reason)
            }
        }
    }

    /// Takes in a datagram that an allocation's socket received (RFC 8656 §11.3, §12.6).
    #[inline]
    pub fn handle_peer(
        &mut self,
        id: AllocationId,
        source: SocketAddr,
        packet: &mut Packet,
    ) -> FromPeer {
        let payload = packet.bytes().len();
        match self.route_to_client(id, source, packet) {
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
        id: AllocationId,
        source: SocketAddr,
        packet: &mut Packet,
    ) -> Result<FiveTuple, DropReason> {
        let Some(Slot::Open(allocation)) = self.slots.get(id.0 as usize) else {
            return Err(DropReason::NoAllocation);
        };
        let peer = self.common.addresses.from_wire(source);
        if !allocation.may_pass(peer, source, &self.common.open_ports) {
            return Err(DropReason::NoPermission);
        }
        let payload = packet.bytes().len();
        match allocation.channel_of.get(&peer) {
            Some(number) => ChannelData::wrap(packet, *number),
            None => {
                let transaction = TransactionId(self.rng.random());
                if !write_data_indication(packet, peer.0, transaction) {
                    return Err(DropReason::TooLong);
                }
            }
        }
        allocation.usage.add_down(payload);
        Ok(allocation.tuple)
    }

    /// A ChannelData message (RFC 8656 §12.5).
    #[inline]
    fn channel_data(&self, tuple: FiveTuple, bytes: &[u8]) -> Result<ToPeer, DropReason> {
        let ChannelData { number, payload } =
            ChannelData::parse(bytes).ok_or(DropReason::BadChannelData)?;
        let (id, allocation) = self.open_on(tuple).ok_or(DropReason::NoAllocation)?;
        let channel = allocation.channels.get(&number).ok_or(DropReason::NoChannel)?;
        if !allocation.may_pass(channel.peer, channel.wire, &self.common.open_ports) {
            return Err(DropReason::NoPermission);
        }
        allocation.usage.add_up(payload.len());
        Ok(ToPeer { allocation: id, to: channel.wire, payload })
    }

    /// A Send indication (RFC 8656 §11.2). It is never answered, whatever is wrong with it.
    #[inline]
    fn send(&self, tuple: FiveTuple, request: &Request<'_>) -> Result<ToPeer, DropReason> {
        let attributes = &request.attributes;
        let (Some(peer), Some(payload), false, true) = (
            attributes.peer,
            attributes.data.clone(),
            attributes.malformed,
            attributes.unknown.is_empty(),
        ) else {
            return Err(DropReason::BadIndication);
        };
        let (id, allocation) = self.open_on(tuple).ok_or(DropReason::NoAllocation)?;
        let peer = PeerAddr(peer);
        let to = self.common.addresses.to_wire(peer);
        if !allocation.may_pass(peer, to, &self.common.open_ports) {
            return Err(DropReason::NoPermission);
        }
        // A permission says nothing of ports, of which there is no 0; and a listener of ours, where
        // --allow-peer opens its address, is a loop.
        if peer.0.port() == 0 || self.common.addresses.is_listener(to) {
            return Err(DropReason::ForbiddenPeer);
        }
        allocation.usage.add_up(payload.len());
        Ok(ToPeer { allocation: id, to, payload })
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
