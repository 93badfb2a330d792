//! The sockets of a worker's TCP allocations (RFC 6062): the listener of each, and the connections
//! to peers.

use std::{collections::HashMap, io, net::SocketAddr};

use callbox_turn::{AllocationId, ConnectionId};
use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};

use super::{peer_connection::PeerConnection, sockets};

/// The listeners and connections of a worker's TCP allocations.
#[derive(Default)]
pub(super) struct PeerConnections {
    all: Vec<Option<PeerConnection>>,
    listeners: HashMap<AllocationId, TcpListener>,
}

impl PeerConnections {
    pub(crate) fn get_mut(
        &mut self,
        ConnectionId(id): ConnectionId,
    ) -> Option<&mut PeerConnection> {
        self.all.get_mut(id as usize)?.as_mut()
    }

    /// Returns the number of bytes that wait to be written to a peer.
    pub(crate) fn waiting(&mut self, id: ConnectionId) -> usize {
        self.get_mut(id).map_or(0, |connection| connection.waiting())
    }

    /// Opens the listener of an allocation.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen(
        &mut self,
        registry: &Registry,
        token: Token,
        allocation: AllocationId,
        address: SocketAddr,
    ) -> io::Result<()> {
        let mut listener = sockets::listen_for_peers(address)?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        self.listeners.insert(allocation, listener);
        Ok(())
    }

    /// Closes the listener of an allocation, if it has one. Its connections are closed separately.
    pub(crate) fn stop_listening(&mut self, registry: &Registry, allocation: AllocationId) {
        if let Some(mut listener) = self.listeners.remove(&allocation)
            && let Err(error) = registry.deregister(&mut listener)
        {
            tracing::debug!(%error, "a relay listener was not registered");
        }
    }

    /// Accepts a peer that has connected to an allocation's address. Returns `None` if the
    /// allocation has no listener.
    pub(crate) fn accept(
        &self,
        allocation: AllocationId,
    ) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        self.listeners.get(&allocation).map(TcpListener::accept)
    }

    /// Begins to connect to a peer from the address of an allocation's listener. Returns `None` if
    /// the allocation has none.
    pub(crate) fn connect(
        &mut self,
        registry: &Registry,
        token: Token,
        allocation: AllocationId,
        id: ConnectionId,
        [from, to]: [SocketAddr; 2],
    ) -> Option<io::Result<()>> {
        let listener = self.listeners.get(&allocation)?;
        let begun = sockets::connect_from(listener, from, to);
        Some(begun.and_then(|socket| {
            self.insert(registry, token, id, PeerConnection::connecting(socket))
        }))
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// The system's error, if it does not report its events.
    pub(crate) fn insert(
        &mut self,
        registry: &Registry,
        token: Token,
        ConnectionId(id): ConnectionId,
        mut connection: PeerConnection,
    ) -> io::Result<()> {
        connection.register(registry, token)?;
        let index = id as usize;
        if self.all.len() <= index {
            self.all.resize_with(index + 1, || None);
        }
        self.all[index] = Some(connection);
        Ok(())
    }

    /// Closes a connection, if it is open.
    pub(crate) fn close(&mut self, registry: &Registry, ConnectionId(id): ConnectionId) {
        if let Some(mut connection) = self.all.get_mut(id as usize).and_then(Option::take) {
            connection.deregister(registry);
        }
    }
}
