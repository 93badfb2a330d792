//! The wire: bytes to a typed [`Request`], a typed [`Response`] to bytes, ChannelData and Data
//! indications written in place.
//!
//! [`Request::parse`] allocates nothing, as a server needs that strangers talk to: it looks at each
//! byte of a message once and keeps only borrowed parts. A response is written into one buffer.
//! There is no I/O and no async runtime in here, nor in what this crate depends on; the `stun` and
//! `turn` crates of webrtc-rs are what its tests compare it with.
#![forbid(unsafe_code)]

mod address;
mod attribute_type;
mod attributes;
mod channel_data;
mod data_indication;
mod discovery;
mod error_code;
mod fingerprint;
mod framing;
mod header;
mod icmp;
mod integrity;
mod message_type;
mod method;
mod packet;
mod password_algorithm;
mod password_key;
mod request;
mod response;
mod writer;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "testing"))]
pub mod vectors;

pub use attributes::{Attributes, EvenPort, Family, Unknown};
pub use channel_data::{ChannelData, ChannelNumber};
pub use data_indication::write_data_indication;
pub use discovery::{Change, Discovery};
pub use error_code::ErrorCode;
pub use framing::{Frame, MAX_FRAME};
pub use header::TransactionId;
pub use icmp::{Icmp, icmp_indication};
pub use integrity::{Credentials, Integrity, SigningKey};
pub use method::Method;
#[cfg(any(test, feature = "testing"))]
pub use packet::roomy;
pub use packet::{HEADROOM, Packet, max_payload};
pub use password_algorithm::PasswordAlgorithm;
pub use password_key::{md5_key, sha256_key, userhash};
pub use request::{ParseError, Request};
pub use response::{Response, ResponseBuilder};

/// The kind of a datagram on a TURN listener, by its first byte (RFC 5766 §11, RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0–3: the two top bits of every STUN message are zero (RFC 8489 §5).
    Stun,
    /// 64–127: a channel number of 0x4000–0x7FFF.
    ChannelData,
    /// Anything else; nothing of ours.
    Other,
}

impl Kind {
    /// Looks at the first byte; an empty datagram is [`Kind::Other`].
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(0..=3) => Self::Stun,
            Some(0x40..=0x7F) => Self::ChannelData,
            _ => Self::Other,
        }
    }
}
