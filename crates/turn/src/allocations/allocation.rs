//! An allocation: one relayed address and what is bound to it. A dual allocation (RFC 8656 §7.2) is
//! two of them, one of each family, that know each other.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    deadline::Deadline,
    ids::{PeerAddr, RelayedAddr},
    usage::Usage,
};
use callbox_stun::{ErrorCode, Family, TransactionId};

use super::opening::Opening;
use crate::{
    AllocationId, ConnectionId, EndReason, Ended, FiveTuple, RelayIp,
    auth::{LongTermKey, TurnIdentity},
    channels::Channels,
    limits::Limits,
    mobility::MobileNumber,
    permissions::Permissions,
    relay_ports::ReservationToken,
    relayed::Relayed,
    timers::{Timer, Timers},
    transport::Transport,
};

/// An open allocation. What the indexes of [`Allocations`](super::Allocations) depend on, it alone
/// changes.
#[derive(Debug)]
pub(crate) struct Allocation {
    tuple: FiveTuple,
    owner: TurnIdentity,
    /// The transaction that opened it: its retransmission gets the same success again.
    transaction: TransactionId,
    /// The lifetime that the client was told when it was opened.
    lifetime: Duration,
    /// The token that the client was told when it was opened.
    reserved: Option<ReservationToken>,
    /// The address and the port that it has taken, as the system knows them.
    ip: RelayIp,
    port: u16,
    /// The relayed address as peers know it.
    relayed: RelayedAddr,
    opened: Instant,
    due: Deadline,
    transport: Transport,
    /// Its connections to peers, if it relays TCP.
    connections: Vec<ConnectionId>,
    permissions: Permissions,
    channels: Channels,
    /// The counters of what its client has relayed, over both addresses of a dual allocation.
    usage: Arc<Usage>,
    limits: Limits,
    /// True if its client is told of ICMP errors.
    hears_icmp: bool,
    /// The address of the other family, of a dual allocation that has both.
    twin: Option<AllocationId>,
    /// The number of a client that may move; of a dual allocation the first address has it.
    mobility: Option<MobileNumber>,
    /// The reason for which the client was given no address of the other family, if it asked for
    /// one.
    missing: Option<ErrorCode>,
}

impl Allocation {
    /// Makes an allocation of an address whose socket is open, known to peers as `relayed`.
    pub(crate) fn new(
        opening: &Opening,
        now: Instant,
        relayed: RelayedAddr,
        limits: Limits,
        usage: Arc<Usage>,
        twin: Option<AllocationId>,
    ) -> Self {
        let (request, taken) = (opening.request(), opening.taken());
        Self {
            tuple: request.tuple,
            owner: request.identity.clone(),
            transaction: request.transaction,
            lifetime: request.lifetime,
            reserved: taken.reserved,
            ip: taken.ip,
            port: taken.port,
            relayed,
            opened: now,
            due: Deadline::default(),
            transport: request.transport,
            connections: Vec::new(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            usage,
            limits,
            hears_icmp: request.hears_icmp,
            twin,
            mobility: None,
            missing: opening.missing(),
        }
    }

    /// Returns the way to its client.
    #[inline]
    pub(crate) fn tuple(&self) -> FiveTuple {
        self.tuple
    }

    /// Returns the identity that its requests must have.
    #[inline]
    pub(crate) fn owner(&self) -> &TurnIdentity {
        &self.owner
    }

    /// Returns the transaction that opened it.
    pub(crate) fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Returns the lifetime that the client was told when it was opened.
    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Returns the token that the client was told when it was opened.
    pub(crate) fn reserved(&self) -> Option<ReservationToken> {
        self.reserved
    }

    /// Returns the relay address whose port it has taken.
    pub(crate) fn ip(&self) -> RelayIp {
        self.ip
    }

    /// Returns the port that it has taken.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the relayed address as peers know it.
    pub(crate) fn relayed(&self) -> RelayedAddr {
        self.relayed
    }

    /// Returns the protocol that it relays.
    #[inline]
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns its connections to peers.
    pub(crate) fn connections(&self) -> &[ConnectionId] {
        &self.connections
    }

    /// Returns its permissions.
    #[inline]
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Returns its channels.
    #[inline]
    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Returns the counters of what its client has relayed.
    #[inline]
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Returns its limits.
    #[inline]
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns true if its client is told of ICMP errors.
    pub(crate) fn hears_icmp(&self) -> bool {
        self.hears_icmp
    }

    /// Returns the address of the other family, if it has one.
    #[inline]
    pub(crate) fn twin(&self) -> Option<AllocationId> {
        self.twin
    }

    /// Returns the number of its client, if it may move.
    pub(crate) fn mobility(&self) -> Option<MobileNumber> {
        self.mobility
    }

    /// Returns the reason for which it lacks the other family that was asked for.
    pub(crate) fn missing(&self) -> Option<ErrorCode> {
        self.missing
    }

    /// Changes its permissions.
    pub(crate) fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }

    /// Determines again which of its permitted addresses lack an announcement to its owner.
    pub(crate) fn update_announcements(
        &mut self,
        lacks_announcement: impl Fn(&TurnIdentity, IpAddr) -> bool,
    ) {
        let Self { owner, permissions, .. } = self;
        permissions.update_announcements(|ip| lacks_announcement(owner, ip));
    }

    /// Changes its channels.
    pub(crate) fn channels_mut(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// Notes the key and the expiry of the credentials that its client has shown last.
    pub(crate) fn renew_credentials(&mut self, key: LongTermKey, expires: Option<u64>) {
        self.owner.key = key;
        self.owner.expires = expires;
    }

    /// Sets the time at which the allocation, which has the name `id`, expires.
    pub(crate) fn set_expiry(&mut self, id: AllocationId, at: Instant, timers: &mut Timers) {
        self.due.set(at, timers, Timer::Allocation(id));
    }

    /// Stops its timers and those of its permissions and channels, as it is closed.
    pub(crate) fn stop_timers(&mut self, id: AllocationId, timers: &mut Timers) {
        self.due.clear(timers, Timer::Allocation(id));
        self.permissions.stop_timers(id, timers);
        self.channels.stop_timers(id, timers);
    }

    /// Adds a connection to a peer.
    pub(crate) fn add_connection(&mut self, id: ConnectionId) {
        self.connections.push(id);
    }

    /// Removes a connection that is closed.
    pub(crate) fn remove_connection(&mut self, id: ConnectionId) {
        self.connections.retain(|other| *other != id);
    }

    /// Gives it the number of a client that may move.
    pub(crate) fn set_mobility(&mut self, number: MobileNumber) {
        self.mobility = Some(number);
    }

    /// Changes the way to its client, which is indexed.
    pub(super) fn set_tuple(&mut self, tuple: FiveTuple) {
        self.tuple = tuple;
    }

    /// Notes that the address of the other family is closed.
    pub(super) fn forget_twin(&mut self) {
        self.twin = None;
    }

    /// Returns the summary of an allocation that is closed.
    pub(crate) fn into_ended(self, reason: EndReason) -> Ended {
        let Self { owner, tuple, relayed, opened, usage, .. } = self;
        let (user, call) = (owner.user, owner.call);
        Ended { user, call, tuple, relayed, opened, usage, reason }
    }

    /// Returns the family of its address.
    pub(crate) fn family(&self) -> Family {
        if self.ip.0.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Returns its relayed address as the system knows it.
    #[inline]
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.ip.0, self.port)
    }

    /// Returns true if a datagram may pass between this allocation and a peer that is `wire` on the
    /// wire: there is a permission, and if the address is one of the server's own, a relayed
    /// address behind it.
    #[inline]
    pub(crate) fn may_pass(&self, peer: PeerAddr, wire: SocketAddr, open: &Relayed) -> bool {
        let permission = self.permissions.get(peer.0.ip());
        // Datagrams have no way through an allocation of TCP (RFC 6062 §4.3).
        self.transport == Transport::Udp
            && permission.is_some_and(|permission| {
                !permission.is_for_relayed() || open.contains(wire, Transport::Udp)
            })
    }
}
