//! The packets that are held back, in the order in which they are due.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Instant,
};

/// The number of packets that a worker holds back. Past it, packets are dropped.
pub(super) const MAX_DELAYED_PACKETS: usize = 16_384;

/// The number of bytes of packets that a worker holds back. Past it, packets are dropped.
pub(super) const MAX_DELAYED_BYTES: usize = 16 << 20;

/// The packets that are held back, each with its bytes and where it goes.
#[derive(Debug)]
pub(super) struct DelayQueue<T> {
    /// The times, each with the number of its packet: packets that are due at the same time leave
    /// in the order in which they came.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    packets: BTreeMap<u64, (T, Box<[u8]>)>,
    bytes: usize,
    next: u64,
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self { due: BinaryHeap::new(), packets: BTreeMap::new(), bytes: 0, next: 0 }
    }
}

impl<T> DelayQueue<T> {
    /// Adds a packet. Returns false if there is no room for it.
    pub(super) fn push(&mut self, due: Instant, to: T, bytes: &[u8]) -> bool {
        if self.due.len() >= MAX_DELAYED_PACKETS || self.bytes + bytes.len() > MAX_DELAYED_BYTES {
            return false;
        }
        self.bytes += bytes.len();
        self.due.push(Reverse((due, self.next)));
        self.packets.insert(self.next, (to, bytes.into()));
        self.next += 1;
        true
    }

    /// Takes out the next packet that is due at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(T, Box<[u8]>)> {
        self.pop_if(|due| due <= now)
    }

    /// Takes out the next packet, whenever it is due.
    pub(super) fn pop_any(&mut self) -> Option<(T, Box<[u8]>)> {
        self.pop_if(|_| true)
    }

    fn pop_if(&mut self, is_due: impl Fn(Instant) -> bool) -> Option<(T, Box<[u8]>)> {
        while let Some(Reverse((due, number))) = self.due.peek().copied() {
            if !is_due(due) {
                return None;
            }
            self.due.pop();
            // One that was removed has left its time.
            if let Some((to, bytes)) = self.packets.remove(&number) {
                self.bytes -= bytes.len();
                return Some((to, bytes));
            }
        }
        None
    }

    /// Removes the packets that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        let bytes = &mut self.bytes;
        self.packets.retain(|_, (to, packet)| {
            let stays = keep(to);
            if !stays {
                *bytes -= packet.len();
            }
            stays
        });
    }

    /// Returns the time at which the next packet is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }
}
