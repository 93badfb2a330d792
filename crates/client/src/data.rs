//! Data to and from peers: Send and Data indications, and ChannelData messages.

use std::net::SocketAddr;

use stun::{
    attributes::ATTR_DATA,
    message::{CLASS_INDICATION, Getter, METHOD_DATA, Message, MessageType},
};
use turn::proto::peeraddr::PeerAddress;

use crate::{
    Error, Request,
    framing::{HEADER, STUN_HEADER},
};

/// Data from a peer, as it came to the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// A ChannelData message: the channel's number and the payload.
    Channel(u16, &'a [u8]),
    /// A Data indication: the peer and the payload.
    Indication(SocketAddr, &'a [u8]),
}

impl<'a> Data<'a> {
    /// Reads a message; returns `None` if it brings no data.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let [a, b, c, d, payload @ ..] = message else { return None };
        let (first, len) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        // RFC 8656 §12: the first two bits tell a channel number from a STUN message.
        if a >> 6 == 0b01 {
            return Some(Self::Channel(first, payload.get(..len.into())?));
        }
        if first != (MessageType { method: METHOD_DATA, class: CLASS_INDICATION }).value() {
            return None;
        }
        let (mut parsed, mut peer) = (Message::new(), PeerAddress::default());
        parsed.unmarshal_binary(message).ok()?;
        peer.get_from(&parsed).ok()?;
        Some(Self::Indication(SocketAddr::new(peer.ip, peer.port), payload_of(message)?))
    }
}

/// Returns the DATA attribute of a STUN message. Servers differ in where they put it.
pub fn payload_of(message: &[u8]) -> Option<&[u8]> {
    let mut left = message.get(STUN_HEADER..)?;
    while let [a, b, c, d, rest @ ..] = left {
        let len = usize::from(u16::from_be_bytes([*c, *d]));
        if u16::from_be_bytes([*a, *b]) == ATTR_DATA.0 {
            return rest.get(..len);
        }
        left = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// Encodes a ChannelData message, without padding.
pub fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + payload.len());
    message.extend_from_slice(&number.to_be_bytes());
    message.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    message.extend_from_slice(payload);
    message
}

/// Encodes a Send indication. The DATA attribute is the last one.
///
/// # Errors
/// The peer's address cannot be encoded.
pub fn send_indication(peer: SocketAddr, payload: &[u8]) -> Result<Message, Error> {
    let mut message = Request::send(peer).to_message()?;
    message.add(ATTR_DATA, payload);
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_data_is_read_back() {
        let peer: SocketAddr = "[2001:db8::1]:5000".parse().unwrap();
        for payload in [&b""[..], b"one", b"four"] {
            let message = channel_data(0x4001, payload);
            assert_eq!(Data::read(&message), Some(Data::Channel(0x4001, payload)));
            let mut message = send_indication(peer, payload).unwrap();
            assert_eq!(Data::read(&message.raw), None, "only a server sends data");
            message.set_type(MessageType { method: METHOD_DATA, class: CLASS_INDICATION });
            assert_eq!(Data::read(&message.raw), Some(Data::Indication(peer, payload)));
        }
    }

    #[test]
    fn truncated_data_is_rejected() {
        let message = channel_data(0x4001, b"four");
        for len in 0..message.len() {
            assert_eq!(Data::read(&message[..len]), None);
        }
        assert_eq!(payload_of(&[0; 20]), None);
    }
}
