//! A datagram in a buffer with room in front of it, so that a header is put on or taken off without
//! moving the payload.

/// Bytes kept free in front of a received datagram: enough for the largest header that is put
/// before a payload, that of a Data indication with an IPv6 peer (20 + 24 + 4).
pub const HEADROOM: usize = 48;

/// Bytes kept free behind it, for the padding of an attribute (RFC 8489 §14).
const TAILROOM: usize = 4;

/// The largest UDP payload there can be.
const MAX_DATAGRAM: usize = 65_535;

/// One datagram and the room around it. Made once for each worker and used again and again.
pub struct Packet {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Packet {
    /// Makes an empty packet with room for any datagram.
    pub fn new() -> Self {
        let buffer = vec![0; HEADROOM + MAX_DATAGRAM + TAILROOM].into_boxed_slice();
        Self { buffer, start: HEADROOM, end: HEADROOM }
    }

    /// The part to receive the next datagram into; tell its length with [`Packet::received`].
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM..HEADROOM + MAX_DATAGRAM]
    }

    /// Says that a datagram of `len` bytes now stands in [`Packet::space`].
    pub fn received(&mut self, len: usize) {
        self.start = HEADROOM;
        self.end = HEADROOM + len.min(MAX_DATAGRAM);
    }

    /// The datagram.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Cuts the datagram down to a part of itself, such as the payload of a ChannelData message.
    #[inline]
    pub fn narrow(&mut self, part: std::ops::Range<usize>) {
        debug_assert!(part.start <= part.end && part.end <= self.end - self.start);
        self.end = self.start + part.end;
        self.start += part.start;
    }

    /// Makes room for `len` more bytes in front and gives the whole datagram to write them into.
    ///
    /// # Panics
    /// If more than [`HEADROOM`] is asked for in all: headers are of our own making.
    #[inline]
    pub fn grow_front(&mut self, len: usize) -> &mut [u8] {
        self.start -= len;
        &mut self.buffer[self.start..self.end]
    }

    /// Pads the datagram with up to 3 zero bytes, to a multiple of four.
    #[inline]
    pub fn pad(&mut self) {
        let padding = (self.end - self.start).wrapping_neg() % 4;
        self.buffer[self.end..self.end + padding].fill(0);
        self.end += padding;
    }
}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&[u8]> for Packet {
    /// A packet that holds a copy of `bytes`: for tests and simulations.
    fn from(bytes: &[u8]) -> Self {
        let mut packet = Self::new();
        packet.space()[..bytes.len()].copy_from_slice(bytes);
        packet.received(bytes.len());
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_off_and_go_on_in_place() {
        let mut packet = Packet::from(&b"headpayload"[..]);
        packet.narrow(4..11);
        assert_eq!(packet.bytes(), b"payload");
        packet.pad();
        assert_eq!(packet.bytes(), b"payload\0");
        packet.grow_front(HEADROOM)[..4].copy_from_slice(b"HEAD");
        assert_eq!(&packet.bytes()[..4], b"HEAD");
        assert!(packet.bytes().ends_with(b"payload\0"));
    }

    #[test]
    fn the_largest_datagram_can_still_be_padded() {
        let mut packet = Packet::new();
        packet.received(MAX_DATAGRAM);
        packet.pad();
        assert_eq!(packet.bytes().len(), MAX_DATAGRAM + 1);
    }
}
