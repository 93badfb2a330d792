//! Detection of a peer that an allocation sends to again and again.

use std::net::SocketAddr;

/// The number of packets in a row after which a peer gets a connected socket.
const OFTEN: u32 = 64;

/// The peer that an allocation sent to last, and the number of packets in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HotPeer {
    peer: Option<SocketAddr>,
    times: u32,
}

impl HotPeer {
    /// Counts a packet to `peer`. Returns true once in each series, when `peer` becomes the hot
    /// peer.
    #[inline]
    pub(crate) fn record(&mut self, peer: SocketAddr) -> bool {
        if self.peer != Some(peer) {
            *self = Self { peer: Some(peer), times: 0 };
        }
        self.times = self.times.saturating_add(1);
        self.times == OFTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_packets_in_a_row_make_a_hot_peer_once() {
        let peer = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut hot_peer = HotPeer::default();
        let became: Vec<_> = (0..200).map(|_| hot_peer.record(peer(1))).collect();
        assert_eq!(became.iter().position(|hot| *hot), Some(OFTEN as usize - 1));
        assert_eq!(became.iter().filter(|hot| **hot).count(), 1);
        assert!(
            (0..200).all(|n| !hot_peer.record(peer(n % 2))),
            "two peers in alternation are not hot"
        );
        assert!((0..OFTEN).any(|_| hot_peer.record(peer(1))), "another peer can become hot");
    }
}
