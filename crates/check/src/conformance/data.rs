//! Data from a peer, as the server sends it to a client.

use std::net::SocketAddr;

use ::stun::{
    attributes::{ATTR_DATA, ATTR_XOR_PEER_ADDRESS},
    message::{CLASS_INDICATION, METHOD_DATA},
};

use super::{
    answer::{Answer, describe},
    verdict::{Fault, Verdict},
};

/// Data from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// A Data indication from this peer.
    Indication(SocketAddr, Vec<u8>),
    /// A ChannelData message on this channel.
    Channel(u16, Vec<u8>),
}

impl Data {
    /// Reads a message, which must bring data.
    pub(super) fn parse(bytes: &[u8]) -> Verdict<Self> {
        if let [0x40..=0x7F, ..] = bytes {
            return Self::parse_channel(bytes);
        }
        let message = Answer::parse(bytes)?;
        let typ = message.typ();
        if (typ.method, typ.class) != (METHOD_DATA, CLASS_INDICATION) {
            return Err(Fault::failed("data from the peer", message.describe()));
        }
        let peer = message.address(ATTR_XOR_PEER_ADDRESS)?;
        Ok(Self::Indication(peer, message.need(ATTR_DATA)?))
    }

    /// Reads a ChannelData message; over UDP there may be padding behind it.
    fn parse_channel(bytes: &[u8]) -> Verdict<Self> {
        if let [n0, n1, l0, l1, data @ ..] = bytes {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            if (length..length + 4).contains(&data.len()) {
                let number = u16::from_be_bytes([*n0, *n1]);
                return Ok(Self::Channel(number, data[..length].to_vec()));
            }
        }
        Err(Fault::failed("ChannelData as long as it says", describe(bytes)))
    }
}
