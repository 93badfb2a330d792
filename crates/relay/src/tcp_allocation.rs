//! TCP allocations (RFC 6062): their listeners, their connections to peers, and the splicing of
//! such a connection with a stream of the client.

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

/// The first tokens of connections and of listeners.
const CONNECTIONS: usize = streams::TOKENS + (1 << (usize::BITS - 3));
const LISTENERS: usize = streams::TOKENS + (1 << (usize::BITS - 4));

/// The number of connections that are accepted before other sources have their turn.
const ACCEPTS: usize = 16;

/// The time that a listener that could not accept waits before it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The longest time that a source sleeps before it is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The size above which a buffer is released once it is empty.
const SMALL: usize = 16 << 10;

/// A connection to a peer.
struct Connection {
    socket: TcpStream,
    /// True once the connection is established.
    made: bool,
    ready: bool,
    ending: bool,
    /// True while it is not read.
    asleep: bool,
    /// The client's stream, once they are spliced.
    stream: Option<StreamId>,
    /// The bytes that the client has sent and the system has not taken yet.
    out: Outgoing,
    /// True once the client has ended: the end is sent when everything is written.
    ends: bool,
    /// True once the end of the data is sent.
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

    /// Writes the queued bytes, as far as the system takes them, and then the end if the connection
    /// is to end. Returns the number of bytes that still wait.
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

/// The listener of an allocation, which peers connect to.
struct Listener {
    socket: TcpListener,
    ready: bool,
    /// True while it does not accept.
    asleep: bool,
}

/// The listeners and connections of a worker's TCP allocations.
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

    /// Returns the number of bytes that wait to be written to a peer.
    pub fn waiting(&mut self, id: ConnectionId) -> usize {
        self.get_mut(id).map_or(0, |connection| connection.out.waiting())
    }

    /// Returns the source that a token stands for.
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

    /// Closes the listener of an allocation, if it has one. Its connections are closed separately.
    pub(super) fn stop_listening(&mut self, allocation: AllocationId) {
        if let Some(mut listener) = self.connections.listeners.remove(&allocation)
            && let Err(error) = self.poll.registry().deregister(&mut listener.socket)
        {
            tracing::debug!(%error, "a relay listener was not registered");
        }
    }

    /// Begins to connect to a peer. The result is known when the socket becomes writable.
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

    /// Accepts peers that have connected to an allocation's address. Returns true if there may be
    /// more.
    pub(super) fn accept_peers(&mut self, now: Now, allocation: AllocationId) -> bool {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.connections.listeners.get(&allocation) else { return false };
            let (socket, source) = match listener.socket.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // This peer is gone already: others may wait behind it.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                // Most likely the process is out of files: the system does not report when there
                // are some again.
                Err(_) => {
                    self.put_to_sleep(
                        now,
                        Source::TcpRelay(allocation),
                        now.instant + ACCEPT_AGAIN,
                    );
                    return false;
                }
            };
            // Without a permission it is closed at once (RFC 6062 §5.3).
            if let Some(id) = self.engine.peer_connected(now, allocation, source)
                && self.watch(id, Connection::new(socket, true)).is_err()
            {
                self.engine.close_connection(id);
            }
            self.execute_outputs(now);
        }
        true
    }

    /// Returns true if the bandwidth limit of the allocation permits data over a connection now. If
    /// not, the source of the data sleeps until it does.
    pub(super) fn has_bandwidth(
        &mut self,
        now: Now,
        source: Source,
        id: ConnectionId,
        direction: Direction,
    ) -> bool {
        let free_at = self.engine.connection_free_at(id, direction);
        let Some(free_at) = free_at.filter(|at| *at > now.instant) else { return true };
        self.put_to_sleep(now, source, free_at);
        false
    }

    /// Does not read a source until the time `until`.
    fn put_to_sleep(&mut self, now: Now, source: Source, until: Instant) {
        if let Some(asleep) = self.asleep_flag(source)
            && !std::mem::replace(asleep, true)
        {
            // A source that is gone in the meantime keeps its timer for a second at most.
            self.asleep.set(until.min(now.instant + LONGEST_SLEEP), source);
        }
    }

    /// Reads the sources that have slept long enough.
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

    /// Handles an event of a connection.
    pub(super) fn connection_event(&mut self, now: Now, id: ConnectionId, event: &Event) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.ending |= event.is_read_closed() || event.is_error();
        if !connection.made && (event.is_writable() || event.is_error()) {
            let failed = connection.socket.take_error().map_or(true, |error| error.is_some());
            // Writable, without an error and without a peer: the result is not known yet.
            let made = !failed && connection.socket.peer_addr().is_ok();
            if made || failed {
                connection.made = made;
                self.engine.connected(now, id, made);
                self.execute_outputs(now);
            }
        } else if event.is_writable() {
            self.flush_connection(now, id);
        }
        self.add_ready(Source::Connection(id));
    }

    /// Splices a stream and a connection.
    pub(super) fn splice(&mut self, stream: StreamId, connection: ConnectionId) {
        // The last message is written separately from the raw data that follows.
        self.streams.flush_one(stream);
        if let Some(spliced) = self.streams.get_mut(stream) {
            spliced.spliced = Some(connection);
            spliced.raw = true;
        }
        if let Some(spliced) = self.connections.get_mut(connection) {
            spliced.stream = Some(stream);
        }
        // Either may have data that came before.
        self.add_ready(Source::Connection(connection));
        self.add_ready(Source::Stream(stream));
    }

    /// Reads a connection for a while. Returns true if there may be more.
    pub(super) fn read_connection(&mut self, now: Now, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        // Data that comes before a client takes it, or faster than it takes it, waits in the
        // system.
        let Some(stream) = connection.stream else { return false };
        if connection.asleep
            || !self.has_bandwidth(now, Source::Connection(id), id, Direction::Down)
        {
            return false;
        }
        if self.streams.waiting(stream) > MAX_WAITING {
            // If the system does not take it now, it reports when it does.
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
            // The client may still send.
            Ok(0) => {
                self.streams.end_after(stream);
                false
            }
            Ok(read) => {
                let more = read == buffer.len() || connection.ending;
                let range = slot.start..slot.start + read;
                self.engine.relayed_by_connection(now, id, Direction::Down, read);
                self.relayed += 1;
                self.streams.queue(stream, self.batches.bytes(range), true, &self.metrics);
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.heard = now.instant;
                }
                more
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                // The peer is gone: the data that it has sent still reaches the client.
                self.streams.finish_after(stream);
                self.engine.close_connection(id);
                self.execute_outputs(now);
                false
            }
        }
    }

    /// Sends to a peer the data that its client has sent, or keeps it until the system takes it.
    /// Returns false if so much waits that the client is not to be read for now.
    pub(super) fn send_to_connection(
        &mut self,
        now: Now,
        id: ConnectionId,
        range: std::ops::Range<usize>,
    ) -> bool {
        let bytes = self.batches.bytes(range);
        self.relayed += 1;
        self.engine.relayed_by_connection(now, id, Direction::Up, bytes.len());
        let Some(connection) = self.connections.all.get_mut(id.0 as usize).and_then(Option::as_mut)
        else {
            return false;
        };
        connection.out.push(bytes);
        self.flush_connection(now, id)
    }

    /// Writes the bytes that wait for a peer. Returns false if so many still wait that its client
    /// is not to be read for now, or if the connection is closed.
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
                // Reading from the client may have been paused.
                self.add_ready(Source::Stream(stream));
                true
            }
            (Ok(waiting), _) => waiting <= MAX_WAITING,
            // The peer is gone.
            (Err(_), _) => {
                self.engine.close_connection(id);
                self.execute_outputs(now);
                false
            }
        }
    }

    /// Handles the end of the client's data: the peer gets the end once it has been written
    /// everything before it.
    pub(super) fn end_spliced(&mut self, now: Now, stream: StreamId, connection: ConnectionId) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.said_all = true;
        }
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.ends = true;
        }
        self.flush_connection(now, connection);
    }

    /// Closes a connection, and the stream that it is spliced with once its client has read
    /// everything.
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
