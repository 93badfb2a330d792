//! Packets that come out of the relay: told apart from answers to requests, counted and timed.

use std::time::{Duration, Instant};

use callbox_client::payload_of;
use callbox_sys::ReceiveBatch;
use mio::net::UdpSocket;

use super::{Framing, LoadArgs, Path, clients::CHANNELS, histogram::Histogram};

/// The number of datagrams that one call receives: from the peer's socket, to which all clients
/// send, from a client's, and the divisor of both where datagrams come in runs.
const AT_PEER: usize = 64;
const AT_CLIENT: usize = 8;
const IN_RUNS: usize = 4;

/// The largest datagram that comes back, and the largest run.
const MAX_DATAGRAM: usize = 9000;
const MAX_RUN: usize = 65_535;

const DATA_INDICATION: [u8; 2] = [0x00, 0x17];

/// The kind of a datagram.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    /// A packet of the load: its payload.
    Data(&'a [u8]),
    /// A STUN message other than a Data indication.
    Stun,
    /// A late hello, or a datagram that was cut short.
    Other,
}

/// Receives packets and counts them.
pub(super) struct Receiver {
    framing: Framing,
    size: usize,
    incoming: ReceiveBatch,
    slots: usize,
    started: Instant,
    latencies: Histogram,
    received: u64,
    lost: u64,
    /// The losses that each socket has reported so far: the clients', then the peer's.
    known: Vec<u32>,
    heard: Instant,
    /// STUN messages that came among the data.
    answers: Vec<Vec<u8>>,
}

impl Receiver {
    pub(crate) fn new(args: &LoadArgs) -> Self {
        let slots = if args.path == Path::Up { AT_PEER } else { AT_CLIENT };
        let (slots, len) =
            if args.gso { (slots / IN_RUNS, MAX_RUN) } else { (slots, MAX_DATAGRAM) };
        let now = Instant::now();
        Self {
            framing: args.framing,
            size: args.size,
            incoming: ReceiveBatch::new(slots, len, 0, 0),
            slots,
            started: now,
            latencies: Histogram::new(),
            received: 0,
            lost: 0,
            known: vec![0; args.clients + 1],
            heard: now,
            answers: Vec::new(),
        }
    }

    /// Counts the time from now on.
    pub(crate) fn start(&mut self, now: Instant) {
        (self.started, self.heard) = (now, now);
    }

    /// Counts silence from now on.
    pub(crate) fn listen_from(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Returns when the last packet came.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Returns how many packets came.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns how many datagrams the load's own sockets were too full to take.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns the packets' times.
    pub(crate) fn latencies(&self) -> &Histogram {
        &self.latencies
    }

    /// Takes a STUN message that came among the data.
    pub(crate) fn pop_answer(&mut self) -> Option<Vec<u8>> {
        self.answers.pop()
    }

    /// Receives all that the socket of a client has.
    pub(crate) fn drain_client(&mut self, index: usize, socket: &UdpSocket) {
        self.drain(index, socket, self.framing);
    }

    /// Receives all that the peer's socket has. Packets that come out of a relay have no header.
    pub(crate) fn drain_peer(&mut self, socket: &UdpSocket) {
        self.drain(self.known.len() - 1, socket, Framing::None);
    }

    fn drain(&mut self, index: usize, socket: &UdpSocket, framing: Framing) {
        while let Ok(count) = self.incoming.receive(socket, 0..self.slots) {
            let now = Instant::now();
            let since_start = now - self.started;
            for slot in 0..count {
                let Some(received) = self.incoming.received(slot) else { continue };
                let known = std::mem::replace(&mut self.known[index], received.lost);
                // A client that came again has a new socket, which counts from 0.
                self.lost += u64::from(received.lost.checked_sub(known).unwrap_or(received.lost));
                for range in received.datagrams() {
                    let bytes = &self.incoming.buffer()[range];
                    let payload = match kind(framing, self.size, bytes) {
                        Kind::Data(payload) => payload,
                        Kind::Stun => {
                            self.answers.push(bytes.to_vec());
                            continue;
                        }
                        Kind::Other => continue,
                    };
                    let Some(stamp) = payload.first_chunk() else { continue };
                    let sent = Duration::from_nanos(u64::from_be_bytes(*stamp));
                    self.heard = now;
                    self.received += 1;
                    self.latencies.add(since_start.saturating_sub(sent));
                }
            }
            // With fewer than there is room for that was all, and the next datagram makes a new
            // event. Without batches it is always one, and says nothing.
            if cfg!(target_os = "linux") && count < self.slots {
                return;
            }
        }
    }
}

fn kind(framing: Framing, size: usize, bytes: &[u8]) -> Kind<'_> {
    match (framing, bytes) {
        (Framing::None, payload) if payload.len() == size => Kind::Data(payload),
        (Framing::None, _) => Kind::Other,
        (Framing::Channel, [a, b, c, d, payload @ ..])
            if CHANNELS.contains(&u16::from_be_bytes([*a, *b])) =>
        {
            // Over UDP padding may follow (RFC 8656, section 12.5).
            let len = usize::from(u16::from_be_bytes([*c, *d]));
            match payload.get(..len) {
                Some(payload) if len == size => Kind::Data(payload),
                _ => Kind::Other,
            }
        }
        (Framing::Indication, bytes) if bytes.starts_with(&DATA_INDICATION) => {
            match payload_of(bytes) {
                Some(payload) if payload.len() == size => Kind::Data(payload),
                _ => Kind::Other,
            }
        }
        // A STUN message begins with two zero bits (RFC 8489, section 5).
        (_, [first, ..]) if first & 0xc0 == 0 => Kind::Stun,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indication(kind: [u8; 2]) -> Vec<u8> {
        let mut bytes = vec![kind[0], kind[1], 0, 20 + 12];
        bytes.extend([0; 16]);
        bytes.extend([0x00, 0x12, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7]);
        bytes.extend([0x00, 0x13, 0, 16]);
        bytes.extend([9; 16]);
        bytes
    }

    #[test]
    fn data_is_distinguished_from_other_messages() {
        let sixteen = [9; 16];
        let data = Kind::Data(&sixteen);
        let channel = |number: u8, len: u8| [&[0x40, number, 0, len], &sixteen[..]].concat();
        assert_eq!(kind(Framing::None, 16, &sixteen), data);
        assert_eq!(kind(Framing::None, 16, &sixteen[..12]), Kind::Other);
        assert_eq!(kind(Framing::Channel, 16, &channel(0, 16)), data);
        assert_eq!(kind(Framing::Channel, 16, &channel(1, 16)), data);
        assert_eq!(kind(Framing::Channel, 16, &channel(9, 16)), Kind::Other);
        assert_eq!(kind(Framing::Channel, 16, &channel(0, 17)), Kind::Other);
        assert_eq!(kind(Framing::Channel, 16, &channel(0, 15)), Kind::Other);
        assert_eq!(kind(Framing::Channel, 16, &[0x40]), Kind::Other);
        assert_eq!(kind(Framing::Indication, 16, &indication(DATA_INDICATION)), data);
        let short = &indication(DATA_INDICATION)[..40];
        assert_eq!(kind(Framing::Indication, 16, short), Kind::Other);
        for framing in [Framing::Channel, Framing::Indication] {
            assert_eq!(kind(framing, 16, &indication([0x01, 0x04])), Kind::Stun);
            assert_eq!(kind(framing, 16, &[]), Kind::Other);
        }
    }
}
