//! The fixed parts of a message: its header and those of its attributes (RFC 8489 §5, §14).

/// The length of a STUN header (RFC 8489 §5).
pub(crate) const HEADER: usize = 20;

/// The length of an attribute's type and length (RFC 8489 §14).
pub(crate) const ATTRIBUTE_HEADER: usize = 4;

/// The magic cookie, by which a STUN message is told from other protocols (RFC 8489 §5).
pub(crate) const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The 96 bits that name a transaction (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);
