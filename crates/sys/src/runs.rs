//! The datagrams that are to be sent, gathered into runs that one system call sends as one.

use std::{net::SocketAddr, ops::Range};

use super::TrafficClass;

/// The largest number of datagrams in a run: the limit of every kernel with `UDP_SEGMENT`.
const MAX_SEGMENTS: usize = 64;

/// The largest number of bytes in a run: with its headers it must fit an IP packet.
const MAX_TOTAL: usize = 65_000;

/// The longest datagram that is put into a run: the kernel requires it to fit the link, and one
/// that does not fit 1500 bytes with its headers may not.
const MAX_SEGMENT: usize = 1_452;

/// The index that marks the end of a chain of pieces.
const NONE: u32 = u32::MAX;

/// The handle of a run until it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(u32);

/// Contiguous bytes of a run.
#[derive(Debug)]
struct Piece {
    bytes: Range<usize>,
    /// The index of the next piece of the run.
    next: u32,
}

/// Datagrams of one class to one address: all of one length, except the last, which may be shorter.
#[derive(Debug)]
pub(super) struct Run {
    /// The destination; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    pub class: TrafficClass,
    /// The length of each datagram.
    pub segment: usize,
    /// The length of all datagrams together.
    pub total: usize,
    first: u32,
    last: u32,
}

impl Run {
    /// Returns the number of datagrams: 1 for an empty one.
    pub(crate) fn count(&self) -> usize {
        self.total.div_ceil(self.segment.max(1)).max(1)
    }
}

/// Runs, each a chain of pieces, which are ranges of a buffer, not the bytes.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    pieces: Vec<Piece>,
}

impl Runs {
    /// Begins a run with the range `bytes`: datagrams of `segment` bytes each, except the last.
    pub(crate) fn push(
        &mut self,
        to: Option<SocketAddr>,
        class: TrafficClass,
        bytes: Range<usize>,
        segment: usize,
    ) -> RunId {
        let piece = self.pieces.len() as u32;
        let total = bytes.len();
        self.runs.push(Run { to, class, segment, total, first: piece, last: piece });
        self.pieces.push(Piece { bytes, next: NONE });
        RunId(self.runs.len() as u32 - 1)
    }

    /// Adds a datagram to a run. Returns false if it does not fit in.
    #[inline]
    pub(crate) fn extend(
        &mut self,
        run: RunId,
        to: Option<SocketAddr>,
        class: TrafficClass,
        bytes: Range<usize>,
    ) -> bool {
        let Some(run) = self.runs.get_mut(run.0 as usize) else { return false };
        let full = run.segment == 0 || run.total >= run.segment * MAX_SEGMENTS;
        // Only the last may be shorter, so nothing is added after one that is.
        let ended = run.segment == 0 || run.total % run.segment != 0;
        if run.to != to
            || run.class != class
            || full
            || ended
            || bytes.is_empty()
            || bytes.len() > run.segment
            || run.segment > MAX_SEGMENT
            || run.total + bytes.len() > MAX_TOTAL
        {
            return false;
        }
        run.total += bytes.len();
        let piece = self.pieces.len() as u32;
        self.pieces[run.last as usize].next = piece;
        run.last = piece;
        self.pieces.push(Piece { bytes, next: NONE });
        true
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the number of pieces of all runs together.
    #[cfg(target_os = "linux")]
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Returns the pieces of a run, in order.
    #[inline]
    pub(crate) fn pieces_of(&self, run: &Run) -> impl Iterator<Item = Range<usize>> {
        let mut at = run.first;
        std::iter::from_fn(move || {
            let piece = self.pieces.get(at as usize)?;
            at = piece.next;
            Some(piece.bytes.clone())
        })
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However datagrams of a few classes to a few addresses arrive, each address gets its own,
        /// whole, in order and in their class, and no run breaks the kernel's rules.
        #[test]
        fn datagrams_keep_their_edges_and_their_order(
            datagrams in prop::collection::vec((0u16..3, 0u8..2, prop_oneof![Just(0usize), Just(100), Just(1200), 0usize..3000]), 0..300)
        ) {
            let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
            let mut runs = Runs::default();
            let mut last = [None; 3];
            let mut at = 0;
            let mut expected = [(); 3].map(|()| Vec::new());
            for (to, class, len) in datagrams {
                let (class, bytes) = (TrafficClass(class), at..at + len);
                at += len;
                expected[usize::from(to)].push((class, bytes.clone()));
                let last = &mut last[usize::from(to)];
                if !last.is_some_and(|run| runs.extend(run, address(to), class, bytes.clone())) {
                    *last = Some(runs.push(address(to), class, bytes, len));
                }
            }
            for (to, expected) in expected.into_iter().enumerate() {
                let mut got = Vec::new();
                for run in runs.runs().iter().filter(|run| run.to == address(to as u16)) {
                    let pieces: Vec<_> = runs.pieces_of(run).collect();
                    prop_assert_eq!(run.count(), pieces.len());
                    prop_assert_eq!(run.total, pieces.iter().map(Range::len).sum::<usize>());
                    prop_assert!(run.count() <= MAX_SEGMENTS && (pieces.len() == 1 || run.total <= MAX_TOTAL));
                    let (rest, before) = pieces.split_last().unwrap();
                    prop_assert!(before.iter().all(|piece| piece.len() == run.segment));
                    prop_assert!(rest.len() <= run.segment);
                    got.extend(pieces.into_iter().map(|piece| (run.class, piece)));
                }
                prop_assert_eq!(got, expected);
            }
        }
    }
}
