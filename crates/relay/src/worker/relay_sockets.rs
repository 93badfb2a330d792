//! Opening and closing the sockets of allocations, as the engine requests.

use std::{io, net::SocketAddr};

use callbox_base::clock::Now;
use callbox_turn::{AllocationId, OpenError};

use super::Worker;
use crate::source::Source;

/// Opens the socket of an allocation.
pub(super) fn open(
    worker: &mut Worker,
    now: Now,
    id: AllocationId,
    address: SocketAddr,
    errors: bool,
) -> Result<(), OpenError> {
    let token = worker.token(Source::Relay(id));
    let opened = worker.relays.open(worker.poll.registry(), token, id, address, errors);
    opened.map_err(|error| open_error(worker, now, &error))
}

/// Opens the listener of a TCP allocation.
pub(super) fn listen(
    worker: &mut Worker,
    now: Now,
    id: AllocationId,
    address: SocketAddr,
) -> Result<(), OpenError> {
    let token = worker.token(Source::TcpRelay(id));
    let opened = worker.connections.listen(worker.poll.registry(), token, id, address);
    opened.map_err(|error| open_error(worker, now, &error))
}

/// Returns the error that is reported to the engine for a socket that could not be opened.
fn open_error(worker: &mut Worker, now: Now, error: &io::Error) -> OpenError {
    if error.kind() == io::ErrorKind::AddrInUse {
        return OpenError::AddressInUse;
    }
    worker.log.no_socket(now, error);
    OpenError::System
}

/// Closes the sockets of an allocation. Datagrams that its client sent before leave through the
/// socket that they were meant for.
pub(super) fn close(worker: &mut Worker, id: AllocationId) {
    worker.send_batches();
    let registry = worker.poll.registry();
    worker.relays.close(registry, id);
    worker.connections.stop_listening(registry, id);
    worker.ready.forget(Source::TcpRelay(id));
}

/// Opens a connected socket from an allocation to a peer, instead of the one that it had.
pub(super) fn open_connected(worker: &mut Worker, id: AllocationId, peer: SocketAddr) {
    let token = worker.token(Source::Connected(id));
    if worker.relays.get(id).is_some_and(|relay| relay.connected_udp().is_some()) {
        // The batches are sent first, since they may hold datagrams for this socket.
        worker.send_batches();
        worker.relays.close_connected(worker.poll.registry(), id);
    }
    worker.relays.open_connected(worker.poll.registry(), token, id, peer);
}
