//! A client on a 5-tuple of its own. A case makes as many as it needs; each gives its allocation
//! back when the case is over, however it ended.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::stun::{
    attributes::{ATTR_NONCE, ATTR_XOR_RELAYED_ADDRESS},
    message::METHOD_ALLOCATE,
};

use super::{
    answer::{Answer, describe, is_response},
    data::Data,
    link::Link,
    login::{Login, User},
    peer::Peer,
    request::{Request, channel_data},
    target::Target,
    verdict::{Fault, Step, Verdict},
};

/// The time until a request is sent again the first time; it doubles each time (RFC 8489 §6.2.1).
pub(super) const RTO: Duration = Duration::from_millis(500);

/// The time for which the answer to a client's last request is awaited.
const FAREWELL: Duration = Duration::from_millis(100);

/// The channel that a case binds when any will do.
pub(super) const CHANNEL: u16 = 0x4000;

/// A client.
pub(super) struct Client<'t> {
    target: &'t Target,
    link: Box<dyn Link>,
    /// Messages that came while the client waited for another one.
    early: VecDeque<Vec<u8>>,
    /// Transactions that have an answer; more answers to them are those to retransmissions.
    answered: HashSet<[u8; 12]>,
    login: Option<Login>,
    relayed: Option<SocketAddr>,
}

impl<'t> Client<'t> {
    /// Connects to the server, which knows nothing of the client yet.
    pub(super) fn connect(target: &'t Target) -> Verdict<Self> {
        let link = target.transport.connect(target.server, target.timeout)?;
        let (early, answered) = (VecDeque::new(), HashSet::new());
        Ok(Self { target, link, early, answered, login: None, relayed: None })
    }

    /// Creates a client that knows realm and nonce.
    pub(super) fn challenged(target: &'t Target) -> Verdict<Self> {
        let user = target.user()?;
        let mut client = Self::connect(target)?;
        client.learn(user)?;
        Ok(client)
    }

    /// Creates a client with an allocation.
    pub(super) fn allocated(target: &'t Target) -> Verdict<Self> {
        let mut client = Self::challenged(target)?;
        client.allocate()?;
        Ok(client)
    }

    /// Creates a client with an allocation and a permission, and the peer that it is for.
    pub(super) fn permitted(target: &'t Target) -> Verdict<(Self, Peer)> {
        let (mut client, peer) = (Self::allocated(target)?, target.peer()?);
        client.permit(&peer)?;
        Ok((client, peer))
    }

    /// Creates a client with an allocation and a channel, and the peer that it leads to.
    pub(super) fn bound(target: &'t Target) -> Verdict<(Self, Peer)> {
        let (mut client, peer) = (Self::allocated(target)?, target.peer()?);
        client.bind(CHANNEL, &peer)?;
        Ok((client, peer))
    }

    /// Returns the client's end of the 5-tuple.
    pub(super) fn local(&self) -> Verdict<SocketAddr> {
        Ok(self.link.local()?)
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Verdict {
        Ok(self.link.send(bytes)?)
    }

    /// Sends a request as it is, and waits for its answer.
    pub(super) fn exchange(&mut self, request: &Request) -> Verdict<Answer> {
        let answer = self.exchange_any(request)?;
        if answer.code() == Some(486) {
            return Err(Fault::skipped("the user has too many allocations (486); raise the quota"));
        }
        Ok(answer)
    }

    fn exchange_any(&mut self, request: &Request) -> Verdict<Answer> {
        let bytes = request.bytes();
        let until = Instant::now() + self.target.timeout;
        let mut pause = if self.target.transport.is_lossy() { RTO } else { self.target.timeout };
        loop {
            self.link.send(&bytes)?;
            let answer = self.answer(request, until.min(Instant::now() + pause))?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            if Instant::now() >= until {
                let came = match self.early.back() {
                    Some(last) => format!("{}, which is no answer to it", describe(last)),
                    None => "nothing".into(),
                };
                let expected = format!("an answer to the {} request", request.method());
                return Err(Fault::failed(expected, came));
            }
            pause *= 2;
        }
    }

    /// Waits for the answer to a request that was sent; returns `None` if none comes in time.
    pub(super) fn answer(&mut self, request: &Request, until: Instant) -> Verdict<Option<Answer>> {
        while let Some(bytes) = self.link.receive(until)? {
            if is_response(&bytes) && bytes[8..20] == request.id() {
                self.answered.insert(request.id());
                let answer = Answer::parse(&bytes)?;
                if answer.typ().method != request.method() {
                    let expected = format!("an answer to {}", request.method());
                    return Err(Fault::failed(expected, answer.describe()));
                }
                if answer.is_success() && request.method() == METHOD_ALLOCATE {
                    // An allocation is given back in the end, even one that should not be.
                    self.relayed = answer.address(ATTR_XOR_RELAYED_ADDRESS).ok();
                }
                return Ok(Some(answer));
            }
            self.early.push_back(bytes);
        }
        Ok(None)
    }

    /// Signs a request, sends it and waits for its answer. It is sent once more if the nonce has
    /// become stale (RFC 8489 §9.2.5), and again and again if the user has too many allocations,
    /// until those of the cases before are gone.
    pub(super) fn ask(&mut self, request: &Request) -> Verdict<Answer> {
        let until = Instant::now() + self.target.timeout;
        let mut stale = false;
        let mut request = request.clone();
        loop {
            let Some(login) = self.login.clone() else { return self.exchange(&request) };
            let signed = request.clone().signed(&login);
            let answer = self.exchange_any(&signed)?;
            match answer.code() {
                Some(438) if !stale => {
                    stale = true;
                    let nonce = answer.need(ATTR_NONCE)?;
                    self.login = Some(Login { nonce, ..login });
                }
                Some(486) if Instant::now() < until => {
                    if let Some(early) = self.link.receive(Instant::now() + RTO)? {
                        self.early.push_back(early);
                    }
                }
                Some(486) => return self.exchange(&signed),
                _ => return Ok(answer),
            }
            request = request.with_new_id();
        }
    }

    /// Waits for the next message; returns `None` if none comes in time.
    pub(super) fn next(&mut self, within: Duration) -> Verdict<Option<Vec<u8>>> {
        let until = Instant::now() + within;
        loop {
            let next = match self.early.pop_front() {
                Some(early) => Some(early),
                None => self.link.receive(until)?,
            };
            match next {
                Some(bytes) if is_response(&bytes) && self.is_answered(&bytes) => {}
                next => return Ok(next),
            }
        }
    }

    fn is_answered(&self, response: &[u8]) -> bool {
        response[8..].first_chunk().is_some_and(|id| self.answered.contains(id))
    }

    /// Sends bytes that must not be answered, and checks that the server goes on all the same.
    pub(super) fn send_unanswered(&mut self, bytes: &[u8], what: &str) -> Verdict {
        self.send(bytes)?;
        // Its answer comes behind one to the bytes before it, and shows that the server lives.
        self.exchange(&Request::binding()).step("a Binding after it")?;
        self.silent(&format!("no answer to {what}"))
    }

    /// Fails if a message comes.
    pub(super) fn silent(&mut self, expected: &str) -> Verdict {
        match self.next(self.target.silence)? {
            None => Ok(()),
            Some(bytes) => Err(Fault::failed(expected, describe(&bytes))),
        }
    }

    /// Learns realm and nonce, and signs as this user from now on.
    pub(super) fn learn(&mut self, user: &User) -> Verdict<Answer> {
        let challenge = self.exchange(&Request::allocate())?;
        if challenge.is_success() {
            return Err(Fault::skipped("the server asks for no credentials"));
        }
        let challenge = challenge.refused(401)?;
        self.login = Some(Login::new(user, &challenge)?);
        Ok(challenge)
    }

    /// Signs with this login from now on.
    pub(super) fn log_in(&mut self, login: Login) {
        self.login = Some(login);
    }

    /// Waits for bytes of a stream of data; returns none of them at its end, and `None` if none
    /// come in time.
    pub(super) fn bytes(&mut self, within: Duration) -> Verdict<Option<Vec<u8>>> {
        Ok(self.link.bytes(Instant::now() + within)?)
    }

    /// Returns the login that the client signs with.
    pub(super) fn login(&self) -> Verdict<Login> {
        self.login.clone().ok_or_else(|| Fault::failed("a realm and a nonce", "neither"))
    }

    /// Allocates a relayed address of the peers' family.
    pub(super) fn allocate(&mut self) -> Verdict<Answer> {
        self.allocate_by(&self.target.allocate()).step("Allocate")
    }

    /// Allocates with this request, which must succeed.
    pub(super) fn allocate_by(&mut self, request: &Request) -> Verdict<Answer> {
        let answer = self.ask(request)?.success()?;
        answer.address(ATTR_XOR_RELAYED_ADDRESS)?;
        Ok(answer)
    }

    /// Returns the relayed address.
    pub(super) fn relayed(&self) -> Verdict<SocketAddr> {
        self.relayed.ok_or_else(|| Fault::failed("a relayed address", "none"))
    }

    /// Installs a permission for a peer.
    pub(super) fn permit(&mut self, peer: &Peer) -> Verdict {
        let answer = self.ask(&Request::permission().peer(peer.address))?;
        self.granted(answer, peer.address).step("CreatePermission").map(|_| ())
    }

    /// Binds a channel to a peer.
    pub(super) fn bind(&mut self, number: u16, peer: &Peer) -> Verdict {
        let answer = self.ask(&Request::bind(number, peer.address))?;
        self.granted(answer, peer.address).step("ChannelBind").map(|_| ())
    }

    /// Fails if a request for a peer did not succeed, unless the server denies such peers.
    pub(super) fn granted(&self, answer: Answer, peer: SocketAddr) -> Verdict<Answer> {
        if answer.code() == Some(403) {
            let ip = peer.ip();
            return Err(Fault::skipped(format!(
                "the server denies {ip} as a peer; allow it there, or give --peer-ip"
            )));
        }
        answer.success()
    }

    /// Sends data on a channel, padded where the transport wants that.
    pub(super) fn send_on(&mut self, number: u16, data: &[u8]) -> Verdict {
        let padded = !self.target.transport.is_lossy();
        self.send(&channel_data(number, data, padded))
    }

    /// Waits for data from a peer; returns `None` if none comes in time.
    pub(super) fn data(&mut self, within: Duration) -> Verdict<Option<Data>> {
        self.next(within)?.map(|bytes| Data::parse(&bytes)).transpose()
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        if self.relayed.is_none() {
            return;
        }
        let mut close = Request::refresh().lifetime(0);
        if let Some(login) = &self.login {
            close = close.signed(login);
        }
        let request = close.bytes();
        // If the request is lost the allocation expires.
        if self.link.send(&request).is_err() {
            return;
        }
        // The answer is awaited: the next client may have the same port, and would get it.
        let until = Instant::now() + FAREWELL;
        while let Ok(Some(message)) = self.link.receive(until) {
            if is_response(&message) && message.get(8..20) == request.get(8..20) {
                break;
            }
        }
    }
}
