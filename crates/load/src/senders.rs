//! The bursts of a run, each from the next sender.

use std::{io, net::SocketAddr, time::Instant};

use anyhow::Context;
use callbox_client::{channel_data, send_indication};
use callbox_sys::{SendBatch, TrafficClass};

use super::{
    Framing, LoadArgs, Path,
    clients::{CHANNEL, Clients},
};

/// The senders of a run: the clients, or the peer alone.
pub(super) struct Senders {
    path: Path,
    gso: bool,
    burst: usize,
    /// Bursts of datagrams: one for all senders, or one for each where they differ.
    bursts: Vec<Vec<u8>>,
    /// The length of a datagram, and the offset of the payload in it.
    datagram: usize,
    payload: usize,
    batch: SendBatch,
    next: usize,
}

impl Senders {
    pub(crate) fn new(args: &LoadArgs, clients: &Clients) -> anyhow::Result<Self> {
        let relayed = |index: usize| clients.get(index % clients.len()).relayed();
        let mut bursts = Vec::new();
        let (first, payload) = match args.path {
            Path::Down => (vec![0; args.size], 0),
            Path::Up => framed(args, clients.peer_address())?,
            Path::Clients => framed(args, relayed(1))?,
        };
        bursts.push(first.repeat(args.burst));
        if args.path == Path::Clients && args.framing == Framing::Indication {
            for index in 1..clients.len() {
                bursts.push(framed(args, relayed(index + 1))?.0.repeat(args.burst));
            }
        }
        Ok(Self {
            path: args.path,
            gso: args.gso,
            burst: args.burst,
            bursts,
            datagram: first.len(),
            payload,
            batch: SendBatch::default(),
            next: 0,
        })
    }

    /// Sends one burst, of the next client that is active; returns how many packets that were.
    pub(crate) fn burst(&mut self, clients: &Clients, started: Instant) -> anyhow::Result<u64> {
        let count = clients.len();
        let mut turns = (self.next..self.next + count).map(|index| index % count);
        let next = turns.find(|index| clients.get(*index).is_active());
        let Some(index) = next else { return Ok(0) };
        self.next = (index + 1) % count;
        let client = clients.get(index);
        let (socket, to) = match self.path {
            Path::Down => (clients.peer(), Some(client.relayed())),
            Path::Up | Path::Clients => (client.socket(), None),
        };
        let stamp = (started.elapsed().as_nanos() as u64).to_be_bytes();
        let burst_index = index % self.bursts.len();
        let burst = &mut self.bursts[burst_index];
        for packet in burst.chunks_mut(self.datagram) {
            packet[self.payload..self.payload + 8].copy_from_slice(&stamp);
        }
        let result = match (self.gso, to) {
            (true, _) => {
                self.batch.push(to, TrafficClass::DEFAULT, 0..burst.len(), self.datagram);
                self.batch.send(socket, burst).taken()
            }
            (false, Some(to)) if self.burst == 1 => socket.send_to(burst, to).map(|_| 1),
            (false, None) if self.burst == 1 => socket.send(burst).map(|_| 1),
            (false, _) => {
                for n in 0..self.burst {
                    let datagram = n * self.datagram..(n + 1) * self.datagram;
                    self.batch.push(to, TrafficClass::DEFAULT, datagram, self.datagram);
                }
                self.batch.send(socket, burst).taken()
            }
        };
        match result {
            Ok(count) => Ok(count as u64),
            // The buffer is full: the server is behind.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error).context("the load cannot send"),
        }
    }
}

/// Returns a datagram from a client to the server with an empty payload, and the payload's offset.
fn framed(args: &LoadArgs, to: SocketAddr) -> anyhow::Result<(Vec<u8>, usize)> {
    let payload = vec![0; args.size];
    // ChannelData has no padding over UDP; an attribute has.
    let (datagram, padded) = match args.framing {
        Framing::None => (payload, args.size),
        Framing::Channel => (channel_data(CHANNEL, &payload), args.size),
        Framing::Indication => (send_indication(to, &payload)?.raw, args.size.next_multiple_of(4)),
    };
    let offset = datagram.len() - padded;
    Ok((datagram, offset))
}
