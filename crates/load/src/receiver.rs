//! What comes out of the relay: told apart from answers to requests, counted and timed.

use std::time::{Duration, Instant};

use callbox_sys::ReceiveBatch;
use mio::net::UdpSocket;

use super::{Framing, LoadArgs, Path, client::CHANNELS, histogram::Histogram};

/// How many datagrams are received with one call from the peer's socket, where all come together,
/// and from a client's. Of runs it takes fewer.
const AT_PEER: usize = 64;
const AT_CLIENT: usize = 8;
const IN_RUNS: usize = 4;

/// The largest datagram that comes back, and the largest run.
const MAX_DATAGRAM: usize = 9000;
const MAX_RUN: usize = 65_535;

const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
const DATA: u16 = 0x0013;

/// What a datagram is.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    /// A packet of the load: its payload.
    Data(&'a [u8]),
    /// A STUN message other than a Data indication.
    Stun,
    /// Something that nobody sends: a late hello, or one that was cut short.
    Other,
}

/// Receives packets and counts them.
pub(super) struct Receiver {
    framing: Framing,
    size: usize,
    incoming: ReceiveBatch,
    slots: usize,
    started: Instant,
    pub latencies: Histogram,
    pub received: u64,
    /// How many datagrams the load's own sockets were too full to take.
    pub lost: u64,
    /// The same for each socket, as last told: the clients', then the peer's.
    known: Vec<u32>,
    /// When something came last.
    pub heard: Instant,
    /// STUN messages that came among the data, until somebody takes them.
    pub answers: Vec<Vec<u8>>,
}

impl Receiver {
    pub fn new(args: &LoadArgs) -> Self {
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
    pub fn start(&mut self, now: Instant) {
        (self.started, self.heard) = (now, now);
    }

    /// Takes in all that the socket of a client has, by its place among the clients.
    pub fn drain_client(&mut self, at: usize, socket: &UdpSocket) {
        self.drain(at, socket, self.framing);
    }

    /// Takes in all that the peer's socket has. What comes out of a relay has no header.
    pub fn drain_peer(&mut self, socket: &UdpSocket) {
        self.drain(self.known.len() - 1, socket, Framing::None);
    }

    fn drain(&mut self, at: usize, socket: &UdpSocket, framing: Framing) {
        while let Ok(count) = self.incoming.receive(socket, 0..self.slots) {
            let now = Instant::now();
            let since_start = now - self.started;
            for slot in 0..count {
                let Some(received) = self.incoming.received(slot) else { continue };
                let known = std::mem::replace(&mut self.known[at], received.lost);
                // A client that came again has a new socket, which counts from 0.
                self.lost += u64::from(received.lost.checked_sub(known).unwrap_or(received.lost));
                for place in received.datagrams() {
                    let bytes = &self.incoming.buffer()[place];
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
            // Fewer than there is room for: that was all, and what comes now makes a new event.
            // Without batches it is always one, and says nothing.
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
            match data_of(bytes) {
                Some(payload) if payload.len() == size => Kind::Data(payload),
                _ => Kind::Other,
            }
        }
        // A STUN message begins with two zero bits (RFC 8489, section 5).
        (_, [first, ..]) if first & 0xc0 == 0 => Kind::Stun,
        _ => Kind::Other,
    }
}

/// The DATA attribute of a message. Servers differ in where they put it.
fn data_of(message: &[u8]) -> Option<&[u8]> {
    let mut left = message.get(20..)?;
    while let [a, b, c, d, rest @ ..] = left {
        let len = usize::from(u16::from_be_bytes([*c, *d]));
        if u16::from_be_bytes([*a, *b]) == DATA {
            return rest.get(..len);
        }
        left = rest.get(len.next_multiple_of(4)..)?;
    }
    None
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
    fn data_is_told_from_the_rest() {
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
