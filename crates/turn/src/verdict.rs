//! The verdicts of an engine on the packets that it is given.

use std::net::SocketAddr;

use super::{AllocationId, DropReason, FiveTuple, Owner};

/// The verdict on a datagram from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromClient {
    /// The packet is now the payload: send it from the allocation's socket.
    Forward {
        /// The allocation from whose socket to send.
        allocation: AllocationId,
        /// The peer's address.
        to: SocketAddr,
        /// True if no router may fragment the datagram (DONT-FRAGMENT).
        dont_fragment: bool,
    },
    /// The packet is now the payload, and its peer an allocation of this server: hand it to
    /// [`Engine::handle_relayed`](crate::Engine::handle_relayed) of its worker.
    HandOver(HandOver),
    /// It was a request: [`Engine::poll_output`](crate::Engine::poll_output) gives what is to be
    /// done, and the answer.
    Handled,
    /// It is dropped, and has been counted.
    Dropped(DropReason),
}

/// The way from one relayed address of this server to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOver {
    /// The owner of the address that it goes to.
    pub owner: Owner,
    /// The relayed address that it comes from.
    pub from: SocketAddr,
    /// The relayed address that it goes to.
    pub to: SocketAddr,
}

/// The verdict on a datagram from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromPeer {
    /// The packet now has its header: send it to the client.
    Forward {
        /// The client, and the listener or stream to send from.
        to: FiveTuple,
    },
    /// It is dropped, and has been counted.
    Dropped(DropReason),
}
