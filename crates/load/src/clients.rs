//! All clients of a run, and the peer.
//!
//! [`Clients::ask`] sends a client's request, [`Clients::answer`] handles a message, and
//! [`Clients::send_again`] repeats requests that are lost. The caller decides on the next step of a
//! client, at the start of a run as in its middle.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::bail;
use callbox_client::{Login, Request, requested_family};
use mio::{Events, Interest, Poll, Token, net::UdpSocket};

use super::{
    Framing, LoadArgs, Path,
    client::{Client, Outcome, Overdue, Step, TransactionId},
    sockets,
};

/// The time until a request counts as lost.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The channel that a client sends on.
pub(super) const CHANNEL: u16 = 0x4000;
/// The channel of the client that sends to this one.
const CHANNEL_BACK: u16 = 0x4001;
/// The channels on which data may come.
pub(super) const CHANNELS: [u16; 2] = [CHANNEL, CHANNEL_BACK];

/// All clients of a run, by their indices, and their peer.
pub(super) struct Clients {
    all: Vec<Client>,
    peer: UdpSocket,
    peer_address: SocketAddr,
    poll: Poll,
    login: Login,
    args: LoadArgs,
    /// Requests that wait for an answer and since when, the oldest first.
    waiting: VecDeque<(Instant, usize, TransactionId)>,
}

impl Clients {
    /// Opens the sockets.
    pub(crate) fn open(args: &LoadArgs, login: Login) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut peer = sockets::peer(args)?;
        poll.registry().register(&mut peer, Token(args.clients), Interest::READABLE)?;
        let client = |index| Client::open(args, poll.registry(), index);
        let all = (0..args.clients).map(client).collect::<anyhow::Result<_>>()?;
        let peer_address = peer.local_addr()?;
        let args = args.clone();
        Ok(Self { all, peer, peer_address, poll, login, args, waiting: VecDeque::new() })
    }

    /// Returns how many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns a client.
    pub(crate) fn get(&self, index: usize) -> &Client {
        &self.all[index]
    }

    /// Returns a client, to change it.
    pub(crate) fn get_mut(&mut self, index: usize) -> &mut Client {
        &mut self.all[index]
    }

    /// Returns the peer's socket.
    pub(crate) fn peer(&self) -> &UdpSocket {
        &self.peer
    }

    /// Returns the peer's address.
    pub(crate) fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Waits until sockets are readable. An event has the index of its client, or for the peer
    /// the index after the clients'.
    pub(crate) fn poll(&mut self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives a client a socket that the server does not know.
    pub(crate) fn reopen(&mut self, index: usize) -> anyhow::Result<()> {
        self.all[index].reopen(&self.args, self.poll.registry(), index)
    }

    /// Returns to how many peers a client needs a permission or a channel.
    pub(crate) fn peers(&self) -> usize {
        // Of two clients each is the other's next, and has the channel already.
        let needs_back = self.args.path == Path::Clients && self.all.len() > 2;
        if needs_back && self.args.framing == Framing::Channel { 2 } else { 1 }
    }

    /// Creates the request for a permission or a channel to a peer of a client.
    fn peer_request(&self, index: usize, peer: usize) -> Request {
        let count = self.all.len();
        let (number, to) = match (self.args.path, peer) {
            (Path::Up | Path::Down, _) => (CHANNEL, self.peer_address),
            (Path::Clients, 0) => (CHANNEL, self.all[(index + 1) % count].relayed()),
            (Path::Clients, _) => (CHANNEL_BACK, self.all[(index + count - 1) % count].relayed()),
        };
        match self.args.framing {
            Framing::Indication => Request::create_permission(to),
            Framing::Channel | Framing::None => Request::channel_bind(number, to),
        }
    }

    /// Sends the request of a step, and waits for the answer.
    pub(crate) fn ask(&mut self, index: usize, step: Step) -> anyhow::Result<()> {
        let request = match step {
            Step::Challenge | Step::Allocate if self.args.server.is_ipv6() => {
                Request::allocate().with(requested_family(true))
            }
            Step::Challenge | Step::Allocate => Request::allocate(),
            Step::Peer(peer) => self.peer_request(index, peer),
            Step::Close => Request::release(),
        };
        let id = self.all[index].ask(&self.login, step, request)?;
        self.waiting.push_back((Instant::now(), index, id));
        Ok(())
    }

    /// Handles a STUN message that came for a client.
    pub(crate) fn answer(&mut self, index: usize, message: &[u8]) -> anyhow::Result<Outcome> {
        let client = &mut self.all[index];
        let outcome = client.answer(&mut self.login, message)?;
        if matches!(outcome, Outcome::Retry)
            && let Some(id) = client.retry(&self.login)?
        {
            self.waiting.push_back((Instant::now(), index, id));
        }
        Ok(outcome)
    }

    /// Sends requests again that have waited for too long.
    pub(crate) fn send_again(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some((since, index, id)) = self.waiting.front().copied()
            && now >= since + TIMEOUT
        {
            self.waiting.pop_front();
            match self.all[index].resend(id) {
                Overdue::Answered => {}
                Overdue::Sent => self.waiting.push_back((Instant::now(), index, id)),
                Overdue::GivenUp => bail!(
                    "{} does not answer; is it a TURN server, and does a firewall let UDP through?",
                    self.args.server
                ),
            }
        }
        Ok(())
    }

    /// Sends the requests that keep an allocation and its permissions, without waiting for the
    /// answers.
    pub(crate) fn renew(&self, index: usize) -> anyhow::Result<()> {
        let client = &self.all[index];
        for peer in 0..self.peers() {
            client.tell(&self.login, &self.peer_request(index, peer))?;
        }
        client.tell(&self.login, &Request::refresh())
    }
}
