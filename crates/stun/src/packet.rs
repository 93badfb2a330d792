//! A datagram in a buffer with room in front of it, so that a header is put on or taken off without
//! moving the payload.

use std::{net::SocketAddr, ops::Range};

/// Bytes to be kept free around a received datagram: in front for the largest header that is put
/// before a payload, that of a Data indication with an IPv6 peer (20 + 24 + 4); behind for the
/// padding of an attribute (RFC 8489 §14).
pub const HEADROOM: usize = 48;

/// Returns the longest payload of a UDP datagram to `address`: what is left of the 65,535 bytes
/// that a datagram can say it has (RFC 768), and over IPv4 of those of the whole packet.
#[inline]
pub fn max_payload(address: SocketAddr) -> usize {
    if address.is_ipv4() { 65_535 - 20 - 8 } else { 65_535 - 8 }
}

/// One datagram, as a range of a buffer.
#[derive(Debug)]
pub struct Packet<'a> {
    buffer: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> Packet<'a> {
    /// Makes a packet of the datagram in the range `range` of `buffer`, with the bytes around it
    /// free to be written: [`HEADROOM`] of them on each side, or none if only [`Packet::narrow`] is
    /// used.
    #[inline]
    pub fn new(buffer: &'a mut [u8], range: Range<usize>) -> Self {
        Self { buffer, start: range.start, end: range.end }
    }

    /// Returns the range of the buffer that the datagram takes.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Returns the datagram.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Cuts the datagram down to a part of itself, such as the payload of a ChannelData message.
    #[inline]
    pub fn narrow(&mut self, part: Range<usize>) {
        debug_assert!(part.start <= part.end && part.end <= self.end - self.start);
        self.end = self.start + part.end;
        self.start += part.start;
    }

    /// Makes room for `len` more bytes in front and returns the whole datagram to write them into.
    ///
    /// # Panics
    /// Panics without such room: headers are of our own making.
    #[inline]
    pub fn grow_front(&mut self, len: usize) -> &mut [u8] {
        self.start -= len;
        &mut self.buffer[self.start..self.end]
    }

    /// Pads the datagram with up to 3 zero bytes, to a multiple of four.
    ///
    /// # Panics
    /// Panics without such room.
    #[inline]
    pub fn pad(&mut self) {
        let padding = (self.end - self.start).wrapping_neg() % 4;
        self.buffer[self.end..self.end + padding].fill(0);
        self.end += padding;
    }
}

/// Returns a copy of a datagram with free bytes around it: for tests and simulations.
#[cfg(any(test, feature = "testing"))]
pub fn roomy(bytes: &[u8]) -> (Vec<u8>, Range<usize>) {
    let mut buffer = vec![0xAA; HEADROOM + bytes.len() + HEADROOM];
    let range = HEADROOM..HEADROOM + bytes.len();
    buffer[range.clone()].copy_from_slice(bytes);
    (buffer, range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_removed_and_added_in_place() {
        let (mut buffer, range) = roomy(b"headpayload");
        let mut packet = Packet::new(&mut buffer, range);
        packet.narrow(4..11);
        assert_eq!(packet.bytes(), b"payload");
        packet.pad();
        assert_eq!(packet.bytes(), b"payload\0");
        packet.grow_front(HEADROOM)[..4].copy_from_slice(b"HEAD");
        assert_eq!(packet.range(), 4..60);
        assert_eq!(&packet.bytes()[..4], b"HEAD");
        assert!(packet.bytes().ends_with(b"payload\0"));
    }
}
