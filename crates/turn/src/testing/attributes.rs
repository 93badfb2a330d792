//! The attributes of requests.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::Setter};
use ::turn::proto::{
    channum::ChannelNumber, lifetime::Lifetime, peeraddr::PeerAddress, reqtrans::RequestedTransport,
};

pub fn udp() -> Box<dyn Setter> {
    Box::new(RequestedTransport { protocol: ::turn::proto::PROTO_UDP })
}

pub fn raw(typ: AttrType, value: &[u8]) -> Box<dyn Setter> {
    Box::new(RawAttribute { typ, length: value.len() as u16, value: value.to_vec() })
}

/// ADDITIONAL-ADDRESS-FAMILY: IPv6.
pub fn both() -> Box<dyn Setter> {
    raw(AttrType(0x8000), &[2, 0, 0, 0])
}

/// MOBILITY-TICKET.
pub const MOBILITY_TICKET: AttrType = AttrType(0x8030);

/// REQUESTED-ADDRESS-FAMILY.
pub fn family(v4: bool) -> Box<dyn Setter> {
    raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[if v4 { 1 } else { 2 }, 0, 0, 0])
}

pub fn peer(address: &str) -> Box<dyn Setter> {
    peer_at(address.parse().unwrap())
}

pub fn peer_at(address: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress { ip: address.ip(), port: address.port() })
}

pub fn channel(number: u16) -> Box<dyn Setter> {
    Box::new(ChannelNumber(number))
}

pub fn lifetime(secs: u64) -> Box<dyn Setter> {
    Box::new(Lifetime(Duration::from_secs(secs)))
}

pub fn data(bytes: &[u8]) -> Box<dyn Setter> {
    raw(ATTR_DATA, bytes)
}
