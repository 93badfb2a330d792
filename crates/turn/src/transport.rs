//! The transport protocol between the server and the peers of an allocation.

/// The protocol number of TCP in REQUESTED-TRANSPORT (RFC 6062 §4.1, IANA's "Protocol Numbers").
const TCP: u8 = 6;

/// The protocol number of UDP in REQUESTED-TRANSPORT (RFC 8656 §18.8).
const UDP: u8 = 17;

/// The protocol by which an allocation relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// RFC 8656
    Udp,
    /// RFC 6062
    Tcp,
}

impl Transport {
    /// Returns the protocol that REQUESTED-TRANSPORT names, if it is served.
    pub(crate) fn requested(protocol: u8) -> Option<Self> {
        match protocol {
            UDP => Some(Self::Udp),
            TCP => Some(Self::Tcp),
            _ => None,
        }
    }
}
