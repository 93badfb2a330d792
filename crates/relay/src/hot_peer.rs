//! Whether an allocation sends to one peer again and again.

use std::net::SocketAddr;

/// After how many packets in a row a peer gets a way of its own.
const OFTEN: u32 = 64;

/// The peer that an allocation sent to last, and how often in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HotPeer {
    peer: Option<SocketAddr>,
    times: u32,
}

impl HotPeer {
    /// Counts a packet to `peer`. `true` once in a row, when it has become a hot_peer.
    #[inline]
    pub fn record(&mut self, peer: SocketAddr) -> bool {
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
    fn many_in_a_row_are_a_habit_once() {
        let peer = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut hot_peer = HotPeer::default();
        let forms: Vec<_> = (0..200).map(|_| hot_peer.record(peer(1))).collect();
        assert_eq!(forms.iter().position(|forms| *forms), Some(OFTEN as usize - 1));
        assert_eq!(forms.iter().filter(|forms| **forms).count(), 1);
        assert!((0..200).all(|n| !hot_peer.record(peer(n % 2))), "two by turns are none");
        assert!((0..OFTEN).any(|_| hot_peer.record(peer(1))), "a new one can form");
    }
}
