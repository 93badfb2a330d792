//! The clients that connect over TCP and TLS: their messages are found in the data that is read,
//! and are routed in the same way as datagrams.

use std::{io, ops::Range};

use callbox_base::{clock::Now, ids::ClientAddr};
use callbox_stun::{Frame, Kind, MAX_FRAME};
use callbox_sys::TrafficClass;
use callbox_turn::{Direction, FiveTuple, StreamEnd, StreamId, Via};

use super::{Worker, forwarding, splicing, stream_ends, traffic};
use crate::{commands::Command, new_stream::NewStream, source::Source, stream::Stream};

/// The longest message of a client without an allocation: a request fits many times.
const MAX_REQUEST: usize = 4096;

/// The number of STUN messages of one stream that are served before other sources have their turn:
/// each may be a request, and one read brings thousands.
const MESSAGES: usize = 64;

/// Takes over a connection.
pub(super) fn open(worker: &mut Worker, now: Now, new: NewStream) {
    let tuple = worker.engine.stream_opened(ClientAddr(new.client), new.local.ip());
    let Via::Stream(id) = tuple.via else { return };
    let (mut stream, received) = Stream::new(new, tuple, now.instant);
    let token = worker.token(Source::Stream(id));
    if let Err(error) = stream.register(worker.poll.registry(), token) {
        tracing::error!(%error, "a connection cannot be watched");
        worker.engine.stream_closed(id);
        return;
    }
    worker.metrics.stream_opened(stream.is_tls());
    let waits = worker.outage.is_on(now.instant) && !received.is_empty();
    if waits {
        stream.keep_messages(&received);
    }
    worker.streams.insert(id, stream);
    // Data that came before may be in the TLS session already, where the system does not see it.
    worker.ready.add(Source::Stream(id));
    if !received.is_empty() && !waits {
        worker.make_room(1);
        let slot = worker.batches.take_slot();
        let range = slot.start..slot.start + received.len();
        worker.batches.bytes_mut(range.clone()).copy_from_slice(&received);
        route(worker, now, id, tuple, range);
    }
}

/// Reads a stream for a while. Returns true if there may be more.
pub(super) fn read(worker: &mut Worker, now: Now, id: StreamId) -> bool {
    worker.make_room(1);
    let slot = worker.batches.take_slot();
    let Some(stream) = worker.streams.get_mut(id) else { return false };
    if !stream.is_open_for_reading() || worker.ready.is_asleep(Source::Stream(id)) {
        return false;
    }
    let (tuple, spliced) = (stream.tuple(), stream.spliced());
    if let Some(connection) = spliced
        && (worker.connections.waiting(connection) > splicing::MAX_WAITING
            || !splicing::has_bandwidth(worker, now, Source::Stream(id), connection, Direction::Up))
    {
        return false;
    }
    let Some(stream) = worker.streams.get_mut(id) else { return false };
    match stream.fill(worker.batches.bytes_mut(slot.clone())) {
        Ok(Some((len, more))) => {
            let goes_on = route(worker, now, id, tuple, slot.start..slot.start + len);
            goes_on && (more || worker.streams.get_mut(id).is_some_and(|s| s.has_messages()))
        }
        Ok(None) => {
            match spliced {
                Some(connection) => splicing::end_client(worker, now, id, connection),
                None => stream_ends::close(worker, now, id, StreamEnd::Closed),
            }
            false
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
        Err(_) => {
            stream_ends::close(worker, now, id, StreamEnd::Error);
            false
        }
    }
}

/// Routes the messages in the range `left`, and keeps the rest. Returns false if the stream is
/// closed or has to wait.
fn route(
    worker: &mut Worker,
    now: Now,
    id: StreamId,
    tuple: FiveTuple,
    mut left: Range<usize>,
) -> bool {
    let mut limit = MAX_REQUEST;
    let mut served = 0;
    loop {
        let Some(stream) = worker.streams.get_mut(id) else { return false };
        if let Some(connection) = stream.spliced() {
            // The bytes after a ConnectionBind, and all that come later, are for the peer.
            stream.activity().note_heard(now.instant);
            return left.is_empty() || splicing::send_to_peer(worker, now, connection, left);
        }
        let bytes = worker.batches.bytes(left.clone());
        match Frame::first(bytes, limit) {
            Frame::Whole { message, ends } => {
                if Kind::of(bytes) == Kind::Stun {
                    if served == MESSAGES {
                        stream.keep_messages(bytes);
                        return true;
                    }
                    served += 1;
                }
                let range = left.start..left.start + message;
                if let Some(target) = forwarding::target(worker, tuple, range.clone()) {
                    move_to(worker, id, target, left);
                    return false;
                }
                left.start += ends;
                // Other messages stand before and after it in the buffer. The class of the
                // stream's segments says nothing about it (RFC 8656 §15).
                traffic::route_client(worker, now, tuple, TrafficClass::DEFAULT, range, true);
                let Some(stream) = worker.streams.get_mut(id) else { return false };
                stream.activity().note_heard(now.instant);
            }
            // A client with an allocation may send messages of any length, even one that cannot be
            // relayed, so that the next one is found.
            Frame::TooLong if limit < MAX_FRAME && worker.engine.has_allocation(tuple) => {
                limit = MAX_FRAME;
            }
            Frame::Part => {
                stream.keep_part(bytes);
                return true;
            }
            // The start of the next message is unknown (RFC 8656 §12.5).
            Frame::Broken | Frame::TooLong => {
                stream_ends::close(worker, now, id, StreamEnd::BadFrame);
                return false;
            }
        }
    }
}

/// Hands a stream over to the worker that owns the target of its client's request, with the bytes
/// in the range `received`; or keeps those until the client has read the answers before them.
fn move_to(worker: &mut Worker, id: StreamId, target: u16, received: Range<usize>) {
    worker.streams.flush_one(id);
    let Some(stream) = worker.streams.get_mut(id) else { return };
    let bytes = worker.batches.bytes(received);
    if !stream.is_flushed() {
        stream.keep_messages(bytes);
        return;
    }
    let Some(mut stream) = worker.streams.remove(id) else { return };
    worker.ready.forget(Source::Stream(id));
    stream.deregister(worker.poll.registry());
    worker.metrics.stream_moved(stream.is_tls());
    worker.engine.stream_closed(id);
    if let Ok(stream) = stream.into_new(bytes.to_vec()) {
        worker.all_workers.send(target, Command::Stream(Box::new(stream)));
    }
}
