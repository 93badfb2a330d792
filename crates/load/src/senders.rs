//! Who sends the next burst, and what.

use std::{io, net::SocketAddr, time::Instant};

use ::stun::message::{CLASS_INDICATION, METHOD_SEND, Message, MessageType, Setter};
use ::turn::proto::{data::Data, peeraddr::PeerAddress};
use anyhow::Context;
use callbox_sys::{SendBatch, TrafficClass};

use super::{
    Framing, LoadArgs, Path,
    client::{CHANNEL, Clients},
};

/// The senders of a run: the clients, or the peer alone.
pub(super) struct Senders {
    path: Path,
    gso: bool,
    burst: usize,
    /// Bursts of datagrams: one for all senders, or one for each where they differ.
    bursts: Vec<Vec<u8>>,
    /// The length of a datagram, and where in it the payload stands.
    datagram: usize,
    payload: usize,
    batch: SendBatch,
    next: usize,
}

impl Senders {
    pub fn new(args: &LoadArgs, clients: &Clients) -> anyhow::Result<Self> {
        let relayed = |at: usize| clients.all[at % clients.all.len()].relayed;
        let mut bursts = Vec::new();
        let (first, payload) = match args.path {
            Path::Down => (vec![0; args.size], 0),
            Path::Up => framed(args, clients.peer.local_addr()?)?,
            Path::Clients => framed(args, relayed(1))?,
        };
        bursts.push(first.repeat(args.burst));
        if args.path == Path::Clients && args.framing == Framing::Indication {
            for at in 1..clients.all.len() {
                bursts.push(framed(args, relayed(at + 1))?.0.repeat(args.burst));
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

    /// Sends one burst, of the next client that is there; gives how many packets that were.
    pub fn burst(&mut self, clients: &Clients, started: Instant) -> anyhow::Result<u64> {
        let count = clients.all.len();
        let mut turns = (self.next..self.next + count).map(|at| at % count);
        let Some(at) = turns.find(|at| clients.all[*at].active) else { return Ok(0) };
        self.next = (at + 1) % count;
        let client = &clients.all[at];
        let (socket, to) = match self.path {
            Path::Down => (&clients.peer, Some(client.relayed)),
            Path::Up | Path::Clients => (&client.socket, None),
        };
        let stamp = (started.elapsed().as_nanos() as u64).to_be_bytes();
        let which = at % self.bursts.len();
        let burst = &mut self.bursts[which];
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

/// A datagram from a client to the server with an empty payload, and where that stands.
fn framed(args: &LoadArgs, to: SocketAddr) -> anyhow::Result<(Vec<u8>, usize)> {
    match args.framing {
        Framing::None => Ok((vec![0; args.size], 0)),
        Framing::Channel => {
            let mut bytes = vec![0; 4 + args.size];
            bytes[..2].copy_from_slice(&CHANNEL.to_be_bytes());
            bytes[2..4].copy_from_slice(&(args.size as u16).to_be_bytes());
            Ok((bytes, 4))
        }
        Framing::Indication => {
            let mut message = Message::new();
            message.typ = MessageType { method: METHOD_SEND, class: CLASS_INDICATION };
            message.write_header();
            message.new_transaction_id()?;
            PeerAddress { ip: to.ip(), port: to.port() }.add_to(&mut message)?;
            let payload = message.raw.len() + 4;
            Data(vec![0; args.size]).add_to(&mut message)?;
            Ok((message.raw, payload))
        }
    }
}
