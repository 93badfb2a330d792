//! The count of datagrams that a socket has lost since its receive buffer was full.

use callbox_turn::{DropReason, Metrics};

/// The number of datagrams that a socket has lost, by its last report.
#[derive(Debug, Default)]
pub(super) struct LossCounter(u32);

impl LossCounter {
    /// Counts the datagrams that the socket has lost since its last report.
    #[inline]
    pub(crate) fn count(&mut self, metrics: &Metrics, lost: u32) {
        let more = lost.wrapping_sub(std::mem::replace(&mut self.0, lost));
        if more > 0 {
            metrics.dropped_many(DropReason::ReceiveBufferFull, more as usize);
        }
    }
}
