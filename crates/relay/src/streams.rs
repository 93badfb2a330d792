//! The clients that come over TCP and TLS: their messages are found in what is read and go the same
//! way as datagrams do.

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

/// For how long a stream without an allocation may say nothing that is whole.
const PATIENCE: Duration = Duration::from_secs(30);

/// For how long a stream may be of no use to any allocation, whatever it says: Bindings cost a client
/// nothing, and a place among the connections costs the server a file. It may be closed when there
/// is need (RFC 8489 §6.2.2), and before there is, so that there is none.
const UNUSED: Duration = Duration::from_secs(60);

/// The longest message of somebody who has no allocation: a request fits many times.
const MAX_REQUEST: usize = 4096;

/// The tokens of streams begin here, far above those of sockets.
pub(super) const TOKENS: usize = 1 << (usize::BITS - 2);

/// How much may wait on one side of a spliced pair before the other is not read for a while, in
/// bytes.
pub(super) const MAX_WAITING: usize = 64 << 10;

/// How many STUN messages of one stream are served before others have their turn: each may be a
/// request, and a read brings thousands.
const MESSAGES: usize = 64;

/// The streams of a worker, each at the place of its id.
#[derive(Default)]
pub(super) struct Streams {
    all: Vec<Option<Stream>>,
    /// Those that have something to write.
    unsent: Vec<StreamId>,
    /// Those that are to be closed.
    broken: Vec<(StreamId, StreamEnd)>,
    pub timers: TimerQueue<StreamId>,
}

impl Streams {
    pub fn get_mut(&mut self, StreamId(id): StreamId) -> Option<&mut Stream> {
        self.all.get_mut(id as usize)?.as_mut()
    }

    /// Whether a token is a stream's, and whose.
    pub fn of_token(Token(token): Token) -> Option<StreamId> {
        token.checked_sub(TOKENS).map(|id| StreamId(id as u32))
    }

    /// The same, if the stream is still this client's.
    pub fn queue_to(&mut self, to: FiveTuple, bytes: &[u8], is_answer: bool, metrics: &Metrics) {
        let Via::Stream(id) = to.via else { return };
        if self.get_mut(id).is_none_or(|stream| stream.tuple.client == to.client) {
            self.queue(id, bytes, is_answer, metrics);
        }
    }

    /// Sends a message to a client, at the end of this turn.
    pub fn queue(&mut self, id: StreamId, bytes: &[u8], is_answer: bool, metrics: &Metrics) {
        let Some(Some(stream)) = self.all.get_mut(id.0 as usize) else {
            // Of one that may move and has not come back (RFC 8016).
            metrics.dropped(DropReason::SlowReader);
            return;
        };
        match stream.queue(bytes, is_answer) {
            Queued::Yes => self.flush_later(id),
            Queued::Dropped => metrics.dropped(DropReason::SlowReader),
            Queued::Stuck => self.broken.push((id, StreamEnd::Stuck)),
        }
    }

    /// How much waits to be written to a client, in bytes.
    pub fn waiting(&mut self, id: StreamId) -> usize {
        self.get_mut(id).map_or(0, |stream| stream.waiting())
    }

    /// Closes a stream once all that waits is written.
    pub fn finish_after(&mut self, id: StreamId) {
        let Some(stream) = self.get_mut(id) else { return };
        stream.last = true;
        self.flush_later(id);
    }

    /// Tells a client that nothing more comes, once all that waits is written.
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

    /// Writes what waits.
    pub fn flush(&mut self) {
        while let Some(id) = self.unsent.pop() {
            self.flush_one(id);
        }
    }

    /// Writes what waits for one client.
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

    /// Takes a stream out, and with it all that was to happen to it: its name may be another's
    /// before this turn is over.
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
        // What came before may stand in the TLS session already, of which the system knows nothing.
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
            let place = slot.start..slot.start + received.len();
            self.batches.bytes_mut(place.clone()).copy_from_slice(&received);
            self.route_stream(now, id, tuple, place);
        }
    }

    /// Closes a stream, and with it what its client had.
    pub(super) fn close_stream(&mut self, now: Now, id: StreamId, end: StreamEnd) {
        let Some(mut stream) = self.streams.remove(id) else { return };
        stream.finish();
        if let Err(error) = self.poll.registry().deregister(&mut stream.socket) {
            tracing::debug!(%error, "a connection was not registered");
        }
        self.metrics.stream_closed(stream.is_tls(), end);
        self.engine.stream_closed(id);
        self.carry_out(now);
    }

    /// Closes what went wrong while it was written to, or has been written to its end.
    pub(super) fn close_broken(&mut self, now: Now) {
        while let Some((id, end)) = self.streams.broken.pop() {
            let spliced = self.streams.get_mut(id).and_then(|stream| stream.spliced);
            if end == StreamEnd::Closed && spliced.is_some_and(|c| self.connections.waiting(c) > 0)
            {
                // The peer has still to read what the client has said.
                continue;
            }
            self.close_stream(now, id, end);
            // What closing it led to is not kept until the next event.
            self.send();
        }
    }

    /// Closes what has been silent for too long.
    pub(super) fn tend_streams(&mut self, now: Now) {
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
            // One side has ended, and the other keeps still: it is not waited for.
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

    /// Reads a stream for a while. `true` if there may be more.
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
            // What has come has its turn first.
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

    /// Gives a stream to the worker that has what its client asks for, with what stands at this
    /// place; or keeps that until the client has read the answers before it.
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
        self.tell(worker, Command::Stream(Box::new(stream)));
    }

    /// Keeps messages until the stream has its turn again.
    fn keep(&mut self, id: StreamId, messages: Range<usize>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.part.extend_from_slice(self.batches.bytes(messages));
        stream.behind = true;
    }

    fn end_stream(&mut self, now: Now, id: StreamId, end: StreamEnd) -> bool {
        self.close_stream(now, id, end);
        false
    }

    /// Routes the messages that stand at this place, and keeps what is left. `false` if the stream
    /// is closed, or has to wait.
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
                // What follows a ConnectionBind, and all that comes later, is the peer's.
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
                    let place = left.start..left.start + message;
                    if let Some(worker) = self.other_worker(tuple, place.clone()) {
                        self.move_stream(id, worker, left);
                        return false;
                    }
                    left.start += ends;
                    // Others stand before and behind it. The class of the stream's segments says
                    // nothing of it (RFC 8656 §15).
                    self.route_client(now, tuple, TrafficClass::DEFAULT, place, true);
                    let Some(stream) = self.streams.get_mut(id) else { return false };
                    stream.heard = now.instant;
                }
                // Of a client with an allocation any message is taken in, even one that cannot be
                // relayed, so that the next one is found.
                Frame::TooLong if limit < MAX_FRAME && self.engine.has_allocation(tuple) => {
                    limit = MAX_FRAME;
                }
                Frame::Part => {
                    let Some(stream) = self.streams.get_mut(id) else { return false };
                    stream.part.extend_from_slice(self.batches.bytes(left));
                    return true;
                }
                // Where the next message would begin is not known (RFC 8656 §12.5).
                Frame::Broken | Frame::TooLong => {
                    return self.end_stream(now, id, StreamEnd::BadFrame);
                }
            }
        }
    }
}
