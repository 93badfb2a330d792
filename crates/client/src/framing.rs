//! The length of a message on a stream (RFC 8656 §12.5, RFC 8489 §6.2.2).

/// The number of bytes in which a message tells its length.
pub const HEADER: usize = 4;

/// The length of the header of a STUN message.
pub(crate) const STUN_HEADER: usize = 20;

/// Returns the length of the message that begins with these bytes, with its header and, for a
/// ChannelData message, with its padding.
pub fn length(header: [u8; HEADER]) -> usize {
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_channel_data = header[0] >> 6 == 0b01;
    if is_channel_data { HEADER + length.next_multiple_of(4) } else { STUN_HEADER + length }
}

/// Pads a message to a multiple of four bytes, as a stream needs it of ChannelData. Messages of STUN
/// have such a length already.
pub fn pad(message: &[u8]) -> Vec<u8> {
    let mut padded = message.to_vec();
    padded.resize(message.len().next_multiple_of(4), 0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel_data;

    #[test]
    fn messages_are_padded_to_multiples_of_four_bytes() {
        assert_eq!(pad(&[0x40, 1, 0, 2, 7, 8]), [0x40, 1, 0, 2, 7, 8, 0, 0]);
        assert_eq!(pad(&[0x40, 1, 0, 0]), [0x40, 1, 0, 0]);
    }

    #[test]
    fn the_length_of_a_message_is_read_from_its_header() {
        assert_eq!(length([0x00, 0x01, 0, 8]), 28);
        for payload in 0..9 {
            let message = pad(&channel_data(0x4000, &vec![7; payload]));
            assert_eq!(length([message[0], message[1], message[2], message[3]]), message.len());
        }
    }
}
