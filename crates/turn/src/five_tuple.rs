//! The 5-tuple by which a client is told from others.

use callbox_base::ids::ClientAddr;

use super::StreamId;

/// A client and the way by which it is reached: the 5-tuple of RFC 8656 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// The way: the server's address, and the protocol.
    pub via: Via,
    /// The client's address.
    pub client: ClientAddr,
}

/// The way by which a client is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// UDP, from the listener with this index in the list that
    /// [`Common::new`](crate::Common::new) was given.
    Listener(u16),
    /// The client's own stream of TCP or TLS.
    Stream(StreamId),
}

impl Via {
    /// The way to a client whose stream is gone and that has not come back: no stream has this
    /// name.
    pub(super) const NOWHERE: Self = Self::Stream(StreamId(u32::MAX));
}
