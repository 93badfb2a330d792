//! The execution of the engine's outputs.

use callbox_base::clock::Now;
use callbox_turn::{FiveTuple, Output, StreamId, Via};

use super::{Worker, forwarding, relay_sockets};
use crate::{log_lines, source::Source};

/// Executes what the engine requests.
pub(super) fn execute(worker: &mut Worker, now: Now) {
    while let Some(output) = worker.engine.poll_output() {
        match output {
            Output::Transmit { .. } if worker.outage.is_on(now.instant) => {}
            Output::Transmit { to, bytes } => respond(worker, to, &bytes),
            Output::OpenRelay { allocation, address, errors } => {
                let result = relay_sockets::open(worker, now, allocation, address, errors);
                worker.engine.relay_opened(now, allocation, result);
            }
            Output::ListenRelay { allocation, address } => {
                let result = relay_sockets::listen(worker, now, allocation, address);
                worker.engine.relay_opened(now, allocation, result);
            }
            Output::CloseRelay { allocation } => {
                if let Some(faults) = &mut worker.packet_faults {
                    faults.forget(allocation);
                }
                relay_sockets::close(worker, allocation);
            }
            Output::Connect { allocation, connection, from, to } => {
                let token = worker.token(Source::Connection(connection));
                let (registry, way) = (worker.poll.registry(), [from, to]);
                let begun =
                    worker.connections.connect(registry, token, allocation, connection, way);
                if begun.is_some_and(|begun| begun.is_err()) {
                    worker.engine.connected(now, connection, false);
                }
            }
            Output::Splice { stream, connection } => splice(worker, stream, connection),
            Output::CloseConnection { connection, stream } => {
                worker.connections.close(worker.poll.registry(), connection);
                worker.ready.forget(Source::Connection(connection));
                if let Some(stream) = stream {
                    unsplice(worker, stream);
                }
            }
            Output::Ended(ended) => log_lines::allocation_ended(now, &ended),
            Output::WrongCredentials { client, user, reason } => {
                worker.log.wrong_credentials(now, client, user.as_deref(), reason);
            }
            Output::Forget { tuple } => forwarding::stop(worker, tuple),
            Output::ReleaseMemory => {
                worker.relays.shrink();
                worker.ready.shrink();
            }
            Output::Event(event) => (worker.on_event)(event),
        }
    }
}

/// Queues a message for a client.
fn respond(worker: &mut Worker, to: FiveTuple, bytes: &[u8]) {
    match to.via {
        Via::Listener(listener) => {
            if !worker.batches.respond(listener, to.client, bytes) {
                worker.send_batches();
                worker.batches.respond(listener, to.client, bytes);
            }
        }
        Via::Stream(_) => worker.streams.queue_to(to, bytes, true, &worker.metrics),
    }
}

/// Splices a stream and a connection.
fn splice(worker: &mut Worker, stream: StreamId, connection: callbox_turn::ConnectionId) {
    // The last message is written separately from the raw data that follows.
    worker.streams.flush_one(stream);
    if let Some(spliced) = worker.streams.get_mut(stream) {
        spliced.splice(connection);
    }
    if let Some(spliced) = worker.connections.get_mut(connection) {
        spliced.splice(stream);
    }
    // Either may have data that came before.
    worker.ready.add(Source::Connection(connection));
    worker.ready.add(Source::Stream(stream));
}

/// Closes a stream whose connection is closed, once its client has read everything.
fn unsplice(worker: &mut Worker, stream: StreamId) {
    if let Some(spliced) = worker.streams.get_mut(stream) {
        spliced.unsplice();
    }
    worker.streams.close_when_flushed(stream);
}
