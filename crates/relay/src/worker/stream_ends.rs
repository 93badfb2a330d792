//! The ends of streams: closed by their clients, broken, silent for too long, or at the stop of the
//! server.

use callbox_base::clock::Now;
use callbox_turn::{StreamEnd, StreamId};

use super::{Worker, outputs};
use crate::source::Source;

/// Closes a stream, and with it everything that its client had.
pub(super) fn close(worker: &mut Worker, now: Now, id: StreamId, end: StreamEnd) {
    let Some(mut stream) = worker.streams.remove(id) else { return };
    worker.ready.forget(Source::Stream(id));
    stream.finish();
    stream.deregister(worker.poll.registry());
    worker.metrics.stream_closed(stream.is_tls(), end);
    worker.engine.stream_closed(id);
    outputs::execute(worker, now);
}

/// Closes streams whose writes failed, and those that have been written to their end.
pub(super) fn close_broken(worker: &mut Worker, now: Now) {
    while let Some((id, end)) = worker.streams.next_broken() {
        let spliced = worker.streams.get_mut(id).and_then(|stream| stream.spliced());
        if end == StreamEnd::Closed && spliced.is_some_and(|c| worker.connections.waiting(c) > 0) {
            // The peer has not yet received all that the client has sent.
            continue;
        }
        close(worker, now, id, end);
        // Output that closing it produced is not kept until the next event.
        worker.send();
    }
}

/// Closes streams that have been silent or unused for too long.
pub(super) fn check_timeouts(worker: &mut Worker, now: Now) {
    while let Some(id) = worker.streams.next_due(now.instant) {
        let Some(stream) = worker.streams.get_mut(id) else { continue };
        stream.shrink();
        let in_use = stream.spliced().is_some() || worker.engine.is_in_use(stream.tuple());
        match stream.check_timeouts(now.instant, in_use) {
            Ok(due) => worker.streams.check_again(id, due),
            Err(end) => close(worker, now, id, end),
        }
    }
}

/// Closes every stream, as the server stops.
pub(super) fn close_all(worker: &mut Worker, now: Now) {
    for id in worker.streams.ids() {
        close(worker, now, id, StreamEnd::Stopped);
    }
}
