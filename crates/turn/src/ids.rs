//! The names of allocations, connections and streams within one engine.

/// Names an allocation within its worker. A name is used again once the allocation is closed and
/// its [`CloseRelay`](super::Output::CloseRelay) has been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId(pub u32);

/// Names a connection to a peer within its worker. A name is used again once the connection is
/// closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// Names a stream within its worker. A name is used again once the stream is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);
