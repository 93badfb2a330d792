//! The events of sockets: each makes its source ready, and some are handled at once.

use callbox_base::clock::Now;
use callbox_turn::{ConnectionId, StreamId};
use mio::event::Event;

use super::{Worker, icmp_errors, outputs, splicing};
use crate::{peer_connection::Progress, source::Source};

/// Handles an event: adds its source to the ready list, if there may be something to read.
pub(super) fn handle(worker: &mut Worker, now: Now, event: &Event) {
    let source = Source::of_token(event.token(), worker.listeners.len());
    match source {
        Source::Connection(id) => handle_connection(worker, now, id, event),
        Source::Stream(id) => handle_stream(worker, id, event),
        Source::Relay(_) | Source::Connected(_) => {
            if event.is_error() && icmp_errors::read(worker, now, source, None) > 0 {
                outputs::execute(worker, now);
            }
            worker.ready.add(source);
        }
        Source::Listener(_) | Source::TcpRelay(_) | Source::Ring(_) => worker.ready.add(source),
    }
}

/// Handles an event of a stream, which is written if it has become writable.
fn handle_stream(worker: &mut Worker, id: StreamId, event: &Event) {
    if event.is_writable() {
        worker.streams.flush_one(id);
        // Reading from its peer may have been paused.
        if let Some(connection) = worker.streams.get_mut(id).and_then(|s| s.spliced()) {
            worker.ready.add(Source::Connection(connection));
        }
    }
    let Some(stream) = worker.streams.get_mut(id) else { return };
    let is_ending = event.is_read_closed() || event.is_error();
    if is_ending {
        stream.note_ending();
    }
    if stream.has_messages() || event.is_readable() || is_ending {
        worker.ready.add(Source::Stream(id));
    }
}

/// Handles an event of a connection, which is established, or is written if it has become writable.
fn handle_connection(worker: &mut Worker, now: Now, id: ConnectionId, event: &Event) {
    let Some(connection) = worker.connections.get_mut(id) else { return };
    let was_established = connection.is_established();
    match connection.note_event(event) {
        Some(progress) => {
            worker.engine.connected(now, id, progress == Progress::Established);
            outputs::execute(worker, now);
        }
        None if was_established && event.is_writable() => {
            splicing::flush_connection(worker, now, id);
        }
        None => {}
    }
    worker.ready.add(Source::Connection(id));
}
