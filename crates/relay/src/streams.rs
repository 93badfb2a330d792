//! The streams of a worker: its clients that connect over TCP and TLS.

use std::time::Instant;

use callbox_base::clock::TimerQueue;
use callbox_turn::{DropReason, FiveTuple, Metrics, StreamEnd, StreamId, Via};

use super::{stream::Stream, stream_output::Queued};

/// The streams of a worker, indexed by id.
#[derive(Default)]
pub(super) struct Streams {
    all: Vec<Option<Stream>>,
    /// The streams that have something to write.
    unsent: Vec<StreamId>,
    /// The streams that are to be closed, each with the reason.
    broken: Vec<(StreamId, StreamEnd)>,
    /// The times at which the timeouts of streams are checked.
    timers: TimerQueue<StreamId>,
}

impl Streams {
    pub(crate) fn get_mut(&mut self, StreamId(id): StreamId) -> Option<&mut Stream> {
        self.all.get_mut(id as usize)?.as_mut()
    }

    /// Returns the ids that streams may have.
    pub(crate) fn ids(&self) -> impl Iterator<Item = StreamId> + use<> {
        (0..self.all.len() as u32).map(StreamId)
    }

    /// Adds a stream. Its timeouts are checked for the first time when it says.
    pub(crate) fn insert(&mut self, id: StreamId, mut stream: Stream) {
        self.timers.set(stream.activity().due(), id);
        let index = id.0 as usize;
        if self.all.len() <= index {
            self.all.resize_with(index + 1, || None);
        }
        self.all[index] = Some(stream);
    }

    /// Removes a stream, with everything that is pending for it: its id may be reused before this
    /// loop iteration is over.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let mut stream = self.all.get_mut(id.0 as usize)?.take()?;
        self.timers.clear(stream.activity().due(), id);
        self.broken.retain(|(broken, _)| *broken != id);
        Some(stream)
    }

    /// Queues a message as [`Streams::queue`] does, if the stream still belongs to this client.
    pub(crate) fn queue_to(
        &mut self,
        to: FiveTuple,
        bytes: &[u8],
        is_answer: bool,
        metrics: &Metrics,
    ) {
        let Via::Stream(id) = to.via else { return };
        if self.get_mut(id).is_none_or(|stream| stream.tuple().client == to.client) {
            self.queue(id, bytes, is_answer, metrics);
        }
    }

    /// Queues a message for a client; it is sent at the end of this loop iteration.
    pub(crate) fn queue(&mut self, id: StreamId, bytes: &[u8], is_answer: bool, metrics: &Metrics) {
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
    pub(crate) fn waiting(&mut self, id: StreamId) -> usize {
        self.get_mut(id).map_or(0, |stream| stream.waiting())
    }

    /// Closes a stream once everything queued is written.
    pub(crate) fn close_when_flushed(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id) {
            stream.close_when_flushed();
            self.flush_later(id);
        }
    }

    /// Signals the end of the data to a client once everything queued is written.
    pub(crate) fn end_when_flushed(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id) {
            stream.end_when_flushed();
            self.flush_later(id);
        }
    }

    fn flush_later(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id)
            && !stream.set_unsent(true)
        {
            self.unsent.push(id);
        }
    }

    /// Writes the queued bytes of all streams.
    pub(crate) fn flush(&mut self) {
        while let Some(id) = self.unsent.pop() {
            self.flush_one(id);
        }
    }

    /// Writes the queued bytes of one client.
    pub(crate) fn flush_one(&mut self, id: StreamId) {
        let Some(Some(stream)) = self.all.get_mut(id.0 as usize) else { return };
        stream.set_unsent(false);
        if stream.flush().is_err() {
            self.broken.push((id, StreamEnd::Error));
        } else if stream.is_done() {
            self.broken.push((id, StreamEnd::Closed));
        }
    }

    /// Takes out a stream that is to be closed, with the reason.
    pub(crate) fn next_broken(&mut self) -> Option<(StreamId, StreamEnd)> {
        self.broken.pop()
    }

    /// Takes out a stream whose timeouts are to be checked.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<StreamId> {
        self.timers.pop(now)
    }

    /// Has the timeouts of a stream checked when it says.
    pub(crate) fn check_again(&mut self, id: StreamId, due: Instant) {
        self.timers.set(due, id);
    }

    /// Returns the time at which the timeouts of a stream are to be checked next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}
