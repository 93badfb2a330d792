//! The outputs of an engine.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use callbox_base::{
    ids::{CallId, ClientAddr},
    usage::Usage,
};
use callbox_stun::Response;

use super::{AllocationId, ConnectionId, Ended, FiveTuple, StreamId, Traced};
use crate::auth::WrongCredentials;

/// Something for the driver to do, in the order in which
/// [`Engine::poll_output`](crate::Engine::poll_output) gives it.
#[derive(Debug)]
pub enum Output {
    /// Send a response, or an indication that is not made from a packet.
    Transmit {
        /// The client, and the listener or stream to send from.
        to: FiveTuple,
        /// The message.
        bytes: Response,
    },
    /// Open a socket of UDP for an allocation, and call
    /// [`Engine::relay_opened`](crate::Engine::relay_opened) with the outcome, exactly once. The
    /// client is not answered before.
    OpenRelay {
        /// The allocation.
        allocation: AllocationId,
        /// The address to bind, with its port.
        address: SocketAddr,
        /// True if ICMP errors of the socket are to be told to
        /// [`Engine::handle_icmp`](crate::Engine::handle_icmp), as far as the system tells them.
        errors: bool,
    },
    /// Open a listener of TCP for an allocation (RFC 6062 §5.1), from whose address connections are
    /// made, too, and call [`Engine::relay_opened`](crate::Engine::relay_opened) as for
    /// [`Output::OpenRelay`]. Each connection that it accepts is told to
    /// [`Engine::peer_connected`](crate::Engine::peer_connected).
    ListenRelay {
        /// The allocation.
        allocation: AllocationId,
        /// The address to bind, with its port.
        address: SocketAddr,
    },
    /// Connect to a peer over TCP, and call [`Engine::connected`](crate::Engine::connected) with
    /// the outcome, unless [`Output::CloseConnection`] comes first.
    Connect {
        /// The allocation that the connection belongs to.
        allocation: AllocationId,
        /// The name of the connection.
        connection: ConnectionId,
        /// The address to connect from, which is the listener's.
        from: SocketAddr,
        /// The peer's address.
        to: SocketAddr,
    },
    /// Make a stream of a client and a connection to a peer one: bytes that come by one go out by
    /// the other from now on.
    Splice {
        /// The stream.
        stream: StreamId,
        /// The connection.
        connection: ConnectionId,
    },
    /// Close a connection to a peer, and the stream that it is one with. The connection's name may
    /// be used again afterwards.
    CloseConnection {
        /// The connection.
        connection: ConnectionId,
        /// The stream, if there is one.
        stream: Option<StreamId>,
    },
    /// Close the socket or the listener of an allocation. Its id may be used again afterwards.
    CloseRelay {
        /// The allocation.
        allocation: AllocationId,
    },
    /// Forget a five-tuple for which another worker sends datagrams on to this one: its client has
    /// moved or is gone. Comes only with [`Config::mobility`](crate::Config::mobility).
    Forget {
        /// The five-tuple.
        tuple: FiveTuple,
    },
    /// Note that an allocation is gone, for the log.
    Ended(Box<Ended>),
    /// Note that a request came with wrong credentials, for the log. A stranger can cause as many
    /// of these as it likes, so log only some of them.
    WrongCredentials {
        /// The sender's address; the nonce has shown that it is not forged.
        client: ClientAddr,
        /// The name that was sent, if one was, cut to [`MAX_LOGGED_NAME`] bytes.
        user: Option<Box<str>>,
        /// The fault in them.
        reason: WrongCredentials,
    },
    /// Give free memory back to the system, if the allocator can: many allocations are gone.
    ReleaseMemory,
    /// Tell the rest of the server, such as a signaling hub, about an allocation.
    Event(Event),
}

/// The outputs that the driver has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(crate) fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    /// Takes out the first one.
    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The longest part, in bytes, of a name sent by a stranger that is given for the log.
pub const MAX_LOGGED_NAME: usize = 64;

/// News of allocations, for the record of a call and for its trace.
#[derive(Debug, Clone)]
pub enum Event {
    /// An allocation was opened with a call's credentials.
    AllocationOpened {
        /// The call.
        call: CallId,
        /// The allocation's live counters.
        usage: Arc<Usage>,
    },
    /// It is closed; its counters are final.
    AllocationClosed {
        /// The call.
        call: CallId,
        /// The allocation's counters.
        usage: Arc<Usage>,
    },
    /// A step of a trace. Comes only with [`Config::trace`](crate::Config::trace).
    Traced(Box<Traced>),
}

/// The reason for which a relay socket could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Something else holds the port.
    #[error("the port is in use")]
    AddressInUse,
    /// No more file descriptors, no memory, or an address that is not this machine's.
    #[error("the system gives no socket")]
    System,
}
