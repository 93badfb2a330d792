//! A client on a 5-tuple of its own. A case makes as many as it needs; each gives back what it was
//! given when the case is over, however it ended.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::stun::{
    attributes::{ATTR_DATA, ATTR_NONCE, ATTR_XOR_PEER_ADDRESS, ATTR_XOR_RELAYED_ADDRESS},
    message::{CLASS_INDICATION, METHOD_ALLOCATE, METHOD_DATA},
};

use super::{
    answer::{Answer, describe},
    link::Link,
    login::{Login, User},
    peer::Peer,
    request::{Request, channel_data},
    target::Target,
    verdict::{Fault, Step, Verdict},
};

/// When a request is sent again the first time; each time after that it takes twice as long
/// (RFC 8489 §6.2.1).
pub(super) const RTO: Duration = Duration::from_millis(500);

/// The channel that a case binds when any will do.
pub(super) const CHANNEL: u16 = 0x4000;

/// Data from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// As a Data indication from this peer.
    Indication(SocketAddr, Vec<u8>),
    /// As ChannelData on this channel.
    Channel(u16, Vec<u8>),
}

/// A client.
pub(super) struct Client<'t> {
    target: &'t Target,
    link: Box<dyn Link>,
    /// What came while something else was waited for.
    early: VecDeque<Vec<u8>>,
    /// Transactions that are over; more answers to them are those to what was sent again.
    over: HashSet<[u8; 12]>,
    login: Option<Login>,
    relayed: Option<SocketAddr>,
}

impl<'t> Client<'t> {
    /// Connects.
    pub fn connect(target: &'t Target) -> Verdict<Self> {
        let link = target.way.connect(target.server, target.patience)?;
        let (early, over) = (VecDeque::new(), HashSet::new());
        Ok(Self { target, link, early, over, login: None, relayed: None })
    }

    /// Our end of the 5-tuple.
    pub fn local(&self) -> Verdict<SocketAddr> {
        Ok(self.link.local()?)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Verdict {
        Ok(self.link.send(bytes)?)
    }

    /// Sends a request as it is, and waits for its answer.
    pub fn exchange(&mut self, request: &Request) -> Verdict<Answer> {
        let answer = self.exchange_any(request)?;
        if answer.code() == Some(486) {
            return Err(Fault::skipped("the user has too many allocations (486); raise the quota"));
        }
        Ok(answer)
    }

    fn exchange_any(&mut self, request: &Request) -> Verdict<Answer> {
        let bytes = request.bytes();
        let until = Instant::now() + self.target.patience;
        let mut pause = if self.target.way.loses() { RTO } else { self.target.patience };
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

    /// Waits for the answer to a request that was sent.
    pub fn answer(&mut self, request: &Request, until: Instant) -> Verdict<Option<Answer>> {
        while let Some(bytes) = self.link.receive(until)? {
            if is_response(&bytes) && bytes[8..20] == request.id() {
                self.over.insert(request.id());
                let answer = Answer::parse(&bytes)?;
                if answer.typ().method != request.method() {
                    let expected = format!("an answer to {}", request.method());
                    return Err(Fault::failed(expected, answer.describe()));
                }
                if answer.is_success() && request.method() == METHOD_ALLOCATE {
                    // Wanted or not, it is given back in the end.
                    self.relayed = answer.address(ATTR_XOR_RELAYED_ADDRESS).ok();
                }
                return Ok(Some(answer));
            }
            self.early.push_back(bytes);
        }
        Ok(None)
    }

    /// Signs a request, sends it and waits for its answer. If the nonce has become stale, it is
    /// asked once more with the fresh one (RFC 8489 §9.2.5); if the user has too many allocations,
    /// until those of the cases before are gone.
    pub fn ask(&mut self, request: &Request) -> Verdict<Answer> {
        let until = Instant::now() + self.target.patience;
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
            request = request.anew();
        }
    }

    /// Waits for what comes next; none if nothing does for that long.
    pub fn next(&mut self, within: Duration) -> Verdict<Option<Vec<u8>>> {
        let until = Instant::now() + within;
        loop {
            let next = match self.early.pop_front() {
                Some(early) => Some(early),
                None => self.link.receive(until)?,
            };
            match next {
                Some(bytes) if is_response(&bytes) && self.is_over(&bytes) => {}
                next => return Ok(next),
            }
        }
    }

    fn is_over(&self, response: &[u8]) -> bool {
        response[8..].first_chunk().is_some_and(|id| self.over.contains(id))
    }

    /// Sends bytes that must not be answered, and sees that the server goes on all the same.
    pub fn send_unanswered(&mut self, bytes: &[u8], what: &str) -> Verdict {
        self.send(bytes)?;
        // Its answer comes behind one to what was sent before it, and shows that the server lives.
        self.exchange(&Request::binding()).step("a Binding after it")?;
        self.silent(&format!("no answer to {what}"))
    }

    /// Nothing must come for a while.
    pub fn silent(&mut self, expected: &str) -> Verdict {
        match self.next(self.target.silence)? {
            None => Ok(()),
            Some(bytes) => Err(Fault::failed(expected, describe(&bytes))),
        }
    }

    /// Learns realm and nonce, as a user.
    pub fn learn(&mut self, user: &User) -> Verdict<Answer> {
        let challenge = self.exchange(&Request::allocate())?;
        if challenge.is_success() {
            return Err(Fault::skipped("the server asks for no credentials"));
        }
        let challenge = challenge.refused(401)?;
        self.login = Some(Login::new(user, &challenge)?);
        Ok(challenge)
    }

    /// Signs as somebody else from now on.
    pub fn log_in(&mut self, login: Login) {
        self.login = Some(login);
    }

    /// The next bytes of what has become a stream of data, none of them at its end; `None` if none
    /// come in time.
    pub fn bytes(&mut self, within: Duration) -> Verdict<Option<Vec<u8>>> {
        Ok(self.link.bytes(Instant::now() + within)?)
    }

    /// What it signs with.
    pub fn login(&self) -> Verdict<Login> {
        self.login.clone().ok_or_else(|| Fault::failed("a realm and a nonce", "neither"))
    }

    /// Allocates a relayed address of the peer's family.
    pub fn allocate(&mut self) -> Verdict<Answer> {
        self.allocate_by(&self.target.allocate()).step("Allocate")
    }

    /// Allocates with a request of the case's own, which must succeed.
    pub fn allocate_by(&mut self, request: &Request) -> Verdict<Answer> {
        let answer = self.ask(request)?.success()?;
        answer.address(ATTR_XOR_RELAYED_ADDRESS)?;
        Ok(answer)
    }

    /// The relayed address.
    pub fn relayed(&self) -> Verdict<SocketAddr> {
        self.relayed.ok_or_else(|| Fault::failed("a relayed address", "none"))
    }

    /// Installs a permission for a peer of ours.
    pub fn permit(&mut self, peer: &Peer) -> Verdict {
        let answer = self.ask(&Request::permission().peer(peer.address))?;
        self.granted(answer, peer.address).step("CreatePermission").map(|_| ())
    }

    /// Binds a channel to a peer of ours.
    pub fn bind(&mut self, number: u16, peer: &Peer) -> Verdict {
        let answer = self.ask(&Request::bind(number, peer.address))?;
        self.granted(answer, peer.address).step("ChannelBind").map(|_| ())
    }

    /// What was asked for a peer of ours must have succeeded, unless the server denies such peers.
    pub fn granted(&self, answer: Answer, peer: SocketAddr) -> Verdict<Answer> {
        if answer.code() == Some(403) {
            let ip = peer.ip();
            return Err(Fault::skipped(format!(
                "the server denies {ip} as a peer; allow it there, or give --peer-ip"
            )));
        }
        answer.success()
    }

    /// Sends data on a channel, padded where the transport wants that.
    pub fn send_on(&mut self, number: u16, data: &[u8]) -> Verdict {
        let padded = !self.target.way.loses();
        self.send(&channel_data(number, data, padded))
    }

    /// Waits for data from a peer; none if none comes in time.
    pub fn data(&mut self, within: Duration) -> Verdict<Option<Data>> {
        let Some(bytes) = self.next(within)? else { return Ok(None) };
        if let [0x40..=0x7F, ..] = bytes[..] {
            return channel(&bytes).map(Some);
        }
        let message = Answer::parse(&bytes)?;
        let typ = message.typ();
        if (typ.method, typ.class) != (METHOD_DATA, CLASS_INDICATION) {
            return Err(Fault::failed("data from the peer", message.describe()));
        }
        let peer = message.address(ATTR_XOR_PEER_ADDRESS)?;
        Ok(Some(Data::Indication(peer, message.need(ATTR_DATA)?)))
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
        // If that is lost the allocation runs out.
        let _ = self.link.send(&close.bytes());
    }
}

/// Takes a ChannelData message apart; over UDP there may be padding behind it.
fn channel(bytes: &[u8]) -> Verdict<Data> {
    if let [n0, n1, l0, l1, data @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if (length..length + 4).contains(&data.len()) {
            return Ok(Data::Channel(u16::from_be_bytes([*n0, *n1]), data[..length].to_vec()));
        }
    }
    Err(Fault::failed("ChannelData as long as it says", describe(bytes)))
}

/// Whether these bytes look like a response: a STUN message with the class's upper bit set
/// (RFC 8489 §5).
fn is_response(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] & 0xC1 == 0x01
}
