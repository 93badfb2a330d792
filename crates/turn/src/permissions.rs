//! The permissions of an allocation (RFC 8656 §9): the addresses that datagrams may go to and come
//! from.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use callbox_base::deadline::Deadline;

use super::{
    AllocationId,
    sorted_map::SortedMap,
    timers::{Timer, Timers},
};

/// The time for which CreatePermission opens an address: "The Permission Lifetime MUST be 300
/// seconds" (RFC 8656 §9).
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// A permission for one address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permission {
    due: Deadline,
    /// True if it is one of the server's own addresses as things are now: of its ports, those of
    /// open allocations may be reached.
    is_own: bool,
    /// True if the address needs an announcement by another side of a call and has none, which
    /// leaves it the same ports.
    lacks_announcement: bool,
    /// The period, counted since 1970, in which an ICMP error there was last reported to the
    /// client.
    last_icmp: u32,
}

impl Permission {
    /// Returns true if only the ports of open allocations may be reached.
    #[inline]
    pub(crate) fn is_for_relayed(&self) -> bool {
        self.is_own || self.lacks_announcement
    }

    /// Returns the time at which it ends.
    #[cfg(test)]
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.due.time()
    }
}

/// The permissions of one allocation, by address.
#[derive(Debug, Default)]
pub(super) struct Permissions(SortedMap<IpAddr, Permission>);

impl Permissions {
    #[inline]
    pub(crate) fn get(&self, ip: IpAddr) -> Option<&Permission> {
        self.0.get(&ip)
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.0.get(&ip).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Permission)> {
        self.0.iter().map(|(ip, permission)| (*ip, permission))
    }

    /// Installs or refreshes a permission of the allocation under `id`: it lasts until `expires`,
    /// and never shorter than it did, since a channel to the address may need it for longer.
    pub(crate) fn install(
        &mut self,
        (id, ip): (AllocationId, IpAddr),
        expires: Instant,
        is_own: bool,
        lacks_announcement: bool,
        timers: &mut Timers,
    ) {
        let (mut due, last_icmp) =
            self.get(ip).map_or((Deadline::default(), 0), |before| (before.due, before.last_icmp));
        due.extend(expires, timers, Timer::Permission(id, ip));
        self.0.insert(ip, Permission { due, is_own, lacks_announcement, last_icmp });
    }

    /// Stops the timers, as the allocation under `id` is closed.
    pub(crate) fn stop_timers(&mut self, id: AllocationId, timers: &mut Timers) {
        for (ip, permission) in self.0.iter_mut() {
            permission.due.clear(timers, Timer::Permission(id, *ip));
        }
    }

    /// Removes a permission that has expired.
    pub(crate) fn remove(&mut self, ip: IpAddr) {
        self.0.remove(&ip);
    }

    /// Determines again which addresses are the server's own ones.
    pub(crate) fn update_own(&mut self, is_own: impl Fn(IpAddr) -> bool) {
        for (ip, permission) in self.0.iter_mut() {
            permission.is_own = is_own(*ip);
        }
    }

    /// Determines again which addresses lack the announcement that they need.
    pub(crate) fn update_announcements(&mut self, lacks_announcement: impl Fn(IpAddr) -> bool) {
        for (ip, permission) in self.0.iter_mut() {
            permission.lacks_announcement = lacks_announcement(*ip);
        }
    }

    /// Returns true if an ICMP error at an address may be reported to the client in this period:
    /// there is a permission for it, and none was reported in the same period before.
    pub(crate) fn may_report_icmp(&mut self, ip: IpAddr, period: u32) -> bool {
        let permission = self.0.get_mut(&ip);
        permission.is_some_and(|permission| {
            std::mem::replace(&mut permission.last_icmp, period) != period
        })
    }
}
