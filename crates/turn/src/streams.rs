//! The streams of a worker: its clients that come over TCP or TLS.

use std::net::IpAddr;

use callbox_base::ids::ClientAddr;
use slab::Slab;

use super::{ConnectionId, FiveTuple, StreamId, Via};

/// The stream of a client.
#[derive(Debug)]
struct Stream {
    client: ClientAddr,
    /// The server's address that the client came to.
    local: IpAddr,
    /// The connection to a peer that it is spliced with.
    connection: Option<ConnectionId>,
}

/// The streams of a worker.
#[derive(Debug, Default)]
pub(super) struct Streams(Slab<Stream>);

impl Streams {
    /// Adds a client that has come to the server's address `local`. Returns its 5-tuple.
    pub(crate) fn insert(&mut self, client: ClientAddr, local: IpAddr) -> FiveTuple {
        let id = self.0.insert(Stream { client, local, connection: None }) as u32;
        FiveTuple { via: Via::Stream(StreamId(id)), client }
    }

    /// Removes a stream that is closed. Returns its 5-tuple, and the connection to a peer that it
    /// was spliced with.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<(FiveTuple, Option<ConnectionId>)> {
        let Stream { client, connection, .. } = self.0.try_remove(id.0 as usize)?;
        Some((FiveTuple { via: Via::Stream(id), client }, connection))
    }

    /// Returns the server's address that the client of a stream came to.
    pub(crate) fn local_ip(&self, id: StreamId) -> IpAddr {
        self.0[id.0 as usize].local
    }

    /// Returns true if the stream of a client is spliced with a connection to a peer.
    pub(crate) fn is_spliced(&self, tuple: FiveTuple) -> bool {
        let Via::Stream(id) = tuple.via else { return false };
        self.0.get(id.0 as usize).is_some_and(|stream| stream.connection.is_some())
    }

    /// Notes the connection to a peer that a stream is spliced with, or that it is with none any
    /// more.
    pub(crate) fn set_connection(&mut self, id: StreamId, connection: Option<ConnectionId>) {
        if let Some(stream) = self.0.get_mut(id.0 as usize) {
            stream.connection = connection;
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, id: StreamId) -> bool {
        self.0.contains(id.0 as usize)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
