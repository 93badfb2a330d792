//! The timers of an engine: exactly one for each thing that expires.

use std::{net::IpAddr, time::Instant};

use callbox_base::clock::TimerQueue;
use callbox_stun::ChannelNumber;

use super::{AllocationId, ConnectionId, allocations::Allocation, relay_ports::ReservationToken};

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
#[derive(Debug, Default)]
pub(super) struct Timers(TimerQueue<Timer>);

impl Timers {
    /// Starts a timer that is due at `at`.
    pub(crate) fn start(&mut self, at: Instant, timer: Timer) {
        self.0.set(at, timer);
    }

    /// Moves a timer that was due at `before` to `at`, or starts it if it was not running.
    pub(crate) fn renew(&mut self, before: Option<Instant>, at: Instant, timer: Timer) {
        match before {
            Some(before) => self.0.reset(before, at, timer),
            None => self.0.set(at, timer),
        }
    }

    /// Stops a timer that was due at `at`, if it is running.
    pub(crate) fn stop(&mut self, at: Instant, timer: Timer) {
        self.0.clear(at, timer);
    }

    /// Stops the timers of an allocation that is closed, and those of its permissions and channels.
    pub(crate) fn stop_all_of(&mut self, id: AllocationId, allocation: &Allocation) {
        self.stop(allocation.expires(), Timer::Allocation(id));
        for (ip, permission) in allocation.permissions().iter() {
            self.stop(permission.expires(), Timer::Permission(id, ip));
        }
        for (number, channel) in allocation.channels().iter() {
            self.stop(channel.expires, Timer::Channel(id, number));
        }
    }

    /// Removes one timer that is due at `now`, the earliest first, and returns what expires.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        self.0.pop(now)
    }

    /// Returns the time at which the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.next()
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Timer> {
        self.0.keys()
    }
}
