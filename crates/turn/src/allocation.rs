//! An allocation: one relayed address and what is bound to it. A dual allocation (RFC 8656 §7.2) is
//! two of them, one of each family, that know each other.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use callbox_base::{
    ids::{PeerAddr, RelayedAddr},
    usage::Usage,
};
use callbox_stun::{ChannelNumber, ErrorCode, EvenPort, Family, TransactionId};

use super::{
    ConnectionId, FiveTuple, RelayIp,
    limits::Limits,
    mobility::Mobility,
    relayed::Relayed,
    shared::{ReservationToken, Taken},
    sorted_map::SortedMap,
};
use crate::auth::TurnIdentity;

/// Names an allocation within its worker. A name is used again once the allocation is closed and
/// its [`CloseRelay`](super::Output::CloseRelay) has been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId(pub u32);

/// The time for which CreatePermission opens an address: "The Permission Lifetime MUST be 300
/// seconds" (RFC 8656 §9).
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// The time for which ChannelBind binds a channel, and opens its peer's address: "Channel bindings
/// last for 10 minutes unless refreshed" (RFC 8656 §12).
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// The lifetime of an allocation for which no longer one is asked (RFC 8656 §7.2).
pub(super) const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// How long a port is kept for the holder of a reservation token (RFC 8656 §7.2: 30 s).
pub(super) const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// What is relayed: the protocol between the server and the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// RFC 8656
    Udp,
    /// RFC 6062
    Tcp,
}

/// What stands under an [`AllocationId`].
#[derive(Debug)]
pub(super) enum Slot {
    /// The socket is being opened; the client has had no answer.
    Opening(Box<Opening>),
    /// The client has had its success.
    Open(Box<Allocation>),
}

/// Which port an allocation may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any.
    Any,
    /// One that EVEN-PORT allows.
    Even(EvenPort),
    /// The one that was reserved for it.
    Reserved,
}

/// An allocation whose socket is being opened.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub tuple: FiveTuple,
    pub identity: TurnIdentity,
    pub transaction: TransactionId,
    pub fingerprint: bool,
    pub lifetime: Duration,
    pub taken: Taken,
    pub transport: Transport,
    /// What the port must be like.
    pub wanted: Wanted,
    /// How many ports have been tried.
    pub attempts: u32,
    /// Whether its client is told of ICMP errors.
    pub hears_icmp: bool,
    /// Whether its client may move.
    pub mobile: bool,
    /// Its client is gone.
    pub abandoned: bool,
    /// What else its client is to have.
    pub second_family: SecondFamily,
}

/// The other address of a dual allocation (RFC 8656 §7.2), seen from one that is being opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum SecondFamily {
    /// None was asked for.
    Nothing,
    /// An IPv6 address, once it is known what becomes of this one.
    V6,
    /// The IPv4 address under this id, whose socket is open.
    Opened(AllocationId),
    /// It cannot be had.
    Failed(ErrorCode),
}

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
    /// Where its port must be given back.
    pub ip: RelayIp,
    pub port: u16,
    /// Its address, by the name that the world knows.
    pub relayed: RelayedAddr,
    pub opened: Instant,
    pub expires: Instant,
    pub transport: Transport,
    /// Its connections to peers, if it relays TCP.
    pub connections: Vec<ConnectionId>,
    pub permissions: SortedMap<IpAddr, Permission>,
    pub channels: SortedMap<ChannelNumber, Channel>,
    /// The channel of each peer that has one.
    pub channel_of: SortedMap<PeerAddr, ChannelNumber>,
    /// What its client has relayed, over both addresses of a dual allocation.
    pub usage: Arc<Usage>,
    pub limits: Limits,
    /// Whether its client is told of ICMP errors.
    pub hears_icmp: bool,
    /// The address of the other family, of a dual allocation that has both.
    pub twin: Option<AllocationId>,
    /// What a client has that may move; of a dual allocation the first address has it.
    pub mobility: Option<Box<Mobility>>,
    /// Why the client was given no address of the other family, if it asked for one.
    pub missing: Option<ErrorCode>,
}

/// That datagrams may go to and come from an IP address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permission {
    pub expires: Instant,
    /// It is one of the server's own addresses as things are now: of its ports, those of open
    /// allocations may be reached.
    pub own: bool,
    /// It was not announced by the other side of a call when it had to be, which leaves it the same
    /// ports.
    pub unannounced: bool,
    /// The tenth of a second, of those since 1970, in which its client was last told of an ICMP
    /// error there.
    pub told: u32,
}

impl Permission {
    /// Whether only the ports of open allocations may be reached.
    #[inline]
    pub fn is_for_relayed(&self) -> bool {
        self.own || self.unannounced
    }
}

/// A peer's short name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    pub peer: PeerAddr,
    /// Where datagrams for the peer are sent.
    pub wire: SocketAddr,
    pub expires: Instant,
}

impl Allocation {
    pub fn family(&self) -> Family {
        if self.ip.0.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Whether there is a permission for `ip`.
    pub fn permits(&self, ip: IpAddr) -> bool {
        self.permissions.get(&ip).is_some()
    }

    /// Whether a datagram may pass between this allocation and a peer that is `wire` on the wire:
    /// there is a permission, and if the address is one of our own, a relayed address behind it.
    #[inline]
    pub fn may_pass(&self, peer: PeerAddr, wire: SocketAddr, open: &Relayed) -> bool {
        let permission = self.permissions.get(&peer.0.ip());
        // Datagrams have no way through an allocation of TCP (RFC 6062 §4.3).
        self.transport == Transport::Udp
            && permission.is_some_and(|permission| {
                !permission.is_for_relayed() || open.contains(wire, Transport::Udp)
            })
    }
}
