//! A TURN client that costs little: a socket, and no task, timer or lock.
//!
//! It has one request on the way at a time, and is told by its owner when to send it again.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use callbox_client::{Answer, Login, Refusal, Request, Session, relayed_address, transaction};
use mio::{Interest, Registry, Token, net::UdpSocket};

use super::{LoadArgs, sockets};

/// The number of times that a request is sent.
const ATTEMPTS: usize = 6;

/// The error code of a nonce that has expired (RFC 8489 §9.2.4).
const STALE_NONCE: u16 = 438;

/// The ID of a transaction.
pub(super) type TransactionId = [u8; 12];

/// A request in the life of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Allocate without credentials, to learn realm and nonce.
    Challenge,
    /// Allocate with credentials.
    Allocate,
    /// A permission or a channel, for the first or the second peer.
    Peer(usize),
    /// The end of the allocation.
    Close,
}

/// The meaning of a message from the server.
pub(super) enum Outcome {
    /// The answer to the request on the way.
    Done(Step),
    /// The request on the way needs another nonce, and may be sent again.
    Retry,
    /// A renewal came with a nonce that is too old; the new one is taken.
    Stale,
    /// A renewal was refused.
    Refused,
    /// A message that changes nothing.
    Nothing,
}

/// The state of a request that waited for too long.
pub(super) enum Overdue {
    /// It was answered.
    Answered,
    /// It was sent again.
    Sent,
    /// It was sent too often.
    GivenUp,
}

/// A request that is on the way.
struct Pending {
    request: Request,
    bytes: Vec<u8>,
    step: Step,
    attempts: usize,
}

/// A client, with its allocation once it has one.
pub(super) struct Client {
    socket: UdpSocket,
    relayed: SocketAddr,
    is_active: bool,
    session: Session,
    pending: Option<Pending>,
}

impl Client {
    /// Opens a client's socket, whose events have the client's index.
    pub(crate) fn open(args: &LoadArgs, registry: &Registry, index: usize) -> anyhow::Result<Self> {
        let mut socket = sockets::client(args)?;
        registry.register(&mut socket, Token(index), Interest::READABLE)?;
        Ok(Self {
            socket,
            relayed: args.server,
            is_active: true,
            session: Session::default(),
            pending: None,
        })
    }

    /// Replaces the socket by one that the server does not know.
    pub(crate) fn reopen(
        &mut self,
        args: &LoadArgs,
        registry: &Registry,
        index: usize,
    ) -> anyhow::Result<()> {
        let is_active = self.is_active;
        let mut old = std::mem::replace(self, Self::open(args, registry, index)?);
        self.is_active = is_active;
        registry.deregister(&mut old.socket)?;
        Ok(())
    }

    /// Returns the socket, for data.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Returns the relayed address; that of the server as long as there is none.
    pub(crate) fn relayed(&self) -> SocketAddr {
        self.relayed
    }

    /// Sets the address at which the peer reaches the client.
    pub(crate) fn set_relayed(&mut self, relayed: SocketAddr) {
        self.relayed = relayed;
    }

    /// Returns true if the client sends and is sent to.
    pub(crate) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Lets the client send and be sent to, or not; returns true if it did before.
    pub(crate) fn set_active(&mut self, is_active: bool) -> bool {
        std::mem::replace(&mut self.is_active, is_active)
    }

    /// Sends the request of a step, and expects its answer.
    pub(crate) fn ask(
        &mut self,
        login: &Login,
        step: Step,
        request: Request,
    ) -> anyhow::Result<TransactionId> {
        let bytes = self.session.encode(login, &request)?;
        self.pending = Some(Pending { request, bytes, step, attempts: 1 });
        self.send().context("a request has a transaction ID")
    }

    /// Sends the request on the way again, signed with the session's new nonce.
    pub(crate) fn retry(&mut self, login: &Login) -> anyhow::Result<Option<TransactionId>> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        pending.bytes = self.session.encode(login, &pending.request)?;
        pending.attempts += 1;
        Ok(self.send())
    }

    /// Sends a request without expecting its answer.
    pub(crate) fn tell(&self, login: &Login, request: &Request) -> anyhow::Result<()> {
        let _ = self.socket.send(&self.session.encode(login, request)?);
        Ok(())
    }

    fn send(&self) -> Option<TransactionId> {
        let pending = self.pending.as_ref()?;
        // A datagram that fails (an ICMP error of the one before) counts as lost, and is sent
        // again.
        let _ = self.socket.send(&pending.bytes);
        transaction(&pending.bytes).copied()
    }

    /// Sends the request of this transaction again if it is still on the way.
    pub(crate) fn resend(&mut self, id: TransactionId) -> Overdue {
        let waits = |pending: &&mut Pending| transaction(&pending.bytes) == Some(&id);
        let Some(pending) = self.pending.as_mut().filter(waits) else { return Overdue::Answered };
        if pending.attempts == ATTEMPTS {
            return Overdue::GivenUp;
        }
        pending.attempts += 1;
        self.send();
        Overdue::Sent
    }

    /// Handles a STUN message.
    pub(crate) fn answer(&mut self, login: &mut Login, message: &[u8]) -> anyhow::Result<Outcome> {
        let is_answer = |pending: &mut Pending| transaction(&pending.bytes) == transaction(message);
        let pending = self.pending.take_if(is_answer);
        let answer = self.session.read(login, message)?;
        let Some(pending) = pending else {
            return Ok(match answer {
                // The requests of one renewal all come back with the same nonce.
                Answer::Challenge { is_new: true, .. } => Outcome::Stale,
                Answer::Refused(_) => Outcome::Refused,
                Answer::Challenge { .. } | Answer::Success(_) => Outcome::Nothing,
            });
        };
        let step = pending.step;
        match (step, answer) {
            (Step::Challenge, Answer::Challenge { .. }) => {}
            (_, Answer::Challenge { refusal, .. })
                if refusal.code == STALE_NONCE && pending.attempts < ATTEMPTS =>
            {
                self.pending = Some(pending);
                return Ok(Outcome::Retry);
            }
            // There is nothing left to close.
            (Step::Close, Answer::Challenge { .. } | Answer::Refused(_)) => {}
            (_, Answer::Challenge { .. }) => bail!(
                "the server answers 401 to a signed request; are name and password or secret right?"
            ),
            (_, Answer::Refused(refusal)) => bail!(describe(&refusal)),
            (Step::Challenge, Answer::Success(_)) => bail!("the server asks for no credentials"),
            (Step::Allocate, Answer::Success(answer)) => {
                self.relayed =
                    relayed_address(&answer).context("the server gives no relayed address")?;
            }
            (Step::Peer(_) | Step::Close, Answer::Success(_)) => {}
        }
        Ok(Outcome::Done(step))
    }
}

fn describe(Refusal { method, code, reason }: &Refusal) -> String {
    format!("the server answers {method} with {code}: {reason}")
}
