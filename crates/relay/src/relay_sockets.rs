//! The sockets of a worker's allocations: one for each relayed address, and a connected one for the
//! peer that gets most of its datagrams.

use std::{io, net::SocketAddr};

use callbox_turn::{AllocationId, Metrics};
use mio::{Interest, Registry, Token, net::UdpSocket};

use super::{hot_peer::HotPeer, losses::LossCounter, open_runs::OpenRuns, sockets, source::Source};

/// The socket of an allocation.
pub(super) struct RelaySocket {
    udp: UdpSocket,
    /// True if the system keeps the ICMP errors of the allocation's sockets.
    errors: bool,
    lost: LossCounter,
    runs: OpenRuns,
    connected: Option<ConnectedSocket>,
    hot_peer: HotPeer,
}

/// A second socket of an allocation, connected to the peer that gets most of its datagrams.
struct ConnectedSocket {
    udp: UdpSocket,
    peer: SocketAddr,
    lost: LossCounter,
}

impl RelaySocket {
    #[inline]
    pub(crate) fn udp(&self) -> &UdpSocket {
        &self.udp
    }

    #[inline]
    pub(crate) fn connected_udp(&self) -> Option<&UdpSocket> {
        self.connected.as_ref().map(|connected| &connected.udp)
    }

    /// Returns true if its second socket is connected to this peer.
    #[inline]
    pub(crate) fn is_connected_to(&self, peer: SocketAddr) -> bool {
        self.connected.as_ref().is_some_and(|connected| connected.peer == peer)
    }

    /// Counts a datagram to a peer. Returns true if the peer has become the hot one, which is to
    /// get a connected socket.
    #[inline]
    pub(crate) fn record_peer(&mut self, peer: SocketAddr) -> bool {
        self.hot_peer.record(peer)
    }

    /// Returns its runs of this loop iteration.
    #[inline]
    pub(crate) fn runs(&mut self, turn: u32) -> &mut OpenRuns {
        self.runs.of(turn)
    }
}

/// The sockets of a worker's allocations, indexed by their ids.
pub(super) struct RelaySockets {
    all: Vec<Option<RelaySocket>>,
    /// The number of connected sockets.
    connected: usize,
    max_connected: usize,
}

impl RelaySockets {
    /// Creates the empty set, which has at most this many connected sockets.
    pub(crate) fn new(max_connected: usize) -> Self {
        Self { all: Vec::new(), connected: 0, max_connected }
    }

    #[inline]
    pub(crate) fn get(&self, id: AllocationId) -> Option<&RelaySocket> {
        self.all.get(id.0 as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: AllocationId) -> Option<&mut RelaySocket> {
        self.all.get_mut(id.0 as usize)?.as_mut()
    }

    /// Returns the socket of an allocation that is this source.
    pub(crate) fn socket(&self, source: Source) -> Option<&UdpSocket> {
        match source {
            Source::Relay(id) => Some(self.get(id)?.udp()),
            Source::Connected(id) => self.get(id)?.connected_udp(),
            _ => None,
        }
    }

    /// Counts the datagrams that a socket has lost, by its report.
    pub(crate) fn count_lost(&mut self, source: Source, metrics: &Metrics, lost: u32) {
        let counter = match source {
            Source::Relay(id) => self.get_mut(id).map(|relay| &mut relay.lost),
            Source::Connected(id) => self
                .get_mut(id)
                .and_then(|relay| relay.connected.as_mut().map(|connected| &mut connected.lost)),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.count(metrics, lost);
        }
    }

    /// Opens the socket of an allocation.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn open(
        &mut self,
        registry: &Registry,
        token: Token,
        id: AllocationId,
        address: SocketAddr,
        errors: bool,
    ) -> io::Result<()> {
        let mut udp = sockets::open(address, errors)?;
        registry.register(&mut udp, token, Interest::READABLE)?;
        let index = id.0 as usize;
        if self.all.len() <= index {
            self.all.resize_with(index + 1, || None);
        }
        self.all[index] = Some(RelaySocket {
            udp,
            errors,
            lost: LossCounter::default(),
            runs: OpenRuns::default(),
            connected: None,
            hot_peer: HotPeer::default(),
        });
        Ok(())
    }

    /// Closes the sockets of an allocation, if it has any. No batch may hold datagrams for them.
    pub(crate) fn close(&mut self, registry: &Registry, id: AllocationId) {
        self.close_connected(registry, id);
        let relay = self.all.get_mut(id.0 as usize).and_then(Option::take);
        if let Some(mut relay) = relay {
            deregister(registry, &mut relay.udp);
        }
    }

    /// Opens a connected socket from an allocation to a peer, if there may be one more; the
    /// allocation must have none. It works without it.
    pub(crate) fn open_connected(
        &mut self,
        registry: &Registry,
        token: Token,
        id: AllocationId,
        peer: SocketAddr,
    ) {
        if self.connected >= self.max_connected {
            return;
        }
        let Some(relay) = self.get_mut(id) else { return };
        let opened = sockets::open_connected(&relay.udp, peer, relay.errors).and_then(|mut udp| {
            registry.register(&mut udp, token, Interest::READABLE)?;
            Ok(ConnectedSocket { udp, peer, lost: LossCounter::default() })
        });
        match opened {
            Ok(connected) => {
                relay.connected = Some(connected);
                self.connected += 1;
            }
            Err(error) => tracing::debug!(%error, "no connected socket for a peer"),
        }
    }

    /// Closes the connected socket of an allocation, if it has one. No batch may hold datagrams for
    /// it.
    pub(crate) fn close_connected(&mut self, registry: &Registry, id: AllocationId) {
        if let Some(mut connected) = self.get_mut(id).and_then(|relay| relay.connected.take()) {
            self.connected -= 1;
            deregister(registry, &mut connected.udp);
        }
    }

    /// Releases memory that was used by many allocations.
    pub(crate) fn shrink(&mut self) {
        let used = self.all.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.all.truncate(used);
        self.all.shrink_to_fit();
    }
}

fn deregister(registry: &Registry, udp: &mut UdpSocket) {
    if let Err(error) = registry.deregister(udp) {
        tracing::debug!(%error, "a relay socket was not registered");
    }
}
