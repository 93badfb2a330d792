//! The network around a server: its sockets and connections, and all that was sent.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
};

use callbox_base::{clock::Now, ids::CallId};

use super::Answer;
use crate::{
    AllocationId, ConnectionId, Ended, Engine, Event, FiveTuple, OpenError, Output, StreamId,
    Traced, auth::WrongCredentials,
};

/// The network around a server, which carries out the outputs of its engines.
#[derive(Default)]
pub(crate) struct Network {
    /// The relay sockets that are open, by worker.
    pub sockets: BTreeMap<(usize, AllocationId), SocketAddr>,
    /// The number of allocations of each call that were opened and not yet closed.
    pub open_for_calls: HashMap<CallId, i64>,
    /// The ports that something else on the machine has.
    pub busy: HashSet<u16>,
    /// True if the system has run out of sockets.
    pub exhausted: bool,
    /// The family of which the system gives no socket, if there is one: `true` for IPv4.
    pub without: Option<bool>,
    /// The connections that are being made, each with its relayed address and its peer.
    pub connecting: Vec<(ConnectionId, SocketAddr, SocketAddr)>,
    /// The streams and connections that are spliced.
    pub spliced: Vec<(StreamId, ConnectionId)>,
    /// The connections that were closed.
    pub closed: Vec<ConnectionId>,
    /// The allocations that are gone.
    pub ended: Vec<Ended>,
    /// The clients whose credentials were refused, each with the name that it sent and the reason.
    pub refused: Vec<(SocketAddr, Option<String>, WrongCredentials)>,
    /// The steps of traces.
    pub traced: Vec<Traced>,
    /// The messages that were sent since they were last looked at.
    sent: Vec<(FiveTuple, Vec<u8>)>,
}

impl Network {
    /// Carries out the outputs of a worker's engine.
    pub(crate) fn carry_out(&mut self, now: Now, worker: usize, engine: &mut Engine) {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Transmit { to, bytes } => self.sent.push((to, bytes)),
                Output::OpenRelay { allocation, address, .. }
                | Output::ListenRelay { allocation, address } => {
                    let taken = self.sockets.values().any(|a| *a == address);
                    assert!(!taken, "{address} was given out twice");
                    let without = self.without == Some(address.is_ipv4());
                    let result = if self.exhausted || without {
                        Err(OpenError::System)
                    } else if self.busy.contains(&address.port()) {
                        Err(OpenError::AddressInUse)
                    } else {
                        let before = self.sockets.insert((worker, allocation), address);
                        assert_eq!(before, None, "{allocation:?} is open already");
                        Ok(())
                    };
                    engine.relay_opened(now, allocation, result);
                }
                Output::CloseRelay { allocation } => {
                    let closed = self.sockets.remove(&(worker, allocation));
                    assert!(closed.is_some(), "{allocation:?} was not open");
                }
                Output::Connect { connection, from, to, .. } => {
                    let from = self.sockets.values().find(|open| **open == from).copied();
                    self.connecting.push((connection, from.expect("it is open"), to));
                }
                Output::Splice { stream, connection } => self.spliced.push((stream, connection)),
                Output::CloseConnection { connection, .. } => {
                    self.connecting.retain(|(other, ..)| *other != connection);
                    self.spliced.retain(|(_, other)| *other != connection);
                    self.closed.push(connection);
                }
                Output::Ended(ended) => self.ended.push(*ended),
                Output::WrongCredentials { client, user, reason } => {
                    self.refused.push((client.0, user.map(String::from), reason));
                }
                Output::Forget { .. } | Output::ReleaseMemory => {}
                Output::Event(Event::AllocationOpened { call, .. }) => {
                    *self.open_for_calls.entry(call).or_default() += 1;
                }
                Output::Event(Event::AllocationClosed { call, .. }) => {
                    let open = self.open_for_calls.entry(call).or_default();
                    *open -= 1;
                    assert!(*open >= 0);
                }
                Output::Event(Event::Traced(traced)) => self.traced.push(*traced),
            }
        }
    }

    /// Returns the answers that were sent to a client since this was last asked.
    pub(crate) fn answers(&mut self, client: SocketAddr) -> Vec<Answer> {
        let (ours, others) = self.sent.drain(..).partition(|(to, _)| to.client.0 == client);
        self.sent = others;
        let ours: Vec<_> = ours;
        ours.into_iter().map(|(_, bytes)| Answer::read(&bytes)).collect()
    }

    /// Fails if anything is left of any allocation.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert!(self.sockets.is_empty());
        assert!(self.open_for_calls.values().all(|open| *open == 0));
    }
}
