//! The clients that connect over TCP and TLS: their messages are found in the data that is read and
//! are processed in the same way as datagrams.

use std::{io, ops::Range, time::Duration};

use callbox_base::{
    clock::{Now, TimerQueue},
    ids::ClientAddr,
};
use callbox_stun::{Frame, Kind, MAX_FRAME};
use callbox_sys::TrafficClass;
use callbox_turn::{Direction, DropReason, FiveTuple, Metrics, StreamEnd, StreamId, Via};
use mio::{Interest, Token};

use super::{
    stream::{NewStream, Queued, Stream},
    worker::{Command, Source, Worker},
};

/// The longest time that a stream without an allocation may send no whole message.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest time that a stream may be of no use to any allocation, whatever it sends: Binding
/// requests cost a client nothing, while a slot among the connections costs the server a file. It
/// may be closed when resources are short (RFC 8489 §6.2.2), and is closed before, so that they do
/// not get short.
const UNUSED: Duration = Duration::from_secs(60);

/// The longest message of a client without an allocation: a request fits many times.
const MAX_REQUEST: usize = 4096;

/// The first token of streams, far above those of sockets.
pub(super) const TOKENS: usize = 1 << (usize::BITS - 2);

/// The number of bytes that may wait on one side of a spliced pair before reading from the other
/// pauses.
pub(super) const MAX_WAITING: usize = 64 << 10;

/// The number of STUN messages of one stream that are served before other sources have their turn:
/// each may be a request, and one read brings thousands.
const MESSAGES: usize = 64;

/// The streams of a worker, indexed by id.
#[derive(Default)]
pub(super) struct Streams {
    all: Vec<Option<Stream>>,
    /// The streams that have something to write.
    unsent: Vec<StreamId>,
    /// The streams that are to be closed, each with the reason.
    broken: Vec<(StreamId, StreamEnd)>,
    pub timers: TimerQueue<StreamId>,
}

impl Streams {
    pub fn get_mut(&mut self, StreamId(id): StreamId) -> Option<&mut Stream> {
        self.all.get_mut(id as usize)?.as_mut()
    }

    /// Returns the stream of a token, if it is one of a stream.
    pub fn of_token(Token(token): Token) -> Option<StreamId> {
        token.checked_sub(TOKENS).map(|id| StreamId(id as u32))
    }

    /// Queues a message as [`Streams::queue`] does, if the stream still belongs to this client.
    pub fn queue_to(&mut self, to: FiveTuple, bytes: &[u8], is_answer: bool, metrics: &Metrics) {
        let Via::Stream(id) = to.via else { return };
        if self.get_mut(id).is_none_or(|stream| stream.tuple.client == to.client) {
            self.queue(id, bytes, is_answer, metrics);
        }
    }

    /// Queues a message for a client; it is sent at the end of this loop iteration.
    pub fn queue(&mut self, id: StreamId, bytes: &[u8], is_answer: bool, metrics: &Metrics) {
        let Some(Some(stream)) = self.all.get_mut(id.0 as usize) else {
            // The stream of a client that may move and has not come back (RFC 8016).
            metrics.dropped(DropReason::SlowReader);
            return;
        };
        match stream.queue(bytes, is_answer) {
            Queued::Yes => self.flush_later(id),
            Queued::Dropped => metrics.dropped(DropReason::SlowReader),
            Queued::Stuck => self.broken.push((id, StreamEnd::Stuck)),
        }
    }

    /// Returns the number of bytes that wait to be written to a client.
    pub fn waiting(&mut self, id: StreamId) -> usize {
        self.get_mut(id).map_or(0, |stream| stream.waiting())
    }

    /// Closes a stream once everything queued is written.
    pub fn finish_after(&mut self, id: StreamId) {
        let Some(stream) = self.get_mut(id) else { return };
        stream.last = true;
        self.flush_later(id);
    }

    /// Signals the end of the data to a client once everything queued is written.
    pub fn end_after(&mut self, id: StreamId) {
        let Some(stream) = self.get_mut(id) else { return };
        stream.ends = true;
        self.flush_later(id);
    }

    fn flush_later(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id)
            && !std::mem::replace(&mut stream.unsent, true)
        {
            self.unsent.push(id);
        }
    }

    /// Writes the queued bytes of all streams.
    pub fn flush(&mut self) {
        while let Some(id) = self.unsent.pop() {
            self.flush_one(id);
        }
    }

    /// Writes the queued bytes of one client.
    pub fn flush_one(&mut self, id: StreamId) {
        let Some(Some(stream)) = self.all.get_mut(id.0 as usize) else { return };
        stream.unsent = false;
        let waiting = stream.waiting();
        let flushed = stream.flush();
        stream.moved |= stream.waiting() < waiting;
        if flushed.is_err() {
            self.broken.push((id, StreamEnd::Error));
        } else if stream.is_done() {
            self.broken.push((id, StreamEnd::Closed));
        }
    }

    /// Removes a stream, with everything that is pending for it: its id may be reused before this
    /// loop iteration is over.
    fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.all.get_mut(id.0 as usize)?.take()?;
        self.timers.clear(stream.due, id);
        self.broken.retain(|(broken, _)| *broken != id);
        Some(stream)
    }
}

impl Worker {
    /// Takes over a connection.
    pub(super) fn open_stream(&mut self, now: Now, new: NewStream) {
        let (client, local) = (ClientAddr(new.client), new.local.ip());
        let tuple = self.engine.stream_opened(client, local);
        let Via::Stream(id) = tuple.via else { return };
        let due = now.instant + PATIENCE;
        let mut stream = Stream::new(new, tuple, now.instant, due);
        let (token, interest) = (Token(TOKENS + id.0 as usize), Interest::READABLE);
        let interest = interest | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream.socket, token, interest) {
            tracing::error!(%error, "a connection cannot be watched");
            self.engine.stream_closed(id);
            return;
        }
        self.metrics.stream_opened(stream.is_tls());
        // Data that came before may be in the TLS session already, where the system does not see
        // it.
        stream.ready = true;
        self.ready.push(Source::Stream(id));
        let at = id.0 as usize;
        if self.streams.all.len() <= at {
            self.streams.all.resize_with(at + 1, || None);
        }
        let received = std::mem::take(&mut stream.part);
        self.streams.all[at] = Some(stream);
        self.streams.timers.set(due, id);
        if !received.is_empty() {
            self.make_room(1);
            let slot = self.batches.take_slot();
            let range = slot.start..slot.start + received.len();
            self.batches.bytes_mut(range.clone()).copy_from_slice(&received);
            self.route_stream(now, id, tuple, range);
        }
    }

    /// Closes a stream, and with it everything that its client had.
    pub(super) fn close_stream(&mut self, now: Now, id: StreamId, end: StreamEnd) {
        let Some(mut stream) = self.streams.remove(id) else { return };
        stream.finish();
        if let Err(error) = self.poll.registry().deregister(&mut stream.socket) {
            tracing::debug!(%error, "a connection was not registered");
        }
        self.metrics.stream_closed(stream.is_tls(), end);
        self.engine.stream_closed(id);
        self.execute_outputs(now);
    }

    /// Closes streams whose writes failed, and those that have been written to their end.
    pub(super) fn close_broken(&mut self, now: Now) {
        while let Some((id, end)) = self.streams.broken.pop() {
            let spliced = self.streams.get_mut(id).and_then(|stream| stream.spliced);
            if end == StreamEnd::Closed && spliced.is_some_and(|c| self.connections.waiting(c) > 0)
            {
                // The peer has not yet received all that the client has sent.
                continue;
            }
            self.close_stream(now, id, end);
            // Output that closing it produced is not kept until the next event.
            self.send();
        }
    }

    /// Closes streams that have been silent or unused for too long.
    pub(super) fn check_stream_timers(&mut self, now: Now) {
        while let Some(id) = self.streams.timers.pop(now.instant) {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.shrink();
            if std::mem::take(&mut stream.moved) {
                stream.heard = now.instant;
            }
            let silent = now.instant.saturating_duration_since(stream.heard) >= PATIENCE;
            let in_use = stream.spliced.is_some() || self.engine.is_in_use(stream.tuple);
            if in_use {
                stream.used = now.instant;
            } else if now.instant.saturating_duration_since(stream.used) >= UNUSED {
                self.close_stream(now, id, StreamEnd::Unused);
                continue;
            }
            // One side has ended, and the other is silent: it is not waited for.
            let over = match stream.spliced {
                Some(_) => stream.said_all || stream.ends,
                None => !in_use,
            };
            if silent && over {
                self.close_stream(now, id, StreamEnd::Silent);
                continue;
            }
            let since = if silent { now.instant } else { stream.heard };
            stream.due = (since + PATIENCE).min(stream.used + UNUSED);
            let due = stream.due;
            self.streams.timers.set(due, id);
        }
    }

    /// Closes every stream, as the server stops.
    pub(super) fn close_streams(&mut self, now: Now) {
        for id in 0..self.streams.all.len() as u32 {
            self.close_stream(now, StreamId(id), StreamEnd::Stopped);
        }
    }

    /// Reads a stream for a while. Returns true if there may be more.
    pub(super) fn read_stream(&mut self, now: Now, id: StreamId) -> bool {
        self.make_room(1);
        let slot = self.batches.take_slot();
        let Some(stream) = self.streams.get_mut(id) else { return false };
        if stream.last || stream.said_all || stream.asleep {
            return false;
        }
        if let Some(connection) = stream.spliced
            && (self.connections.waiting(connection) > MAX_WAITING
                || !self.has_bandwidth(now, Source::Stream(id), connection, Direction::Up))
        {
            return false;
        }
        let Some(stream) = self.streams.get_mut(id) else { return false };
        let buffer = self.batches.bytes_mut(slot.clone());
        let part = stream.part.len();
        buffer[..part].copy_from_slice(&stream.part);
        let room = buffer.len() - part;
        let (read, more) = if std::mem::take(&mut stream.behind) {
            // Messages that have been read before are served first.
            (0, true)
        } else {
            match stream.read(&mut buffer[part..]) {
                Ok(0) => {
                    match stream.spliced {
                        Some(connection) => self.end_spliced(now, id, connection),
                        None => self.close_stream(now, id, StreamEnd::Closed),
                    }
                    return false;
                }
                Ok(read) => (read, read == room || stream.may_have_more()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
                Err(_) => return self.end_stream(now, id, StreamEnd::Error),
            }
        };
        let tuple = stream.tuple;
        stream.part.clear();
        let goes_on = self.route_stream(now, id, tuple, slot.start..slot.start + part + read);
        goes_on && (more || self.streams.get_mut(id).is_some_and(|stream| stream.behind))
    }

    /// Hands a stream over to the worker that owns the target of its client's request, with the
    /// bytes in the range `received`; or keeps those until the client has read the answers before
    /// them.
    fn move_stream(&mut self, id: StreamId, worker: u16, received: Range<usize>) {
        self.streams.flush_one(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        if !stream.is_flushed() {
            self.keep(id, received);
            return;
        }
        let Some(mut stream) = self.streams.remove(id) else { return };
        if let Err(error) = self.poll.registry().deregister(&mut stream.socket) {
            tracing::debug!(%error, "a connection was not registered");
        }
        self.metrics.stream_moved(stream.is_tls());
        self.engine.stream_closed(id);
        let Ok(local) = stream.socket.local_addr() else { return };
        let stream = stream.into_new(local, self.batches.bytes(received).to_vec());
        self.send_command(worker, Command::Stream(Box::new(stream)));
    }

    /// Keeps messages until the next turn of the stream.
    fn keep(&mut self, id: StreamId, messages: Range<usize>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.part.extend_from_slice(self.batches.bytes(messages));
        stream.behind = true;
    }

    fn end_stream(&mut self, now: Now, id: StreamId, end: StreamEnd) -> bool {
        self.close_stream(now, id, end);
        false
    }

    /// Routes the messages in the range `left`, and keeps the rest. Returns false if the stream is
    /// closed or has to wait.
    fn route_stream(
        &mut self,
        now: Now,
        id: StreamId,
        tuple: FiveTuple,
        mut left: Range<usize>,
    ) -> bool {
        let mut limit = MAX_REQUEST;
        let mut served = 0;
        loop {
            let Some(stream) = self.streams.get_mut(id) else { return false };
            if let Some(connection) = stream.spliced {
                // The bytes after a ConnectionBind, and all that come later, are for the peer.
                stream.heard = now.instant;
                return left.is_empty() || self.send_to_connection(now, connection, left);
            }
            let bytes = self.batches.bytes(left.clone());
            match Frame::first(bytes, limit) {
                Frame::Whole { message, ends } => {
                    if Kind::of(bytes) == Kind::Stun {
                        if served == MESSAGES {
                            self.keep(id, left);
                            return true;
                        }
                        served += 1;
                    }
                    let range = left.start..left.start + message;
                    if let Some(worker) = self.other_worker(tuple, range.clone()) {
                        self.move_stream(id, worker, left);
                        return false;
                    }
                    left.start += ends;
                    // Other messages stand before and after it in the buffer. The class of the
                    // stream's segments says nothing about it (RFC 8656 §15).
                    self.route_client(now, tuple, TrafficClass::DEFAULT, range, true);
                    let Some(stream) = self.streams.get_mut(id) else { return false };
                    stream.heard = now.instant;
                }
                // A client with an allocation may send messages of any length, even one that cannot
                // be relayed, so that the next one is found.
                Frame::TooLong if limit < MAX_FRAME && self.engine.has_allocation(tuple) => {
                    limit = MAX_FRAME;
                }
                Frame::Part => {
                    let Some(stream) = self.streams.get_mut(id) else { return false };
                    stream.part.extend_from_slice(self.batches.bytes(left));
                    return true;
                }
                // The start of the next message is unknown (RFC 8656 §12.5).
                Frame::Broken | Frame::TooLong => {
                    return self.end_stream(now, id, StreamEnd::BadFrame);
                }
            }
        }
    }
}
