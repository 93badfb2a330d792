//! Clients that come over TCP or TLS: each has a stream of its own, and what it was given ends with
//! the stream.

use std::net::IpAddr;

use callbox_base::ids::ClientAddr;

use super::{ConnectionId, EndReason, Engine, FiveTuple, Via, allocation::Slot};

/// Names a stream within its worker. A name is used again once the stream is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// What is known of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    client: ClientAddr,
    /// The address of ours that the client came to.
    local: IpAddr,
    /// The connection to a peer that it is one with.
    pub connection: Option<ConnectionId>,
}

impl Engine {
    /// Takes in a client that has come over a stream to the server's address `local`. Returns the
    /// five-tuple with which its messages are to be handed in.
    pub fn stream_opened(&mut self, client: ClientAddr, local: IpAddr) -> FiveTuple {
        let id = self.streams.insert(Stream { client, local, connection: None }) as u32;
        FiveTuple { via: Via::Stream(StreamId(id)), client }
    }

    /// Takes in the end of a client's stream. Its allocation ends with it, unless it may move.
    /// Nothing may be sent to the stream from now on, and its name may be used again.
    pub fn stream_closed(&mut self, id: StreamId) {
        let Some(stream) = self.streams.try_remove(id.0 as usize) else { return };
        let Stream { client, connection, .. } = stream;
        if let Some(connection) = connection {
            self.close_connection(connection);
        }
        let tuple = FiveTuple { via: Via::Stream(id), client };
        if self.stream_lost(tuple) {
            return;
        }
        let Some(allocation) = self.by_tuple.get(&tuple).copied() else { return };
        match self.slots.get_mut(allocation.0 as usize) {
            Some(Slot::Opening(opening)) => {
                opening.abandoned = true;
                self.by_tuple.remove(&tuple);
            }
            _ => self.close_whole(allocation, EndReason::Disconnected),
        }
    }

    /// Returns true if there is an allocation for a five-tuple, or one is being opened.
    pub fn has_allocation(&self, tuple: FiveTuple) -> bool {
        self.by_tuple.contains_key(&tuple) || self.arriving.contains_key(&tuple)
    }

    /// Returns true if a stream serves for something: an allocation, or a connection to a peer.
    pub fn is_in_use(&self, tuple: FiveTuple) -> bool {
        let stream = match tuple.via {
            Via::Stream(StreamId(id)) => self.streams.get(id as usize),
            Via::Listener(_) => None,
        };
        self.has_allocation(tuple) || stream.is_some_and(|stream| stream.connection.is_some())
    }

    /// The address of ours that a client came to.
    pub(super) fn local_ip(&self, tuple: FiveTuple) -> IpAddr {
        match tuple.via {
            Via::Listener(at) => self.common.addresses.listener(at).ip(),
            Via::Stream(StreamId(id)) => self.streams[id as usize].local,
        }
    }
}
