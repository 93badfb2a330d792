//! NAT behaviour discovery (RFC 5780): two addresses with two ports each, and answers that come
//! from another of the four than was asked.

use callbox_stun::Change;

use super::Via;

/// The four listeners of NAT behaviour discovery, by their indices in the list of listeners:
/// address one with ports one and two, address two with ports one and two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quartet(pub [u16; 4]);

impl Quartet {
    /// Returns the listener that answers, and the one that differs from it in both, if the
    /// request came by one of the four. Not for streams: an answer cannot be sent by another one.
    pub(super) fn answer_from(self, via: Via, change: Change) -> Option<(u16, u16)> {
        let Via::Listener(listener) = via else { return None };
        let at = self.0.iter().position(|other| *other == listener)?;
        let answers = at ^ (usize::from(change.ip) << 1) ^ usize::from(change.port);
        // "the source IP address and port that would be used if the client requested the 'change
        // IP' and 'change port' behavior" (RFC 5780 §7.4): of the address that was asked.
        Some((self.0[answers], self.0[at ^ 3]))
    }

    /// Returns true if a request that came by this way may ask for more than its address.
    pub(super) fn includes(self, via: Via) -> bool {
        self.answer_from(via, Change::default()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_four_has_its_counterparts() {
        let quartet = Quartet([0, 2, 3, 4]);
        let from = |at, ip, port| quartet.answer_from(Via::Listener(at), Change { ip, port });
        assert_eq!(from(0, false, false), Some((0, 4)));
        assert_eq!(from(0, false, true), Some((2, 4)));
        assert_eq!(from(0, true, false), Some((3, 4)));
        assert_eq!(from(0, true, true), Some((4, 4)));
        assert_eq!(from(2, true, true), Some((3, 3)));
        assert_eq!(from(4, false, true), Some((3, 0)));
        assert_eq!(from(1, false, false), None);
    }
}
