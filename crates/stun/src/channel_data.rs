//! ChannelData messages (RFC 8656 §12.4): four bytes in front of a payload.

use std::ops::Range;

use super::Packet;

/// A channel number that a client may bind: 0x4000–0x7FFF (RFC 5766 §11). RFC 8656 §12 has left
/// clients 0x4000–0x4FFF of it; those written before, coturn's among them, draw from the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// Takes a number from the wire; `None` outside the range.
    #[inline]
    pub fn new(number: u16) -> Option<Self> {
        (0x4000..=0x7FFF).contains(&number).then_some(Self(number))
    }

    /// Returns the number on the wire.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A ChannelData message taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelData {
    /// The number of the channel.
    pub number: ChannelNumber,
    /// The range of the payload in the message.
    pub payload: Range<usize>,
}

impl ChannelData {
    /// The length of a header, in bytes.
    pub const HEADER: usize = 4;

    /// Reads the header. `None` if the number is out of range or the length says more than there
    /// is; what stands behind the payload is padding (RFC 8656 §12.5).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[n0, n1, l0, l1] = bytes.first_chunk::<{ Self::HEADER }>()?;
        let number = ChannelNumber::new(u16::from_be_bytes([n0, n1]))?;
        let end = Self::HEADER + usize::from(u16::from_be_bytes([l0, l1]));
        (end <= bytes.len()).then_some(Self { number, payload: Self::HEADER..end })
    }

    /// Makes the payload in `packet` a ChannelData message. Over UDP there is no padding
    /// (RFC 8656 §12.5).
    ///
    /// The payload came in one datagram, so its length fits 16 bits.
    #[inline]
    pub fn wrap(packet: &mut Packet<'_>, number: ChannelNumber) {
        let len = packet.bytes().len() as u16;
        let header = &mut packet.grow_front(Self::HEADER)[..Self::HEADER];
        header[..2].copy_from_slice(&number.0.to_be_bytes());
        header[2..].copy_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_rfc_s_range_is_a_channel() {
        for (number, ok) in [(0x3FFF, false), (0x4000, true), (0x7FFF, true), (0x8000, false)] {
            assert_eq!(ChannelNumber::new(number).is_some(), ok, "{number:x}");
        }
    }

    proptest! {
        #[test]
        fn wrapped_channel_data_is_parsed_back(number in 0x4000u16..0x8000, payload in prop::collection::vec(any::<u8>(), 0..1500)) {
            let number = ChannelNumber::new(number).unwrap();
            let (mut buffer, range) = crate::roomy(&payload);
            let mut packet = Packet::new(&mut buffer, range);
            ChannelData::wrap(&mut packet, number);
            let read = ChannelData::parse(packet.bytes()).unwrap();
            prop_assert_eq!(read.number, number);
            prop_assert_eq!(&packet.bytes()[read.payload], &payload[..]);
        }

        #[test]
        fn a_length_past_end_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(first) = bytes.first_mut() {
                *first = 0x40;
            }
            if let Some(read) = ChannelData::parse(&bytes) {
                prop_assert!(read.payload.end <= bytes.len());
            }
        }
    }
}
