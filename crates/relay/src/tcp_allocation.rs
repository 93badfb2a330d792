//! Allocations of TCP (RFC 6062): their listeners, their connections to peers, and how such a
//! connection and a stream of the client are made one.

use std::{
    collections::HashMap,
    io::{self, Read},
    net::{Shutdown, SocketAddr},
    time::{Duration, Instant},
};

use callbox_base::clock::Now;
use callbox_turn::{AllocationId, ConnectionId, Direction, OpenError, StreamEnd, StreamId};
use mio::{
    Interest, Token,
    event::Event,
    net::{TcpListener, TcpStream},
};

use super::{
    outgoing::Outgoing,
    sockets,
    streams::{self, MAX_WAITING},
    worker::{Source, Worker},
};

/// The tokens of connections begin here, and those of listeners.
const CONNECTIONS: usize = streams::TOKENS + (1 << (usize::BITS - 3));
const LISTENERS: usize = streams::TOKENS + (1 << (usize::BITS - 4));

/// How many connections are accepted before others have their turn.
const ACCEPTS: usize = 16;

/// How long a listener that could not accept waits before it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long anything sleeps before it is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A buffer that is larger than this is given back when it is empty.
const SMALL: usize = 16 << 10;

/// A connection to a peer.
struct Connection {
    socket: TcpStream,
    /// The system has said that it is made.
    made: bool,
    ready: bool,
    ending: bool,
    /// Not read for now.
    asleep: bool,
    /// The client's stream, once they are one.
    stream: Option<StreamId>,
    /// What the client has sent and the system has not taken yet.
    out: Outgoing,
    /// The client has said its last: when all is written, so is the end.
    ends: bool,
    /// The end is written.
    shut: bool,
}

impl Connection {
    fn new(socket: TcpStream, made: bool) -> Self {
        Self {
            socket,
            made,
            ready: false,
            ending: false,
            asleep: false,
            stream: None,
            out: Outgoing::default(),
            ends: false,
            shut: false,
        }
    }

    /// Writes what waits, as far as the system takes it, and the end behind it if it is to end.
    /// Gives how much still waits.
    fn flush(&mut self) -> io::Result<usize> {
        match self.out.write_to(&mut self.socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => self.out.shrink(SMALL),
        }
        if self.ends && !self.shut && self.out.waiting() == 0 {
            self.shut = true;
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(self.out.waiting())
    }
}

/// Where peers come to.
struct Listener {
    socket: TcpListener,
    ready: bool,
    /// Not accepting for now.
    asleep: bool,
}

/// What a worker has of TCP allocations.
#[derive(Default)]
pub(super) struct Connections {
    all: Vec<Option<Connection>>,
    listeners: HashMap<AllocationId, Listener>,
}

impl Connections {
    fn get_mut(&mut self, ConnectionId(id): ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(id as usize)?.as_mut()
    }

    pub fn ready_flag(&mut self, id: ConnectionId) -> Option<&mut bool> {
        Some(&mut self.get_mut(id)?.ready)
    }

    pub fn asleep_flag(&mut self, id: ConnectionId) -> Option<&mut bool> {
        Some(&mut self.get_mut(id)?.asleep)
    }

    pub fn listener_asleep_flag(&mut self, id: AllocationId) -> Option<&mut bool> {
        Some(&mut self.listeners.get_mut(&id)?.asleep)
    }

    pub fn listener_ready_flag(&mut self, id: AllocationId) -> Option<&mut bool> {
        Some(&mut self.listeners.get_mut(&id)?.ready)
    }

    /// How much waits to be written to a peer, in bytes.
    pub fn waiting(&mut self, id: ConnectionId) -> usize {
        self.get_mut(id).map_or(0, |connection| connection.out.waiting())
    }

    /// What a token stands for.
    pub fn of_token(Token(token): Token) -> Option<Source> {
        if let Some(id) = token.checked_sub(CONNECTIONS) {
            return Some(Source::Connection(ConnectionId(id as u32)));
        }
        let id = token.checked_sub(LISTENERS)?;
        Some(Source::TcpRelay(AllocationId(id as u32)))
    }

    fn put(&mut self, ConnectionId(id): ConnectionId, connection: Connection) {
        let at = id as usize;
        if self.all.len() <= at {
            self.all.resize_with(at + 1, || None);
        }
        self.all[at] = Some(connection);
    }
}

impl Worker {
    /// Opens the listener of an allocation.
    pub(super) fn listen(
        &mut self,
        now: Now,
        allocation: AllocationId,
        address: SocketAddr,
    ) -> Result<(), OpenError> {
        let token = Token(LISTENERS + allocation.0 as usize);
        let opened = sockets::listen_for_peers(address).and_then(|mut listener| {
            self.poll.registry().register(&mut listener, token, Interest::READABLE)?;
            Ok(listener)
        });
        let socket = opened.map_err(|error| self.not_opened(now, &error))?;
        let listener = Listener { socket, ready: false, asleep: false };
        self.connections.listeners.insert(allocation, listener);
        Ok(())
    }

    /// Closes the listener of an allocation, if it has one. Its connections are closed apart.
    pub(super) fn stop_listening(&mut self, allocation: AllocationId) {
        if let Some(mut listener) = self.connections.listeners.remove(&allocation)
            && let Err(error) = self.poll.registry().deregister(&mut listener.socket)
        {
            tracing::debug!(%error, "a relay listener was not registered");
        }
    }

    /// Begins to connect to a peer. How it went is known when the socket can be written.
    pub(super) fn connect(
        &mut self,
        now: Now,
        allocation: AllocationId,
        id: ConnectionId,
        from: SocketAddr,
        to: SocketAddr,
    ) {
        let Some(listener) = self.connections.listeners.get(&allocation) else { return };
        let begun = sockets::connect_from(&listener.socket, from, to)
            .and_then(|socket| self.watch(id, Connection::new(socket, false)));
        if begun.is_err() {
            self.engine.connected(now, id, false);
        }
    }

    fn watch(&mut self, id: ConnectionId, mut connection: Connection) -> io::Result<()> {
        let token = Token(CONNECTIONS + id.0 as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.socket, token, interest)?;
        self.connections.put(id, connection);
        Ok(())
    }

    /// Accepts peers that have connected to an allocation's address. `true` if there may be more.
    pub(super) fn accept_peers(&mut self, now: Now, allocation: AllocationId) -> bool {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.connections.listeners.get(&allocation) else { return false };
            let (socket, source) = match listener.socket.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // A peer that is gone already: others may stand behind it.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                // Most likely out of files: the system says nothing of who waits when there are
                // some again.
                Err(_) => {
                    self.let_sleep(now, Source::TcpRelay(allocation), now.instant + ACCEPT_AGAIN);
                    return false;
                }
            };
            // Without a permission it is closed at once (RFC 6062 §5.3).
            if let Some(id) = self.engine.peer_connected(now, allocation, source)
                && self.watch(id, Connection::new(socket, true)).is_err()
            {
                self.engine.close_connection(id);
            }
            self.carry_out(now);
        }
        true
    }

    /// Whether something may go over a connection now, by what bounds its allocation. If not, the
    /// source that it would come from sleeps until it may.
    pub(super) fn has_bandwidth(
        &mut self,
        now: Now,
        source: Source,
        id: ConnectionId,
        direction: Direction,
    ) -> bool {
        let free_at = self.engine.connection_free_at(id, direction);
        let Some(free_at) = free_at.filter(|at| *at > now.instant) else { return true };
        self.let_sleep(now, source, free_at);
        false
    }

    /// Does not read a source until then.
    fn let_sleep(&mut self, now: Now, source: Source, until: Instant) {
        if let Some(asleep) = self.asleep_flag(source)
            && !std::mem::replace(asleep, true)
        {
            // Whatever is gone meanwhile leaves something for a second at most.
            self.asleep.set(until.min(now.instant + LONGEST_SLEEP), source);
        }
    }

    /// Reads what has slept long enough.
    pub(super) fn wake_up(&mut self, now: Now) {
        while let Some(source) = self.asleep.pop(now.instant) {
            if let Some(asleep) = self.asleep_flag(source) {
                *asleep = false;
                self.add_ready(source);
            }
        }
    }

    fn asleep_flag(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Stream(id) => Some(&mut self.streams.get_mut(id)?.asleep),
            Source::Connection(id) => self.connections.asleep_flag(id),
            Source::TcpRelay(allocation) => self.connections.listener_asleep_flag(allocation),
            _ => None,
        }
    }

    /// Something has happened on a connection.
    pub(super) fn connection_event(&mut self, now: Now, id: ConnectionId, event: &Event) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.ending |= event.is_read_closed() || event.is_error();
        if !connection.made && (event.is_writable() || event.is_error()) {
            let failed = connection.socket.take_error().map_or(true, |error| error.is_some());
            // Writable, without an error and without a peer: it is not yet decided.
            let made = !failed && connection.socket.peer_addr().is_ok();
            if made || failed {
                connection.made = made;
                self.engine.connected(now, id, made);
                self.carry_out(now);
            }
        } else if event.is_writable() {
            self.flush_connection(now, id);
        }
        self.add_ready(Source::Connection(id));
    }

    /// Makes a stream and a connection one.
    pub(super) fn splice(&mut self, stream: StreamId, connection: ConnectionId) {
        // The last message, apart from what is none.
        self.streams.flush_one(stream);
        if let Some(spliced) = self.streams.get_mut(stream) {
            spliced.spliced = Some(connection);
            spliced.raw = true;
        }
        if let Some(spliced) = self.connections.get_mut(connection) {
            spliced.stream = Some(stream);
        }
        // Either may have something that came before.
        self.add_ready(Source::Connection(connection));
        self.add_ready(Source::Stream(stream));
    }

    /// Reads a connection for a while. `true` if there may be more.
    pub(super) fn read_connection(&mut self, now: Now, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        // What comes before a client takes it, or faster than it takes it, waits in the system.
        let Some(stream) = connection.stream else { return false };
        if connection.asleep
            || !self.has_bandwidth(now, Source::Connection(id), id, Direction::Down)
        {
            return false;
        }
        if self.streams.waiting(stream) > MAX_WAITING {
            // What the system does not take now it will say when it does.
            self.streams.flush_one(stream);
            if self.streams.waiting(stream) > MAX_WAITING {
                return false;
            }
        }
        self.make_room(1);
        let slot = self.batches.take_slot();
        let buffer = self.batches.bytes_mut(slot.clone());
        let Some(connection) = self.connections.get_mut(id) else { return false };
        match connection.socket.read(buffer) {
            // The client may still have something to say.
            Ok(0) => {
                self.streams.end_after(stream);
                false
            }
            Ok(read) => {
                let more = read == buffer.len() || connection.ending;
                let place = slot.start..slot.start + read;
                self.engine.relayed_by_connection(now, id, Direction::Down, read);
                self.relayed += 1;
                self.streams.queue(stream, self.batches.bytes(place), true, &self.metrics);
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.heard = now.instant;
                }
                more
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                // The peer is gone: what it has said still reaches the client.
                self.streams.finish_after(stream);
                self.engine.close_connection(id);
                self.carry_out(now);
                false
            }
        }
    }

    /// Sends to a peer what its client has sent, or keeps it until the system takes it. `false` if so
    /// much waits that the client is not to be read for now.
    pub(super) fn send_to_connection(
        &mut self,
        now: Now,
        id: ConnectionId,
        place: std::ops::Range<usize>,
    ) -> bool {
        let bytes = self.batches.bytes(place);
        self.relayed += 1;
        self.engine.relayed_by_connection(now, id, Direction::Up, bytes.len());
        let Some(connection) = self.connections.all.get_mut(id.0 as usize).and_then(Option::as_mut)
        else {
            return false;
        };
        connection.out.push(bytes);
        self.flush_connection(now, id)
    }

    /// Writes what waits for a peer. `false` if so much still does that its client is not to be read
    /// for now, or if the connection is closed.
    fn flush_connection(&mut self, now: Now, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let waiting = connection.out.waiting();
        let flushed = connection.flush();
        if connection.out.waiting() < waiting
            && let Some(stream) = connection.stream.and_then(|id| self.streams.get_mut(id))
        {
            stream.moved = true;
        }
        match (flushed, connection.stream) {
            (Ok(0), Some(stream)) => {
                if self.streams.get_mut(stream).is_some_and(|stream| stream.is_done()) {
                    self.close_stream(now, stream, StreamEnd::Closed);
                    return false;
                }
                // The client may have been held back.
                self.add_ready(Source::Stream(stream));
                true
            }
            (Ok(waiting), _) => waiting <= MAX_WAITING,
            // The peer is gone.
            (Err(_), _) => {
                self.engine.close_connection(id);
                self.carry_out(now);
                false
            }
        }
    }

    /// The client has said its last: the peer is told, once it has been written all of it.
    pub(super) fn end_spliced(&mut self, now: Now, stream: StreamId, connection: ConnectionId) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.said_all = true;
        }
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.ends = true;
        }
        self.flush_connection(now, connection);
    }

    /// Closes a connection, and the stream that it is one with once its client has read all.
    pub(super) fn close_connection(&mut self, id: ConnectionId, stream: Option<StreamId>) {
        let connection = self.connections.all.get_mut(id.0 as usize).and_then(Option::take);
        if let Some(mut connection) = connection
            && let Err(error) = self.poll.registry().deregister(&mut connection.socket)
        {
            tracing::debug!(%error, "a connection to a peer was not registered");
        }
        let Some(stream) = stream else { return };
        if let Some(spliced) = self.streams.get_mut(stream) {
            spliced.spliced = None;
        }
        self.streams.finish_after(stream);
    }
}
