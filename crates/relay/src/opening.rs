//! Opening and closing the sockets of allocations, as the core requests.

use std::{io, net::SocketAddr};

use callbox_base::clock::Now;
use callbox_turn::{AllocationId, OpenError};
use mio::{Interest, Token};

use super::{
    batches::OpenRuns,
    hot_peer::HotPeer,
    sockets,
    worker::{ConnectedSocket, RelaySocket, Worker},
};

impl Worker {
    /// Opens the socket of an allocation.
    pub(super) fn open(
        &mut self,
        now: Now,
        allocation: AllocationId,
        address: SocketAddr,
        errors: bool,
    ) -> Result<(), OpenError> {
        let at = allocation.0 as usize;
        let token = Token(self.listeners.len() + 2 * at);
        let opened = sockets::open(address, errors).and_then(|mut socket| {
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            Ok(socket)
        });
        match opened {
            Ok(udp) => {
                if self.relays.len() <= at {
                    self.relays.resize_with(at + 1, || None);
                }
                self.relays[at] = Some(RelaySocket {
                    udp,
                    errors,
                    ready: false,
                    lost: 0,
                    runs: OpenRuns::default(),
                    connected: None,
                    hot_peer: HotPeer::default(),
                });
                Ok(())
            }
            Err(error) => Err(self.not_opened(now, &error)),
        }
    }

    /// Returns the error that is reported to the core for a socket that could not be opened.
    pub(super) fn not_opened(&mut self, now: Now, error: &io::Error) -> OpenError {
        if error.kind() == io::ErrorKind::AddrInUse {
            return OpenError::AddressInUse;
        }
        if let Some(times) = self.no_socket.hit(now.instant) {
            tracing::error!(%error, times, "no socket for an allocation; is the limit of open files \
                (`ulimit -n`) too low?");
        }
        OpenError::System
    }

    /// Releases memory that was used by many allocations.
    pub(super) fn release_memory(&mut self) {
        let used = self.relays.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.relays.truncate(used);
        self.relays.shrink_to_fit();
    }

    /// Opens a connected socket from an allocation to a peer, in place of the one that it had.
    pub(super) fn open_direct(&mut self, allocation: AllocationId, peer: SocketAddr) {
        let token = Token(self.listeners.len() + 2 * allocation.0 as usize + 1);
        self.close_direct(allocation);
        if self.directs >= self.max_directs {
            return;
        }
        let registry = self.poll.registry();
        let Some(Some(relay)) = self.relays.get_mut(allocation.0 as usize) else { return };
        let opened = sockets::open_direct(&relay.udp, peer, relay.errors).and_then(|mut udp| {
            registry.register(&mut udp, token, Interest::READABLE)?;
            Ok(ConnectedSocket { udp, peer, ready: false, lost: 0 })
        });
        match opened {
            Ok(connected) => {
                relay.connected = Some(connected);
                self.directs += 1;
            }
            // The allocation works without it.
            Err(error) => tracing::debug!(%error, "no connected socket for a peer"),
        }
    }

    fn close_direct(&mut self, allocation: AllocationId) {
        if self.relay(allocation).is_none_or(|relay| relay.connected.is_none()) {
            return;
        }
        // The batches are sent first, since they may hold datagrams for this socket.
        self.batches.send(&self.listeners, &self.relays, &self.metrics);
        let Some(mut connected) = self.relay(allocation).and_then(|r| r.connected.take()) else {
            return;
        };
        self.directs -= 1;
        if let Err(error) = self.poll.registry().deregister(&mut connected.udp) {
            tracing::debug!(%error, "a relay socket was not registered");
        }
    }

    /// Closes the sockets of an allocation.
    pub(super) fn close(&mut self, allocation: AllocationId) {
        // Datagrams that its client sent before leave through the socket that they were meant for.
        self.batches.send(&self.listeners, &self.relays, &self.metrics);
        self.close_direct(allocation);
        self.stop_listening(allocation);
        let relay = self.relays.get_mut(allocation.0 as usize).and_then(Option::take);
        if let Some(mut relay) = relay
            && let Err(error) = self.poll.registry().deregister(&mut relay.udp)
        {
            tracing::debug!(%error, "a relay socket was not registered");
        }
    }
}
