//! Spliced pairs (RFC 6062): a stream of a client and a connection to a peer, of which each gets
//! what is read from the other.

use std::{io, ops::Range, time::Duration};

use callbox_base::clock::Now;
use callbox_turn::{AllocationId, ConnectionId, Direction, StreamEnd, StreamId};

use super::{Worker, outputs, stream_ends};
use crate::{peer_connection::PeerConnection, source::Source};

/// The number of bytes that may wait on one side of a spliced pair before reading from the other
/// pauses.
pub(super) const MAX_WAITING: usize = 64 << 10;

/// The number of connections that are accepted before other sources have their turn.
const ACCEPTS: usize = 16;

/// The time that a listener that could not accept waits before it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Accepts peers that have connected to an allocation's address. Returns true if there may be more.
pub(super) fn accept_peers(worker: &mut Worker, now: Now, allocation: AllocationId) -> bool {
    for _ in 0..ACCEPTS {
        let (socket, source) = match worker.connections.accept(allocation) {
            None => return false,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => match error.kind() {
                io::ErrorKind::WouldBlock => return false,
                // This peer is gone already: others may wait behind it.
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                // Most likely the process is out of files: the system does not report when there
                // are some again.
                _ => {
                    let until = now.instant + ACCEPT_AGAIN;
                    worker.ready.sleep(now.instant, Source::TcpRelay(allocation), until);
                    return false;
                }
            },
        };
        // Without a permission it is closed at once (RFC 6062 §5.3).
        if let Some(id) = worker.engine.peer_connected(now, allocation, source) {
            let token = worker.token(Source::Connection(id));
            let (registry, connection) = (worker.poll.registry(), PeerConnection::accepted(socket));
            if worker.connections.insert(registry, token, id, connection).is_err() {
                worker.engine.close_connection(id);
            }
        }
        outputs::execute(worker, now);
    }
    true
}

/// Returns true if the bandwidth limit of the allocation permits data over a connection now. If
/// not, the source of the data sleeps until it does.
pub(super) fn has_bandwidth(
    worker: &mut Worker,
    now: Now,
    source: Source,
    id: ConnectionId,
    direction: Direction,
) -> bool {
    let free_at = worker.engine.connection_free_at(id, direction);
    let Some(free_at) = free_at.filter(|at| *at > now.instant) else { return true };
    worker.ready.sleep(now.instant, source, free_at);
    false
}

/// Reads a connection for a while. Returns true if there may be more.
pub(super) fn read_connection(worker: &mut Worker, now: Now, id: ConnectionId) -> bool {
    let Some(connection) = worker.connections.get_mut(id) else { return false };
    // Data that comes before a client takes it, or faster than it takes it, waits in the system.
    let Some(stream) = connection.stream() else { return false };
    let source = Source::Connection(id);
    if worker.ready.is_asleep(source) || !has_bandwidth(worker, now, source, id, Direction::Down) {
        return false;
    }
    if worker.streams.waiting(stream) > MAX_WAITING {
        // If the system does not take it now, it reports when it does.
        worker.streams.flush_one(stream);
        if worker.streams.waiting(stream) > MAX_WAITING {
            return false;
        }
    }
    worker.make_room(1);
    let slot = worker.batches.take_slot();
    let buffer = worker.batches.bytes_mut(slot.clone());
    let Some(connection) = worker.connections.get_mut(id) else { return false };
    match connection.read(buffer) {
        // The client may still send.
        Ok(0) => {
            worker.streams.end_when_flushed(stream);
            false
        }
        Ok(read) => {
            let more = read == buffer.len() || connection.is_ending();
            let range = slot.start..slot.start + read;
            worker.engine.relayed_by_connection(now, id, Direction::Down, read);
            worker.coalescing.add_packet();
            worker.streams.queue(stream, worker.batches.bytes(range), true, &worker.metrics);
            if let Some(stream) = worker.streams.get_mut(stream) {
                stream.activity().note_heard(now.instant);
            }
            more
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
        Err(_) => {
            // The peer is gone: the data that it has sent still reaches the client.
            worker.streams.close_when_flushed(stream);
            worker.engine.close_connection(id);
            outputs::execute(worker, now);
            false
        }
    }
}

/// Sends to a peer the data that its client has sent, or keeps it until the system takes it.
/// Returns false if so much waits that the client is not to be read for now.
pub(super) fn send_to_peer(
    worker: &mut Worker,
    now: Now,
    id: ConnectionId,
    range: Range<usize>,
) -> bool {
    let bytes = worker.batches.bytes(range);
    worker.coalescing.add_packet();
    worker.engine.relayed_by_connection(now, id, Direction::Up, bytes.len());
    let Some(connection) = worker.connections.get_mut(id) else { return false };
    connection.queue(bytes);
    flush_connection(worker, now, id)
}

/// Writes the bytes that wait for a peer. Returns false if so many still wait that its client is
/// not to be read for now, or if the connection is closed.
pub(super) fn flush_connection(worker: &mut Worker, now: Now, id: ConnectionId) -> bool {
    let Some(connection) = worker.connections.get_mut(id) else { return false };
    let waiting = connection.waiting();
    let flushed = connection.flush();
    let (has_progress, stream) = (connection.waiting() < waiting, connection.stream());
    if has_progress && let Some(stream) = stream.and_then(|id| worker.streams.get_mut(id)) {
        stream.activity().note_progress();
    }
    match (flushed, stream) {
        (Ok(0), Some(stream)) => {
            if worker.streams.get_mut(stream).is_some_and(|stream| stream.is_done()) {
                stream_ends::close(worker, now, stream, StreamEnd::Closed);
                return false;
            }
            // Reading from the client may have been paused.
            worker.ready.add(Source::Stream(stream));
            true
        }
        (Ok(waiting), _) => waiting <= MAX_WAITING,
        // The peer is gone.
        (Err(_), _) => {
            worker.engine.close_connection(id);
            outputs::execute(worker, now);
            false
        }
    }
}

/// Handles the end of the client's data: the peer gets the end once it has been written everything
/// before it.
pub(super) fn end_client(
    worker: &mut Worker,
    now: Now,
    stream: StreamId,
    connection: ConnectionId,
) {
    if let Some(stream) = worker.streams.get_mut(stream) {
        stream.note_end();
    }
    if let Some(connection) = worker.connections.get_mut(connection) {
        connection.end_when_flushed();
    }
    flush_connection(worker, now, connection);
}
