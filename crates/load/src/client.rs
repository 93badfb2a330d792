//! TURN clients that cost little: a socket each, and no task, timer or lock.
//!
//! A client has one request on the way at a time. [`Clients::ask`] sends it, [`Clients::answer`]
//! takes what comes in, and [`Clients::send_again`] sees to what is lost: who waits for what is up
//! to the caller, so the same goes for the start of a run and for its middle.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use mio::{Interest, Poll, Token, net::UdpSocket};

use super::{
    Framing, LoadArgs, Path,
    message::{self, Answer, Ask, Login},
    sockets,
};

/// How long an answer is waited for, and how often a request is sent.
const TIMEOUT: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 6;

/// The channel that a client sends on.
pub(super) const CHANNEL: u16 = 0x4000;
/// The channel of the client that sends to this one.
const CHANNEL_BACK: u16 = 0x4001;
/// What data may come on.
pub(super) const CHANNELS: [u16; 2] = [CHANNEL, CHANNEL_BACK];

/// The way of a client, from the first request to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Allocate without credentials, to learn realm and nonce.
    Challenge,
    /// Allocate with them.
    Allocate,
    /// A permission or a channel: the first, the second.
    Way(usize),
    /// Give the allocation back.
    Close,
}

/// A request that is on the way.
struct Pending {
    bytes: Vec<u8>,
    step: Step,
    attempts: usize,
}

/// A client, with its allocation once it has one.
pub(super) struct Client {
    pub socket: UdpSocket,
    pub relayed: SocketAddr,
    /// Whether it sends and is sent to.
    pub active: bool,
    nonce: String,
    pending: Option<Pending>,
}

/// What an answer to a renewal was.
pub(super) enum Heard {
    /// The answer to the request that was waited for.
    Step(Step),
    /// A renewal came with a nonce that is too old; the new one is taken.
    Stale,
    /// A renewal was refused.
    Refused,
    /// Nothing of interest.
    Nothing,
}

/// All clients of a run, and their peer.
pub(super) struct Clients {
    pub all: Vec<Client>,
    pub peer: UdpSocket,
    /// Knows each client by its place, and the peer by the place after them.
    pub poll: Poll,
    login: Login,
    args: LoadArgs,
    peer_address: SocketAddr,
    /// What waits for an answer and since when, the oldest first.
    waiting: VecDeque<(Instant, usize, [u8; 12])>,
}

impl Clients {
    /// Opens the sockets.
    pub fn open(args: &LoadArgs, login: Login) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut peer = sockets::peer(args)?;
        poll.registry().register(&mut peer, Token(args.clients), Interest::READABLE)?;
        let client = |at| {
            let mut socket = sockets::client(args)?;
            poll.registry().register(&mut socket, Token(at), Interest::READABLE)?;
            Ok(Client {
                socket,
                relayed: args.server,
                active: true,
                nonce: String::new(),
                pending: None,
            })
        };
        let all = (0..args.clients).map(client).collect::<anyhow::Result<_>>()?;
        let peer_address = peer.local_addr()?;
        let args = args.clone();
        Ok(Self { all, peer, poll, login, args, peer_address, waiting: VecDeque::new() })
    }

    /// Gives a client a socket that the server has not heard of.
    pub fn begin_anew(&mut self, at: usize) -> anyhow::Result<()> {
        let mut socket = sockets::client(&self.args)?;
        self.poll.registry().register(&mut socket, Token(at), Interest::READABLE)?;
        let mut old = std::mem::replace(&mut self.all[at].socket, socket);
        self.poll.registry().deregister(&mut old)?;
        Ok(())
    }

    /// How many permissions or channels a client needs.
    pub fn ways(&self) -> usize {
        // Between two clients they are each other's next, and the channel is there already.
        let back = self.args.path == Path::Clients && self.all.len() > 2;
        if back && self.args.framing == Framing::Channel { 2 } else { 1 }
    }

    fn way(&self, at: usize, way: usize) -> Ask {
        let count = self.all.len();
        let (number, to) = match (self.args.path, way) {
            (Path::Up | Path::Down, _) => (CHANNEL, self.peer_address),
            (Path::Clients, 0) => (CHANNEL, self.all[(at + 1) % count].relayed),
            (Path::Clients, _) => (CHANNEL_BACK, self.all[(at + count - 1) % count].relayed),
        };
        match self.args.framing {
            Framing::Indication => Ask::Permission(to),
            Framing::Channel | Framing::None => Ask::Channel(number, to),
        }
    }

    /// Sends the request of a step, and waits for the answer.
    pub fn ask(&mut self, at: usize, step: Step) -> anyhow::Result<()> {
        self.ask_again(at, step, 1)
    }

    fn ask_again(&mut self, at: usize, step: Step, attempts: usize) -> anyhow::Result<()> {
        let what = match step {
            Step::Challenge | Step::Allocate => Ask::Allocate { ipv6: self.args.server.is_ipv6() },
            Step::Way(way) => self.way(at, way),
            Step::Close => Ask::Close,
        };
        let signed = (step != Step::Challenge).then_some((&self.login, &*self.all[at].nonce));
        let bytes = what.request(signed)?;
        self.all[at].pending = Some(Pending { bytes, step, attempts });
        self.send(at);
        Ok(())
    }

    fn send(&mut self, at: usize) {
        let client = &self.all[at];
        let Some(pending) = &client.pending else { return };
        // What fails here (an ICMP error of the one before) is lost, and sent again as such.
        let _ = client.socket.send(&pending.bytes);
        if let Some(id) = pending.bytes.get(8..).and_then(|bytes| bytes.first_chunk()) {
            self.waiting.push_back((Instant::now(), at, *id));
        }
    }

    /// Takes in a STUN message that came for a client.
    pub fn answer(&mut self, at: usize, bytes: &[u8]) -> anyhow::Result<Heard> {
        let client = &mut self.all[at];
        let waited = client.pending.take_if(|p| bytes.get(8..20) == p.bytes.get(8..20));
        let answer = message::read(bytes, &mut self.login)?;
        let Some(Pending { step, attempts, .. }) = waited else {
            return Ok(match answer {
                // Requests of one renewal all come back with the same news.
                Answer::Again { nonce, .. } if nonce != client.nonce => {
                    client.nonce = nonce;
                    Heard::Stale
                }
                Answer::Refused(_) => Heard::Refused,
                Answer::Again { .. } | Answer::Done(_) => Heard::Nothing,
            });
        };
        match answer {
            Answer::Again { nonce, .. } if step == Step::Challenge => client.nonce = nonce,
            Answer::Again { nonce, stale: true } if attempts < ATTEMPTS => {
                client.nonce = nonce;
                self.ask_again(at, step, attempts + 1)?;
                return Ok(Heard::Nothing);
            }
            // There is nothing to close, which is what was wanted.
            Answer::Again { .. } | Answer::Refused(_) if step == Step::Close => {}
            Answer::Again { .. } => bail!(
                "the server answers 401 to a signed request; are name and password or secret right?"
            ),
            Answer::Refused(why) => bail!(why),
            Answer::Done(_) if step == Step::Challenge => {
                bail!("the server asks for no credentials")
            }
            Answer::Done(relayed) if step == Step::Allocate => {
                client.relayed = relayed.context("the server gives no relayed address")?;
            }
            Answer::Done(_) => {}
        }
        Ok(Heard::Step(step))
    }

    /// Sends again what has waited for too long.
    pub fn send_again(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some((since, at, id)) = self.waiting.front().copied()
            && now >= since + TIMEOUT
        {
            self.waiting.pop_front();
            let pending = self.all[at].pending.as_mut();
            let Some(pending) = pending.filter(|p| p.bytes.get(8..20) == Some(&id)) else {
                continue;
            };
            pending.attempts += 1;
            if pending.attempts > ATTEMPTS {
                bail!(
                    "{} does not answer; is it a TURN server, and does a firewall let UDP through?",
                    self.args.server
                );
            }
            self.send(at);
        }
        // Answered ones in front keep nobody waiting.
        Ok(())
    }

    /// Sends what keeps an allocation and its ways, without waiting for the answers.
    pub fn renew(&self, at: usize) -> anyhow::Result<()> {
        let client = &self.all[at];
        let signed = || Some((&self.login, &*client.nonce));
        for way in 0..self.ways() {
            let _ = client.socket.send(&self.way(at, way).request(signed())?);
        }
        let _ = client.socket.send(&Ask::Refresh.request(signed())?);
        Ok(())
    }
}
