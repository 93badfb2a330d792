//! An allocation: one relayed address and what is bound to it. A dual allocation (RFC 8656 §7.2) is
//! two of them, one of each family, that know each other.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    ids::{PeerAddr, RelayedAddr},
    usage::Usage,
};
use callbox_stun::{ErrorCode, Family, TransactionId};

use super::{
    AllocationId, ConnectionId, FiveTuple, RelayIp, channels::Channels, limits::Limits,
    mobility::MobileNumber, permissions::Permissions, relay_ports::ReservationToken,
    relayed::Relayed, transport::Transport,
};
use crate::auth::TurnIdentity;

/// An open allocation.
#[derive(Debug)]
pub(super) struct Allocation {
    pub tuple: FiveTuple,
    pub owner: TurnIdentity,
    /// The transaction that opened it: its retransmission gets the same success again.
    pub transaction: TransactionId,
    /// The lifetime that the client was told when it was opened.
    pub lifetime: Duration,
    /// The token that the client was told when it was opened.
    pub reserved: Option<ReservationToken>,
    /// The address and the port that it has taken, as the system knows them.
    pub ip: RelayIp,
    pub port: u16,
    /// The relayed address as peers know it.
    pub relayed: RelayedAddr,
    pub opened: Instant,
    pub expires: Instant,
    pub transport: Transport,
    /// Its connections to peers, if it relays TCP.
    pub connections: Vec<ConnectionId>,
    pub permissions: Permissions,
    pub channels: Channels,
    /// The counters of what its client has relayed, over both addresses of a dual allocation.
    pub usage: Arc<Usage>,
    pub limits: Limits,
    /// True if its client is told of ICMP errors.
    pub hears_icmp: bool,
    /// The address of the other family, of a dual allocation that has both.
    pub twin: Option<AllocationId>,
    /// The number of a client that may move; of a dual allocation the first address has it.
    pub mobility: Option<MobileNumber>,
    /// The reason for which the client was given no address of the other family, if it asked for
    /// one.
    pub missing: Option<ErrorCode>,
}

impl Allocation {
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
