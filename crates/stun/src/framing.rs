//! The beginnings and ends of messages on a stream (RFC 8489 §6.2.2, RFC 8656 §12.5).

use super::{
    Kind,
    header::{HEADER, MAGIC_COOKIE},
};

/// The longest message on a stream: a header and what its length of 16 bits can say.
pub const MAX_FRAME: usize = HEADER + 0xFFFF;

/// The message at the front of a stream, by its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The beginning of a message, or nothing: more must come.
    Part,
    /// A message of so many bytes; the next one begins `ends` bytes from its start, padding
    /// counted.
    Whole {
        /// The message, without padding.
        message: usize,
        /// The message with its padding.
        ends: usize,
    },
    /// Nothing that belongs on the stream. The beginning of the next message cannot be known.
    Broken,
    /// A message that is longer than may come.
    TooLong,
}

impl Frame {
    /// Looks at the front of a stream, on which messages of up to `limit` bytes may come.
    #[inline]
    pub fn first(bytes: &[u8], limit: usize) -> Self {
        let len = match bytes {
            [_, _, a, b, ..] => usize::from(u16::from_be_bytes([*a, *b])),
            [] => return Self::Part,
            _ => match Kind::of(bytes) {
                Kind::Other => return Self::Broken,
                _ => return Self::Part,
            },
        };
        let (message, ends) = match Kind::of(bytes) {
            // "The padding … is not reflected in the length" (RFC 8656 §12.5).
            Kind::ChannelData => (4 + len, 4 + len.next_multiple_of(4)),
            // A STUN message is a multiple of four bytes and has the cookie (RFC 8489 §5).
            Kind::Stun if len.is_multiple_of(4) && has_cookie(bytes) => {
                (HEADER + len, HEADER + len)
            }
            Kind::Stun | Kind::Other => return Self::Broken,
        };
        if message > limit {
            Self::TooLong
        } else if ends > bytes.len() {
            Self::Part
        } else {
            Self::Whole { message, ends }
        }
    }
}

/// Returns true if the bytes that have come of a magic cookie are those of one.
#[inline]
fn has_cookie(bytes: &[u8]) -> bool {
    let end = bytes.len().min(8);
    MAGIC_COOKIE.to_be_bytes().starts_with(&bytes[4..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stun(len: usize) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend((len as u16).to_be_bytes());
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.resize(HEADER + len, 7);
        bytes
    }

    fn channel_data(len: usize) -> Vec<u8> {
        let mut bytes = vec![0x40, 0];
        bytes.extend((len as u16).to_be_bytes());
        bytes.resize(4 + len.next_multiple_of(4), 7);
        bytes
    }

    #[test]
    fn a_message_ends_where_its_length_says() {
        let whole = |message, ends| Frame::Whole { message, ends };
        assert_eq!(Frame::first(&stun(8), MAX_FRAME), whole(28, 28));
        assert_eq!(Frame::first(&channel_data(0), MAX_FRAME), whole(4, 4));
        assert_eq!(Frame::first(&channel_data(5), MAX_FRAME), whole(9, 12));
        assert_eq!(Frame::first(&channel_data(65_535), MAX_FRAME), whole(65_539, 65_540));
        assert_eq!(Frame::first(&stun(0xFFFC), MAX_FRAME), whole(65_552, 65_552));
    }

    #[test]
    fn invalid_messages_break_the_stream() {
        let mut odd = stun(8);
        odd[3] = 7;
        let mut foreign = stun(8);
        foreign[7] ^= 1;
        for broken in [&odd[..], &foreign, &[0x80], &[0x16, 3], &[0x16, 3, 1, 0, 1]] {
            assert_eq!(Frame::first(broken, MAX_FRAME), Frame::Broken, "{broken:x?}");
        }
        assert_eq!(Frame::first(&stun(100)[..20], 64), Frame::TooLong);
        assert_eq!(Frame::first(&channel_data(100)[..4], 64), Frame::TooLong);
    }

    proptest! {
        /// At every byte boundary: what has come so far is a part, and never anything else.
        #[test]
        fn a_split_message_is_a_part_until_it_is_complete(len in 0usize..600, is_stun: bool, more in 0usize..9) {
            let mut bytes = if is_stun { stun(len & !3) } else { channel_data(len) };
            let ends = bytes.len();
            for cut in 0..ends {
                prop_assert_eq!(Frame::first(&bytes[..cut], MAX_FRAME), Frame::Part);
            }
            bytes.resize(ends + more, 0xEE);
            let Frame::Whole { ends: found, message } = Frame::first(&bytes, MAX_FRAME) else {
                panic!("it is whole");
            };
            prop_assert_eq!(found, ends);
            prop_assert!(message <= ends && ends - message < 4);
        }

        #[test]
        fn a_frame_ends_within_the_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Frame::Whole { message, ends } = Frame::first(&bytes, 64) {
                prop_assert!(message <= ends && ends <= bytes.len() && message <= 64 && ends > 0);
            }
        }
    }
}
