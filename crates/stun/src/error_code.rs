//! The error codes that this server answers with.

/// An error code of a STUN or TURN response and its default reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum ErrorCode {
    /// The request is malformed (RFC 8489 §14.8).
    BadRequest = 400,
    /// No credentials, or wrong ones (RFC 8489 §14.8).
    Unauthorized = 401,
    /// The peer address is not allowed (RFC 8656 §19).
    Forbidden = 403,
    /// There is no mobility for this client (RFC 8016 §5).
    MobilityForbidden = 405,
    /// The request needs an attribute understood that is not (RFC 8489 §14.8).
    UnknownAttribute = 420,
    /// No allocation on this 5-tuple, or one where there must be none (RFC 8656 §19).
    AllocationMismatch = 437,
    /// The nonce is not valid any more (RFC 8489 §14.8).
    StaleNonce = 438,
    /// No relayed address of the family asked for (RFC 8656 §19).
    AddressFamilyNotSupported = 440,
    /// The allocation belongs to another user (RFC 8656 §19).
    WrongCredentials = 441,
    /// Neither UDP nor TCP is to be relayed (RFC 8656 §19).
    UnsupportedTransport = 442,
    /// The peer's family is not that of the relayed address (RFC 8656 §19).
    PeerAddressFamilyMismatch = 443,
    /// There is a connection to this peer already (RFC 6062 §6.3).
    ConnectionAlreadyExists = 446,
    /// The peer cannot be connected to (RFC 6062 §6.3).
    ConnectionTimeoutOrFailure = 447,
    /// This user has as many allocations as one may have (RFC 8656 §19).
    AllocationQuotaReached = 486,
    /// The server can take no more (RFC 8656 §19).
    InsufficientCapacity = 508,
}

impl ErrorCode {
    /// Every code, in order of number.
    pub const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::MobilityForbidden,
        Self::UnknownAttribute,
        Self::AllocationMismatch,
        Self::StaleNonce,
        Self::AddressFamilyNotSupported,
        Self::WrongCredentials,
        Self::UnsupportedTransport,
        Self::PeerAddressFamilyMismatch,
        Self::ConnectionAlreadyExists,
        Self::ConnectionTimeoutOrFailure,
        Self::AllocationQuotaReached,
        Self::InsufficientCapacity,
    ];

    /// Returns the number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Returns the number as text, for a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "400",
            Self::Unauthorized => "401",
            Self::Forbidden => "403",
            Self::MobilityForbidden => "405",
            Self::UnknownAttribute => "420",
            Self::AllocationMismatch => "437",
            Self::StaleNonce => "438",
            Self::AddressFamilyNotSupported => "440",
            Self::WrongCredentials => "441",
            Self::UnsupportedTransport => "442",
            Self::PeerAddressFamilyMismatch => "443",
            Self::ConnectionAlreadyExists => "446",
            Self::ConnectionTimeoutOrFailure => "447",
            Self::AllocationQuotaReached => "486",
            Self::InsufficientCapacity => "508",
        }
    }

    /// Returns the reason phrase of the RFC that defines the code.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::MobilityForbidden => "Mobility Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::AddressFamilyNotSupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransport => "Unsupported Transport Protocol",
            Self::PeerAddressFamilyMismatch => "Peer Address Family Mismatch",
            Self::ConnectionAlreadyExists => "Connection Already Exists",
            Self::ConnectionTimeoutOrFailure => "Connection Timeout or Failure",
            Self::AllocationQuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}
