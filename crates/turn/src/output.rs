//! The outputs of a core, and the names that it uses in them.

use std::{net::SocketAddr, sync::Arc};

use callbox_base::{
    ids::{CallId, ClientAddr},
    usage::Usage,
};
use callbox_stun::Response;

use super::{AllocationId, ConnectionId, Ended, StreamId};
use crate::auth::WrongCredentials;

/// Which client by which way: the 5-tuple of RFC 8656 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// The way: our address, and the protocol.
    pub via: Via,
    /// The client's address.
    pub client: ClientAddr,
}

/// How a client is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// Over UDP, from the listener at this place of the list that the engine was made with.
    Listener(u16),
    /// Over its own stream of TCP or TLS.
    Stream(StreamId),
}

/// Something to be done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Send a response, or an indication that is not made from a packet.
    Transmit {
        /// To whom, from which listener.
        to: FiveTuple,
        /// The message.
        bytes: Response,
    },
    /// Open a relay socket and say how it went with [`Engine::relay_opened`](super::Engine::relay_opened).
    OpenRelay {
        /// For which allocation.
        allocation: AllocationId,
        /// On which address.
        address: SocketAddr,
        /// Whether [`Engine::handle_icmp`](super::Engine::handle_icmp) is to hear of ICMP errors.
        errors: bool,
    },
    /// The same with a listener of TCP (RFC 6062 §5.1), from whose address connections are made, too.
    ListenRelay {
        /// For which allocation.
        allocation: AllocationId,
        /// On which address.
        address: SocketAddr,
    },
    /// Connect to a peer, and say how it went with
    /// [`Engine::connected`](super::Engine::connected).
    Connect {
        /// Whose connection it is.
        allocation: AllocationId,
        /// By which name.
        connection: ConnectionId,
        /// From which address.
        from: SocketAddr,
        /// To which.
        to: SocketAddr,
    },
    /// From now on a stream of a client and a connection to a peer are one: what comes by one goes
    /// out by the other.
    Splice {
        /// The stream.
        stream: StreamId,
        /// The connection.
        connection: ConnectionId,
    },
    /// Close a connection to a peer, and the stream that it is one with.
    CloseConnection {
        /// Which one.
        connection: ConnectionId,
        /// That stream.
        stream: Option<StreamId>,
    },
    /// Close the relay socket or listener.
    CloseRelay {
        /// Of which allocation.
        allocation: AllocationId,
    },
    /// Where clients may move: there is nothing any more for this address.
    Forget {
        /// The address.
        tuple: FiveTuple,
    },
    /// Say in the log that an allocation is gone.
    Ended(Box<Ended>),
    /// Say in the log, but not always, that a request came with wrong credentials.
    WrongCredentials {
        /// From where; the nonce has shown that the address is the sender's own.
        client: ClientAddr,
        /// The name that was sent, if one was, cut to [`MAX_LOGGED_NAME`] bytes.
        user: Option<Box<str>>,
        /// The fault in them.
        reason: WrongCredentials,
    },
    /// Give free memory back to the system: many allocations are gone.
    ReleaseMemory,
    /// Tell the server.
    Event(Event),
}

/// The most of a name sent by a stranger that is put into the log, in bytes.
pub const MAX_LOGGED_NAME: usize = 64;

/// What the rest of the server wants to know of.
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
}

/// Why a relay socket could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Something else holds the port.
    #[error("the port is in use")]
    AddressInUse,
    /// No more file descriptors, no memory, or an address that is not this machine's.
    #[error("the system gives no socket")]
    System,
}
