//! One worker: a thread, an event loop, and one mind.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, Waker, net::UdpSocket};
use rand::{RngCore, TryRngCore, rngs::OsRng};

use super::{OnEvent, log_throttle::LogThrottle, sockets};
use crate::{
    clock::Now,
    ids::{CallId, ClientAddr},
    stun::Packet,
    turn::{
        AllocationId, Common, DropReason, Engine, FiveTuple, FromClient, FromPeer, Metrics,
        OpenError, Output,
    },
};

/// How many datagrams are read from one socket before the others have their turn.
const BURST: usize = 64;

/// How many ready sockets one look at the system reports.
const EVENTS: usize = 1024;

const WAKER: Token = Token(usize::MAX);

/// What a worker can be told.
#[derive(Debug)]
pub(super) enum Command {
    /// Close the allocations of a call.
    EndCall(CallId),
    /// Close everything and end.
    Stop,
}

/// Which socket of a worker.
#[derive(Debug, Clone, Copy)]
enum Source {
    Listener(u16),
    Relay(AllocationId),
}

/// A socket, and whether it stands in [`Worker::ready`].
struct Socket {
    udp: UdpSocket,
    ready: bool,
}

/// A worker, with everything that it owns.
pub(super) struct Worker {
    engine: Engine,
    poll: Poll,
    listeners: Vec<Socket>,
    /// The socket of each allocation, at the place of its id.
    relays: Vec<Option<Socket>>,
    /// Sockets that have not been read to their end. Readiness is told once only.
    ready: Vec<Source>,
    packet: Packet,
    inbox: mpsc::Receiver<Command>,
    on_event: OnEvent,
    metrics: Arc<Metrics>,
    no_socket: LogThrottle,
    read_error: LogThrottle,
}

impl Worker {
    pub fn new(
        common: Common,
        metrics: Arc<Metrics>,
        mut listeners: Vec<UdpSocket>,
        inbox: mpsc::Receiver<Command>,
        on_event: OnEvent,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        for (at, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(at), Interest::READABLE)?;
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut seed = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut seed);
        let worker = Self {
            engine: Engine::new(Now::read(), common, metrics.clone(), seed),
            poll,
            listeners: listeners.into_iter().map(|udp| Socket { udp, ready: false }).collect(),
            relays: Vec::new(),
            ready: Vec::new(),
            packet: Packet::new(),
            inbox,
            on_event,
            metrics,
            no_socket: LogThrottle::default(),
            read_error: LogThrottle::default(),
        };
        Ok((worker, waker))
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the relay cannot wait for its sockets");
                return;
            }
            let now = Now::read();
            self.engine.handle_timeout(now);
            self.carry_out(now);
            for event in &events {
                if event.token() == WAKER {
                    if self.obey(now) {
                        return;
                    }
                } else {
                    self.mark_ready(event.token());
                }
            }
            self.read_ready(now);
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.engine.next_timeout()?;
        // The system counts in whole milliseconds: one more, so as not to wake too early.
        Some(due.saturating_duration_since(Now::read().instant) + Duration::from_millis(1))
    }

    /// Carries out the commands. `true` if the worker is to end.
    fn obey(&mut self, now: Now) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok(Command::EndCall(call)) => self.engine.end_call(call),
                Err(mpsc::TryRecvError::Empty) => break,
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => {
                    self.engine.close_all();
                    self.carry_out(now);
                    return true;
                }
            }
        }
        self.carry_out(now);
        false
    }

    /// Reads every ready socket for a while, and keeps those that have more.
    fn read_ready(&mut self, now: Now) {
        for at in (0..self.ready.len()).rev() {
            let source = self.ready[at];
            let more = match source {
                Source::Listener(listener) => self.read_listener(now, listener),
                Source::Relay(allocation) => self.read_relay(now, allocation),
            };
            if !more {
                self.ready.swap_remove(at);
                if let Some(socket) = self.socket(source) {
                    socket.ready = false;
                }
            }
        }
    }

    /// Notes that a socket has something to read, once.
    fn mark_ready(&mut self, Token(token): Token) {
        let source = match token.checked_sub(self.listeners.len()) {
            Some(allocation) => Source::Relay(AllocationId(allocation as u32)),
            None => Source::Listener(token as u16),
        };
        if let Some(socket) = self.socket(source)
            && !std::mem::replace(&mut socket.ready, true)
        {
            self.ready.push(source);
        }
    }

    fn socket(&mut self, source: Source) -> Option<&mut Socket> {
        match source {
            Source::Listener(at) => self.listeners.get_mut(usize::from(at)),
            // It may have been closed since it was reported ready.
            Source::Relay(allocation) => self.relays.get_mut(allocation.0 as usize)?.as_mut(),
        }
    }

    fn read_listener(&mut self, now: Now, listener: u16) -> bool {
        for _ in 0..BURST {
            let socket = &self.listeners[usize::from(listener)].udp;
            match receive(socket, &mut self.packet) {
                Ok(Some(client)) => {
                    let tuple = FiveTuple { listener, client: ClientAddr(client) };
                    self.route_client(now, tuple);
                }
                Ok(None) => return false,
                Err(error) => self.could_not_read(now, &error),
            }
        }
        true
    }

    fn route_client(&mut self, now: Now, tuple: FiveTuple) {
        match self.engine.handle_client(now, tuple, &mut self.packet) {
            FromClient::Forward { allocation, to } => {
                if let Some(Some(socket)) = self.relays.get(allocation.0 as usize) {
                    send(&self.metrics, &socket.udp, self.packet.bytes(), to);
                }
            }
            FromClient::Handled => self.carry_out(now),
            FromClient::Dropped(_) => {}
        }
    }

    fn read_relay(&mut self, now: Now, allocation: AllocationId) -> bool {
        for _ in 0..BURST {
            let Some(Some(socket)) = self.relays.get(allocation.0 as usize) else { return false };
            match receive(&socket.udp, &mut self.packet) {
                Ok(Some(peer)) => match self.engine.handle_peer(allocation, peer, &mut self.packet)
                {
                    FromPeer::Forward { to } => self.send_to_client(to),
                    FromPeer::Dropped(_) => {}
                },
                Ok(None) => return false,
                Err(error) => self.could_not_read(now, &error),
            }
        }
        true
    }

    fn send_to_client(&self, to: FiveTuple) {
        let socket = &self.listeners[usize::from(to.listener)].udp;
        send(&self.metrics, socket, self.packet.bytes(), to.client.0);
    }

    /// An ICMP error that comes up on a socket takes nothing away from the others on it.
    fn could_not_read(&mut self, now: Now, error: &io::Error) {
        if let Some(times) = self.read_error.hit(now.instant) {
            tracing::warn!(%error, times, "a relay socket could not be read; going on");
        }
    }

    /// Does what the mind wants done.
    fn carry_out(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { to, bytes } => {
                    let socket = &self.listeners[usize::from(to.listener)].udp;
                    send(&self.metrics, socket, &bytes, to.client.0);
                }
                Output::OpenRelay { allocation, address } => {
                    let result = self.open(now, allocation, address);
                    self.engine.relay_opened(now, allocation, result);
                }
                Output::CloseRelay { allocation } => self.close(allocation),
                Output::Event(event) => (self.on_event)(event),
            }
        }
    }

    fn open(
        &mut self,
        now: Now,
        allocation: AllocationId,
        address: SocketAddr,
    ) -> Result<(), OpenError> {
        let at = allocation.0 as usize;
        let token = Token(self.listeners.len() + at);
        let opened = sockets::open(address).and_then(|mut socket| {
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => {
                if self.relays.len() <= at {
                    self.relays.resize_with(at + 1, || None);
                }
                self.relays[at] = Some(Socket { udp: socket, ready: false });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(OpenError::AddressInUse),
            Err(error) => {
                if let Some(times) = self.no_socket.hit(now.instant) {
                    tracing::error!(%error, times, "no socket for an allocation; is the limit of \
                        open files (`ulimit -n`) too low?");
                }
                Err(OpenError::System)
            }
        }
    }

    fn close(&mut self, allocation: AllocationId) {
        if let Some(mut socket) = self.relays.get_mut(allocation.0 as usize).and_then(Option::take)
            && let Err(error) = self.poll.registry().deregister(&mut socket.udp)
        {
            tracing::debug!(%error, "a relay socket was not registered");
        }
    }
}

/// Reads one datagram into the packet; `None` if there is none now.
fn receive(socket: &UdpSocket, packet: &mut Packet) -> io::Result<Option<SocketAddr>> {
    match socket.recv_from(packet.space()) {
        Ok((len, source)) => {
            packet.received(len);
            Ok(Some(source))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends one datagram. One that cannot be sent is dropped and counted: UDP promises no more.
fn send(metrics: &Metrics, socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(bytes, to) {
        metrics.dropped(match error.kind() {
            io::ErrorKind::WouldBlock => DropReason::SendBufferFull,
            _ => DropReason::SendError,
        });
    }
}
