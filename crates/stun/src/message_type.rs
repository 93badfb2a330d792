//! The first 16 bits of a message: a method and a class, their bits interleaved (RFC 8489 §5).

/// The class of a message (RFC 8489 §5). Its value is C1 and C0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Class {
    Request = 0b00,
    Indication = 0b01,
    Success = 0b10,
    Error = 0b11,
}

/// The type of a message. The number of its method is one of IANA's "STUN Methods", in 12 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageType {
    pub method: u16,
    pub class: Class,
}

impl MessageType {
    /// The Data indication (RFC 8656 §11.4).
    pub(crate) const DATA: Self = Self { method: 0x007, class: Class::Indication };
    /// The ConnectionAttempt indication (RFC 6062 §4.3).
    pub(crate) const CONNECTION_ATTEMPT: Self = Self { method: 0x00C, class: Class::Indication };

    /// Returns the field: M11–M7, C1, M6–M4, C0, M3–M0.
    pub(crate) const fn value(self) -> u16 {
        let (method, class) = (self.method, self.class as u16);
        (method & 0xF80) << 2
            | (class & 0b10) << 7
            | (method & 0x070) << 1
            | (class & 0b01) << 4
            | method & 0x00F
    }

    /// Reads the field. The two bits in front of it are not its own.
    pub(crate) fn read(value: u16) -> Self {
        let class = match (value >> 7 & 0b10) | (value >> 4 & 0b01) {
            0b00 => Class::Request,
            0b01 => Class::Indication,
            0b10 => Class::Success,
            _ => Class::Error,
        };
        let method = (value >> 2 & 0xF80) | (value >> 1 & 0x070) | (value & 0x00F);
        Self { method, class }
    }
}

#[cfg(test)]
mod tests {
    use ::stun::message::{MessageType as Oracle, *};

    use super::{Class, MessageType};

    #[test]
    fn every_value_is_read_as_by_webrtc_rs() {
        for value in 0..=u16::MAX {
            let mut oracle = Oracle::default();
            oracle.read_value(value);
            let class = match oracle.class {
                CLASS_REQUEST => Class::Request,
                CLASS_INDICATION => Class::Indication,
                CLASS_SUCCESS_RESPONSE => Class::Success,
                _ => Class::Error,
            };
            let ours = MessageType::read(value);
            assert_eq!((ours.class, ours.value()), (class, oracle.value()), "{value:#06x}");
        }
    }

    #[test]
    fn the_server_s_own_indications_are_those_of_webrtc_rs() {
        for (ours, method) in [
            (MessageType::DATA, METHOD_DATA),
            (MessageType::CONNECTION_ATTEMPT, METHOD_CONNECTION_ATTEMPT),
        ] {
            assert_eq!(ours.value(), Oracle { method, class: CLASS_INDICATION }.value());
            assert_eq!(MessageType::read(ours.value()), ours);
        }
    }
}
