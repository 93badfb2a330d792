//! The attributes of requests.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::Setter};
use ::turn::proto::{
    channum::ChannelNumber, lifetime::Lifetime, peeraddr::PeerAddress, reqtrans::RequestedTransport,
};

pub(crate) fn udp() -> Box<dyn Setter> {
    Box::new(RequestedTransport { protocol: ::turn::proto::PROTO_UDP })
}

pub(crate) fn raw(typ: AttrType, value: &[u8]) -> Box<dyn Setter> {
    Box::new(RawAttribute { typ, length: value.len() as u16, value: value.to_vec() })
}

/// ADDITIONAL-ADDRESS-FAMILY: IPv6.
pub(crate) fn both() -> Box<dyn Setter> {
    raw(AttrType(0x8000), &[2, 0, 0, 0])
}

/// MOBILITY-TICKET.
pub(crate) const MOBILITY_TICKET: AttrType = AttrType(0x8030);

/// REQUESTED-ADDRESS-FAMILY.
pub(crate) fn family(v4: bool) -> Box<dyn Setter> {
    raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[if v4 { 1 } else { 2 }, 0, 0, 0])
}

pub(crate) fn peer(address: &str) -> Box<dyn Setter> {
    peer_at(address.parse().unwrap())
}

pub(crate) fn peer_at(address: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress { ip: address.ip(), port: address.port() })
}

pub(crate) fn channel(number: u16) -> Box<dyn Setter> {
    Box::new(ChannelNumber(number))
}

pub(crate) fn lifetime(secs: u64) -> Box<dyn Setter> {
    Box::new(Lifetime(Duration::from_secs(secs)))
}

pub(crate) fn data(bytes: &[u8]) -> Box<dyn Setter> {
    raw(ATTR_DATA, bytes)
}
