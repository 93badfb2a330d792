//! The rings between the workers, for packets from one relayed address of this server to another,
//! and for those of clients that have moved.
//!
//! Each pair of workers has one ring for each direction: a buffer of fixed size that one fills and
//! the other drains, without a lock. When it is full, packets are lost, as in a socket's buffer.

use std::{io, ops::Range, sync::Arc};

use callbox_sys::TrafficClass;
use callbox_turn::{FiveTuple, HandOver};
use mio::Waker;
use rtrb::{Consumer, Producer, RingBuffer};

/// The number of payload bytes that a ring holds; the default of a socket's buffer on Linux.
const BYTES: usize = 208 << 10;

/// The number of packets that a ring holds.
const PACKETS: usize = 1024;

/// The reason why a packet crosses from one worker to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RingPacket {
    /// It goes from one relayed address to another.
    Relayed(HandOver),
    /// It has come from a client whose allocation the other worker has.
    Client {
        /// The client.
        tuple: FiveTuple,
        /// The index of the worker that received it.
        from: u16,
    },
}

/// The kind of the packet, its class, and the length of its payload.
type Header = (RingPacket, TrafficClass, usize);

/// The sending end of a ring to another worker.
struct Outgoing {
    headers: Producer<Header>,
    payloads: Producer<u8>,
    waker: Arc<Waker>,
    /// True if there are packets that the other worker has not been woken for.
    unannounced: bool,
}

/// The receiving end of a ring from another worker.
struct Incoming {
    headers: Consumer<Header>,
    payloads: Consumer<u8>,
}

/// One worker's ends of all rings.
pub(super) struct WorkerRings {
    /// The worker's index.
    index: u16,
    /// The sending ends, by the worker's index; `None` for the worker itself.
    outgoing: Vec<Option<Outgoing>>,
    incoming: Vec<Incoming>,
}

/// Connects workers that are woken by `wakers`, and returns each one's ends.
pub(super) fn connect(wakers: &[Arc<Waker>]) -> Vec<WorkerRings> {
    let none = |index| WorkerRings { index, outgoing: Vec::new(), incoming: Vec::new() };
    let mut all: Vec<_> = (0..wakers.len() as u16).map(none).collect();
    for from in 0..wakers.len() {
        for (to, waker) in wakers.iter().enumerate() {
            if from == to {
                all[from].outgoing.push(None);
                continue;
            }
            let (headers, headers_out) = RingBuffer::new(PACKETS);
            let (payloads, payloads_out) = RingBuffer::new(BYTES);
            let waker = waker.clone();
            all[from].outgoing.push(Some(Outgoing {
                headers,
                payloads,
                waker,
                unannounced: false,
            }));
            all[to].incoming.push(Incoming { headers: headers_out, payloads: payloads_out });
        }
    }
    all
}

impl WorkerRings {
    /// Queues a packet for the worker that owns its destination. Returns false if there is no room.
    pub(crate) fn send(
        &mut self,
        hand_over: HandOver,
        class: TrafficClass,
        payload: &[u8],
    ) -> bool {
        self.push(hand_over.owner.worker, RingPacket::Relayed(hand_over), class, payload)
    }

    /// Queues a datagram of a client for the worker that has its allocation.
    pub(crate) fn send_client(
        &mut self,
        to: u16,
        tuple: FiveTuple,
        class: TrafficClass,
        datagram: &[u8],
    ) -> bool {
        self.push(to, RingPacket::Client { tuple, from: self.index }, class, datagram)
    }

    fn push(&mut self, to: u16, packet: RingPacket, class: TrafficClass, payload: &[u8]) -> bool {
        let Some(Some(to)) = self.outgoing.get_mut(usize::from(to)) else { return false };
        // The payload is written first: the reader of a header finds its payload.
        if to.headers.is_full() || to.payloads.push_entire_slice(payload).is_err() {
            return false;
        }
        to.unannounced = true;
        to.headers.push((packet, class, payload.len())).is_ok()
    }

    /// Wakes the workers that something has been sent to.
    pub(crate) fn announce(&mut self) -> io::Result<()> {
        for to in self.outgoing.iter_mut().flatten() {
            if std::mem::take(&mut to.unannounced) {
                to.waker.wake()?;
            }
        }
        Ok(())
    }

    /// Returns the indices of the incoming rings.
    pub(crate) fn incoming(&self) -> Range<usize> {
        0..self.incoming.len()
    }

    /// Returns the next packet of a ring, its class, and the length of its payload.
    pub(crate) fn next(&self, ring: usize) -> Option<Header> {
        self.incoming[ring].headers.peek().ok().copied()
    }

    /// Takes the packet that [`WorkerRings::next`] described; `payload` must be as long as
    /// described.
    pub(crate) fn take(&mut self, ring: usize, payload: &mut [u8]) {
        let from = &mut self.incoming[ring];
        if from.headers.pop().is_ok() {
            let taken = from.payloads.pop_entire_slice(payload);
            debug_assert!(taken.is_ok(), "a header without its payload");
        }
    }
}

#[cfg(test)]
mod tests {
    use callbox_turn::{AllocationId, Owner};
    use mio::{Events, Poll, Token};

    use super::*;

    const CLASS: TrafficClass = TrafficClass(0xb9);

    fn hand_over(worker: u16, allocation: u32) -> HandOver {
        let at = |port| ([127, 0, 0, 1], port).into();
        let owner = Owner { worker, allocation: AllocationId(allocation) };
        HandOver { owner, from: at(1), to: at(2) }
    }

    #[test]
    fn packets_arrive_in_order_and_wake_the_receiver() {
        let polls: Vec<_> = (0..3).map(|_| Poll::new().unwrap()).collect();
        let waker = |poll: &Poll| Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let wakers: Vec<_> = polls.iter().map(waker).collect();
        let mut all = connect(&wakers);
        assert!(!all[0].send(hand_over(0, 0), CLASS, b"self"));
        assert!(!all[0].send(hand_over(3, 0), CLASS, b"nobody"));
        assert!(all[0].send(hand_over(2, 1), CLASS, b"first"));
        assert!(all[1].send(hand_over(2, 2), CLASS, b"second"));
        assert!(all[0].send(hand_over(2, 3), CLASS, b""));
        all[0].announce().unwrap();
        let mut poll = polls.into_iter().nth(2).unwrap();
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(std::time::Duration::from_secs(10))).unwrap();
        assert!(!events.is_empty());

        let mut got = Vec::new();
        for from in all[2].incoming() {
            while let Some((RingPacket::Relayed(to), class, len)) = all[2].next(from) {
                let mut payload = vec![0; len];
                all[2].take(from, &mut payload);
                assert_eq!(class, CLASS);
                got.push((to.owner.allocation.0, payload));
            }
        }
        assert_eq!(got, [(1, b"first".to_vec()), (3, vec![]), (2, b"second".to_vec())]);
    }

    #[test]
    fn a_full_ring_refuses_packets_until_it_is_drained() {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut all = connect(&[waker.clone(), waker]);
        let sent =
            (0..10_000).take_while(|_| all[0].send(hand_over(1, 0), CLASS, &[7; 1000])).count();
        assert_eq!(sent, BYTES / 1000);
        let mut payload = vec![0; 1000];
        all[1].take(0, &mut payload);
        assert_eq!(payload, [7; 1000]);
        assert!(all[0].send(hand_over(1, 0), CLASS, &payload));
        while all[1].next(0).is_some() {
            all[1].take(0, &mut payload);
        }
        let sent = (0..10_000).take_while(|_| all[0].send(hand_over(1, 0), CLASS, b"")).count();
        assert_eq!(sent, PACKETS);
    }
}
