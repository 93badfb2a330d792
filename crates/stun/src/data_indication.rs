//! Data indications (RFC 8656 §11.4), written around a payload in place.

use std::net::SocketAddr;

use super::{
    Packet, TransactionId,
    address::{write_xor, xor_len},
    attribute_type::AttributeType,
    header::{ATTRIBUTE_HEADER, HEADER, MAGIC_COOKIE},
    message_type::MessageType,
};

/// The longest message that says its length in 16 bits, which is a multiple of four (RFC 8489 §5).
const MAX_MESSAGE: usize = HEADER + 0xFFFC;

/// Makes the payload in `packet` a Data indication from `peer` of up to `limit` bytes. `false`,
/// with the packet untouched, if the payload is too long for that.
#[inline]
pub fn write_data_indication(
    packet: &mut Packet<'_>,
    peer: SocketAddr,
    transaction: TransactionId,
    limit: usize,
) -> bool {
    let payload = packet.bytes().len();
    let address = xor_len(peer);
    let header = HEADER + ATTRIBUTE_HEADER + address + ATTRIBUTE_HEADER;
    if header + payload.next_multiple_of(4) > limit.min(MAX_MESSAGE) {
        return false;
    }
    packet.pad();
    let padded = packet.bytes().len();
    let bytes = &mut packet.grow_front(header)[..header];

    put(bytes, 0, const { MessageType::DATA.value() });
    put(bytes, 2, (header - HEADER + padded) as u16);
    bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    bytes[8..20].copy_from_slice(&transaction.0);

    put(bytes, 20, AttributeType::XOR_PEER_ADDRESS.0);
    put(bytes, 22, address as u16);
    write_xor(&mut bytes[24..24 + address], peer, transaction);

    put(bytes, header - 4, AttributeType::DATA.0);
    put(bytes, header - 2, payload as u16);
    true
}

#[inline]
fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
