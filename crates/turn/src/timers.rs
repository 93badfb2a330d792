//! The timers of an engine. Each belongs to a [`Deadline`](callbox_base::deadline::Deadline), but
//! for those of reserved ports, which run once.

use std::net::IpAddr;

use callbox_base::clock::TimerQueue;
use callbox_stun::ChannelNumber;

use super::{AllocationId, ConnectionId, relay_ports::ReservationToken};

/// Something that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Allocation(AllocationId),
    Permission(AllocationId, IpAddr),
    Channel(AllocationId, ChannelNumber),
    Connection(ConnectionId),
    Reservation(ReservationToken),
}

/// The running timers, ordered by the times at which they are due.
pub(super) type Timers = TimerQueue<Timer>;
