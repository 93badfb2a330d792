//! The engine: one worker's share of the relay. It is composed of parts that own their state; the
//! children of this module do what needs several of them, one subject in each.

mod allocate;
mod answers;
mod binding;
mod channel_bind;
mod closing;
mod comprehension;
mod connect;
mod connection_bind;
mod connections;
mod create_permission;
mod dual_stack;
mod expiry;
mod icmp;
mod mobility;
mod opening;
mod policy;
mod refresh;
mod requests;
mod routes;
mod streams;
mod tracing;

#[cfg(test)]
pub(crate) mod invariants;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use callbox_base::{
    clock::Now,
    faults::Selector,
    ids::{CallId, ClientAddr, UserId},
};
use callbox_stun::{Icmp, Packet, Request};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    AllocationId, Common, ConnectionId, Direction, FiveTuple, FromClient, FromPeer, HandOver,
    Metrics, OpenError, Output, StreamId, allocations::Allocations, connections::Connections,
    faults::RequestFaults, mobility::Mobility, output::Outputs, streams::Streams, timers::Timers,
    trace::TraceCounts,
};

/// The TURN server of one worker: its allocations, its timers and its outputs. The [crate's
/// documentation](crate#the-run-loop) says how to drive it.
#[derive(Debug)]
pub struct Engine {
    common: Common,
    /// The worker's index in the list of workers.
    worker: u16,
    metrics: Arc<Metrics>,
    allocations: Allocations,
    streams: Streams,
    connections: Connections,
    mobility: Mobility,
    timers: Timers,
    outputs: Outputs,
    rng: StdRng,
    /// The requests that are to fail, for tests.
    request_faults: Option<Arc<RequestFaults>>,
    /// The counts for traces, if there are any.
    trace: Option<Box<TraceCounts>>,
}

impl Engine {
    /// Makes the engine of the worker with the index `worker`, of at most
    /// [`MAX_WORKERS`](crate::MAX_WORKERS), which counts in `metrics`. `seed` must be unguessable
    /// and another one for each worker: relayed ports, numbers of connections and mobility tickets
    /// come from it.
    pub fn new(common: Common, worker: u16, metrics: Arc<Metrics>, seed: [u8; 32]) -> Self {
        Self {
            allocations: Allocations::new(common.config.signaled_peers),
            trace: common.config.trace.then(Box::default),
            common,
            worker,
            metrics,
            streams: Streams::default(),
            connections: Connections::new(worker),
            mobility: Mobility::new(worker),
            timers: Timers::default(),
            outputs: Outputs::default(),
            rng: StdRng::from_seed(seed),
            request_faults: None,
        }
    }

    /// Takes out the next thing to be done. To be called after each input until it returns `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Returns the time at which [`Engine::handle_timeout`] is to be called next; `None` if nothing
    /// is due at any time. It may change with each input.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Ends everything whose time is over at `now`: allocations, permissions, channels, connections
    /// that were not bound, and reserved ports.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.instant) {
            expiry::expire(self, timer);
        }
    }

    /// Takes in a datagram from a client, or a message from a client's stream. If the verdict says
    /// to forward it, `packet` now holds the payload.
    #[inline]
    pub fn handle_client(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        packet: &mut Packet<'_>,
    ) -> FromClient {
        routes::handle_client(self, now, tuple, packet)
    }

    /// Takes in a packet for which [`FromClient::HandOver`] was the verdict, as if it had gone out
    /// and come in by the allocation's socket. It is judged again, since the allocation may have
    /// been closed in the meantime.
    #[inline]
    pub fn handle_relayed(&mut self, now: Now, way: HandOver, packet: &mut Packet<'_>) -> FromPeer {
        routes::handle_relayed(self, now, way, packet)
    }

    /// Takes in a datagram from `source` that an allocation's socket has received (RFC 8656 §11.3,
    /// §12.6). If the verdict says to forward it, `packet` now has its header, for which it needs
    /// [`HEADROOM`](crate::HEADROOM) free bytes on each side.
    ///
    /// # Panics
    /// Panics if `packet` has less room than that.
    #[inline]
    pub fn handle_peer(
        &mut self,
        now: Now,
        id: AllocationId,
        source: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> FromPeer {
        routes::handle_peer(self, now, id, source, packet)
    }

    /// Takes in an ICMP error that a datagram from an allocation to `to` has met with. The client
    /// is told if it has a permission for that address, at most ten times a second for each.
    ///
    /// It is told only if it can be expected to understand: RFC 5766 knows no Data indication
    /// without DATA, and clients of that age in wide use, those of Go and Rust among them, stop for
    /// good at one. A client that sends DONT-FRAGMENT or ADDITIONAL-ADDRESS-FAMILY with its
    /// Allocate wants to know which size fits, or knows RFC 8656.
    pub fn handle_icmp(&mut self, now: Now, id: AllocationId, to: SocketAddr, icmp: Icmp) {
        icmp::handle(self, now, id, to, icmp);
    }

    /// Takes in the outcome of [`Output::OpenRelay`] or [`Output::ListenRelay`]: the socket is
    /// open, or the reason for which it cannot be. To be called exactly once for each of them; the
    /// client is answered now, or another port is asked for.
    pub fn relay_opened(&mut self, now: Now, id: AllocationId, result: Result<(), OpenError>) {
        allocate::relay_opened(self, now, id, result);
    }

    /// Takes in the outcome of [`Output::Connect`]: `made` is true if the connection is open. The
    /// client is answered now. Does nothing for a connection that has been closed in the meantime.
    pub fn connected(&mut self, now: Now, id: ConnectionId, made: bool) {
        connect::connected(self, now, id, made);
    }

    /// Takes in a connection that a peer has made to the relayed address of an allocation. Returns
    /// its name, or `None` if the peer has no permission or there are too many: then close it at
    /// once (RFC 6062 §5.3).
    pub fn peer_connected(
        &mut self,
        now: Now,
        id: AllocationId,
        source: SocketAddr,
    ) -> Option<ConnectionId> {
        connections::accept(self, now, id, source)
    }

    /// Returns the time from which on bytes may go over a connection in a direction, if a limit
    /// holds them back until then. `None` if nothing does.
    pub fn connection_free_at(&self, id: ConnectionId, direction: Direction) -> Option<Instant> {
        let connection = self.connections.get(id)?;
        self.allocations.get(connection.allocation())?.limits().free_at(direction)
    }

    /// Counts `bytes` that went over a connection in a direction, for its limits and its usage.
    pub fn relayed_by_connection(
        &self,
        now: Now,
        id: ConnectionId,
        direction: Direction,
        bytes: usize,
    ) {
        connections::count_relayed(self, now, id, direction, bytes);
    }

    /// Forgets a connection and has it closed with its stream. To be called when the peer has
    /// closed it; does nothing if the connection is gone already.
    pub fn close_connection(&mut self, id: ConnectionId) {
        connections::close(self, id);
    }

    /// Takes in a client that has come over a stream to the server's address `local`. Returns the
    /// five-tuple with which its messages are to be handed in.
    pub fn stream_opened(&mut self, client: ClientAddr, local: IpAddr) -> FiveTuple {
        self.streams.insert(client, local)
    }

    /// Takes in the end of a client's stream. Its allocation ends with it, unless it may move.
    /// Nothing may be sent to the stream from now on, and its name may be used again.
    pub fn stream_closed(&mut self, id: StreamId) {
        streams::closed(self, id);
    }

    /// Returns true if there is an allocation for a five-tuple, or one is being opened.
    pub fn has_allocation(&self, tuple: FiveTuple) -> bool {
        self.allocations.on(tuple).is_some() || self.mobility.is_expected(tuple)
    }

    /// Returns true if a stream serves for something: an allocation, or a connection to a peer.
    pub fn is_in_use(&self, tuple: FiveTuple) -> bool {
        self.has_allocation(tuple) || self.streams.is_spliced(tuple)
    }

    /// Returns the index of the worker that a request is for, if it names one: a ConnectionBind by
    /// the number of its connection, and a Refresh by its mobility ticket. The request must then be
    /// handed to that worker's engine, whichever it has come to.
    pub fn worker_for(&self, request: &Request<'_>) -> Option<u16> {
        requests::worker_for(&self.common, request)
    }

    /// Closes every allocation of a call, and ends the permissions of `sides` that were granted for
    /// the call alone. [`Common::end_call`], which gives `sides`, comes first: from then on the
    /// call's credentials are refused.
    pub fn end_call(&mut self, call: CallId, sides: &[UserId]) {
        closing::end_call(self, call);
        policy::reapply_signaled(self, call, sides);
    }

    /// Closes every allocation that a user has for a call, and ends the permissions of `sides` that
    /// were granted by what the user has announced, and those of the user for the call.
    /// [`Common::revoke_user`], which gives `sides`, comes first: from then on the user's
    /// credentials for the call are refused.
    pub fn revoke_user(&mut self, call: CallId, user: &str, sides: &[UserId]) {
        closing::revoke_user(self, call, user);
        policy::reapply_signaled(self, call, sides);
    }

    /// Closes a user's allocations: all of them, or with `calls` those that are for no call or for
    /// one of these. Returns how many there were; each address of a dual allocation counts.
    /// [`Common::kick`] comes first: from then on the credentials are refused.
    ///
    /// Goes through all allocations of the worker, since only an operator asks for it.
    pub fn kick(&mut self, user: &str, calls: Option<&[CallId]>) -> usize {
        closing::kick(self, user, calls)
    }

    /// Lets requests fail from now on, for tests; `None` ends that.
    pub fn set_request_faults(&mut self, faults: Option<Arc<RequestFaults>>) {
        self.request_faults = faults;
    }

    /// Closes the allocations of `selector`, for tests, without a word to their clients. Returns
    /// their number; each address of a dual allocation counts.
    pub fn drop_allocations(&mut self, selector: &Selector) -> usize {
        closing::drop_selected(self, selector)
    }

    /// Returns the number of open allocations of `selector`; each address of a dual allocation
    /// counts.
    pub fn count_allocations(&self, selector: &Selector) -> usize {
        closing::selected(self, selector).count()
    }

    /// Returns the user and the call of an open allocation.
    pub fn owner(&self, id: AllocationId) -> Option<(&str, Option<CallId>)> {
        let owner = self.allocations.get(id)?.owner();
        Some((&owner.user, owner.call))
    }

    /// Returns the way to the client of an open allocation.
    pub fn client_of(&self, id: AllocationId) -> Option<FiveTuple> {
        Some(self.allocations.get(id)?.tuple())
    }

    /// Returns the allocation of a client, of a dual one the first address.
    pub fn allocation_of(&self, tuple: FiveTuple) -> Option<AllocationId> {
        self.allocations.on(tuple)
    }

    /// Notes a packet that the driver has lost on purpose, for traces.
    pub fn packet_lost(&mut self, id: AllocationId, direction: Direction) {
        tracing::lost(self, id, direction);
    }

    /// Judges permissions and connections again after [`Common::set_machine_addresses`] has
    /// returned true.
    pub fn addresses_changed(&mut self) {
        policy::reapply_own_addresses(self);
    }

    /// Closes every open allocation, as the server stops. The outputs say what is to be closed; one
    /// that is being opened is left alone.
    pub fn close_all(&mut self) {
        closing::close_all(self);
    }
}
