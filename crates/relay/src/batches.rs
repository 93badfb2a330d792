//! The datagrams that one iteration of a worker's loop has received and will send.
//!
//! Datagrams are received into the slots of one buffer and sent from there without a copy. All
//! datagrams of one allocation with the same destination, length and class leave as one run, even
//! if others were received between them.

use std::{io, ops::Range};

use callbox_base::ids::ClientAddr;
use callbox_stun::{HEADROOM, MAX_FRAME, Packet};
use callbox_sys::{ReceiveBatch, Received, SendBatch, Sent, TrafficClass};
use callbox_turn::{AllocationId, DropReason, Metrics};
use mio::net::UdpSocket;

use super::{
    listeners::Listeners,
    relay_sockets::{RelaySocket, RelaySockets},
};

/// The number of reads whose data the buffer holds before the batches must be sent.
const SLOTS: usize = 128;

/// The size of the room for copies: of responses, and of datagrams that have no room for their
/// header in front of them. It fits the largest received run three times.
const SPARE: usize = 256 << 10;

/// The buffer of a worker, and the batches that are sent from it. A slot takes the largest
/// datagram, and the longest message of a stream, which is a little longer.
pub(super) struct Batches {
    received: ReceiveBatch,
    filled: usize,
    spare: Range<usize>,
    to_clients: Vec<SendBatch>,
    to_peers: SendBatch,
    /// For each run to a peer: the allocation whose socket it leaves by, and true if by the
    /// connected one.
    senders: Vec<(AllocationId, bool)>,
    turn: u32,
}

impl Batches {
    /// Creates the batches for this number of listeners.
    pub(crate) fn new(listeners: usize) -> Self {
        let received = ReceiveBatch::new(SLOTS, MAX_FRAME, HEADROOM, SPARE);
        Self {
            filled: 0,
            spare: received.spare(),
            received,
            to_clients: (0..listeners).map(|_| SendBatch::default()).collect(),
            to_peers: SendBatch::default(),
            senders: Vec::new(),
            turn: 0,
        }
    }

    /// Returns true if there is room for `reads` more.
    pub(crate) fn has_room(&self, reads: usize) -> bool {
        self.filled + reads <= SLOTS
    }

    /// Receives with up to `reads` reads, and returns the slots that were filled.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if nothing was there.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, reads: usize) -> io::Result<Range<usize>> {
        let first = self.filled;
        let end = (first + reads).min(SLOTS);
        self.filled += self.received.receive(socket, first..end)?;
        Ok(first..self.filled)
    }

    /// Takes a slot for data of a stream. There must be room for it.
    pub(crate) fn take_slot(&mut self) -> Range<usize> {
        let slot = self.received.range(self.filled);
        self.filled += 1;
        slot
    }

    /// Returns the contents of a slot.
    #[inline]
    pub(crate) fn received(&self, slot: usize) -> Option<Received> {
        self.received.received(slot)
    }

    /// Returns the datagram in a range of the buffer.
    #[inline]
    pub(crate) fn packet(&mut self, range: Range<usize>) -> Packet<'_> {
        Packet::new(self.received.buffer_mut(), range)
    }

    /// Takes `len` bytes of spare room with free bytes around them. Returns `None` if there is no
    /// more until everything has been sent.
    pub(crate) fn take_spare(&mut self, len: usize) -> Option<Range<usize>> {
        let start = self.spare.start + HEADROOM;
        let end = start + len;
        if end + HEADROOM > self.spare.end {
            return None;
        }
        self.spare.start = end + HEADROOM;
        Some(start..end)
    }

    /// Copies a range of the buffer to the index `to`.
    pub(crate) fn copy(&mut self, from: Range<usize>, to: usize) {
        self.received.buffer_mut().copy_within(from, to);
    }

    /// Returns the bytes of a range.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.received.buffer()[range]
    }

    /// Returns the bytes of a range, for writing.
    pub(crate) fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.received.buffer_mut()[range]
    }

    /// Queues the payload in `range` for a peer.
    #[inline]
    pub(crate) fn send_to_peer(
        &mut self,
        from: AllocationId,
        relay: &mut RelaySocket,
        to: std::net::SocketAddr,
        class: TrafficClass,
        range: Range<usize>,
    ) {
        let connected = relay.is_connected_to(to);
        let to = (!connected).then_some(to);
        let run = &mut relay.runs(self.turn).to_peer;
        if run.is_some_and(|run| self.to_peers.extend(run, to, class, range.clone())) {
            return;
        }
        let len = range.len();
        *run = Some(self.to_peers.push(to, class, range, len));
        self.senders.push((from, connected));
    }

    /// Queues the message in `range` for the client of an allocation, from a listener.
    #[inline]
    pub(crate) fn send_to_client(
        &mut self,
        relay: &mut RelaySocket,
        listener: u16,
        client: ClientAddr,
        class: TrafficClass,
        range: Range<usize>,
    ) {
        let batch = &mut self.to_clients[usize::from(listener)];
        let run = &mut relay.runs(self.turn).to_client;
        let client = Some(client.0);
        if run.is_some_and(|run| batch.extend(run, client, class, range.clone())) {
            return;
        }
        let len = range.len();
        *run = Some(batch.push(client, class, range, len));
    }

    /// Queues a response from a listener. Returns false if there is no room for it until everything
    /// has been sent.
    pub(crate) fn respond(&mut self, listener: u16, client: ClientAddr, bytes: &[u8]) -> bool {
        let Some(range) = self.take_spare(bytes.len()) else { return false };
        self.bytes_mut(range.clone()).copy_from_slice(bytes);
        let batch = &mut self.to_clients[usize::from(listener)];
        batch.push(Some(client.0), TrafficClass::DEFAULT, range, bytes.len());
        true
    }

    /// Sends everything. Datagrams that cannot be sent are dropped and counted: UDP promises no
    /// more.
    pub(crate) fn send(&mut self, listeners: &Listeners, relays: &RelaySockets, metrics: &Metrics) {
        let buffer = self.received.buffer();
        for (batch, socket) in self.to_clients.iter_mut().zip(listeners.sockets()) {
            if !batch.is_empty() {
                count(metrics, &batch.send(socket, buffer));
            }
        }
        if !self.to_peers.is_empty() {
            let senders = &self.senders;
            let socket = |run: usize| {
                let (from, connected) = senders[run];
                let relay = relays.get(from)?;
                if connected { relay.connected_udp() } else { Some(relay.udp()) }
            };
            count(metrics, &self.to_peers.send_each(buffer, socket));
            self.senders.clear();
        }
        self.spare = self.received.spare();
        self.turn = self.turn.wrapping_add(1);
    }

    /// Discards what was received; to be called once all of it has been processed and sent.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }
}

fn count(metrics: &Metrics, sent: &Sent) {
    if sent.full > 0 {
        metrics.dropped_many(DropReason::SendBufferFull, sent.full);
    }
    if sent.refused > 0 {
        metrics.dropped_many(DropReason::SendError, sent.refused);
    }
}
