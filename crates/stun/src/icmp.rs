//! Data indications that tell of an ICMP error instead of carrying data (RFC 8656 §11.5, §18.13).

use std::net::SocketAddr;

use super::{
    Family, Response, TransactionId, attribute_type::AttributeType, message_type::MessageType,
    writer::MessageWriter,
};

/// The length of the longest of these indications: with a peer of IPv6.
const CAPACITY: usize = 20 + 24 + 12;

/// An ICMP error: the reason for which a datagram did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// Of which ICMP it is.
    pub family: Family,
    /// The type, by RFC 792 or RFC 4443.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The MTU of the next link in bytes, where that is what is wrong; else of no meaning.
    pub mtu: u32,
}

impl Icmp {
    /// Returns true if a client is told of it: it is not reachable, too big, or out of time (RFC
    /// 8656 §11.5).
    pub fn is_relayed(self) -> bool {
        match self.family {
            Family::V4 => matches!(self.kind, 3 | 11),
            Family::V6 => matches!(self.kind, 1..=3),
        }
    }

    /// Returns true if the datagram was too big for a link: then there is something in Error Data.
    fn is_too_big(self) -> bool {
        match self.family {
            Family::V4 => (self.kind, self.code) == (3, 4),
            Family::V6 => self.kind == 2,
        }
    }

    /// Returns the value of the attribute: the type has 7 bits, the code 9.
    fn value(self) -> [u8; 8] {
        let kind_and_code = (u16::from(self.kind) << 9 | u16::from(self.code)).to_be_bytes();
        let data = if self.is_too_big() { self.mtu } else { 0 }.to_be_bytes();
        let mut value = [0; 8];
        value[2..4].copy_from_slice(&kind_and_code);
        value[4..].copy_from_slice(&data);
        value
    }
}

/// Returns a Data indication with an ICMP attribute: what was sent to `peer` did not arrive.
pub fn icmp_indication(peer: SocketAddr, icmp: Icmp, transaction: TransactionId) -> Response {
    let mut message = MessageWriter::new(MessageType::DATA, transaction, CAPACITY);
    message.add_xor_address(AttributeType::XOR_PEER_ADDRESS, peer);
    message.add_value(AttributeType::ICMP, &icmp.value());
    message.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_has_its_bits_where_the_rfc_puts_them() {
        let too_big = Icmp { family: Family::V4, kind: 3, code: 4, mtu: 1400 };
        assert_eq!(too_big.value(), [0, 0, 6, 4, 0, 0, 0x05, 0x78]);
        let unreachable = Icmp { family: Family::V4, kind: 3, code: 3, mtu: 7 };
        assert_eq!(unreachable.value(), [0, 0, 6, 3, 0, 0, 0, 0]);
        let too_big = Icmp { family: Family::V6, kind: 2, code: 0, mtu: 1280 };
        assert_eq!(too_big.value(), [0, 0, 4, 0, 0, 0, 5, 0]);
    }

    #[test]
    fn some_types_concern_a_client() {
        let relayed = |family, kind| Icmp { family, kind, code: 0, mtu: 0 }.is_relayed();
        let of = |family| (0..=255).filter(|kind| relayed(family, *kind)).collect::<Vec<_>>();
        assert_eq!((of(Family::V4), of(Family::V6)), (vec![3, 11], vec![1, 2, 3]));
    }
}
