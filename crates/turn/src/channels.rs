//! The channels of an allocation (RFC 8656 §12): two-byte names for peers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use callbox_base::{deadline::Deadline, ids::PeerAddr};
use callbox_stun::ChannelNumber;

use super::{
    AllocationId,
    sorted_map::SortedMap,
    timers::{Timer, Timers},
};

/// The time for which ChannelBind binds a channel, and opens its peer's address: "Channel bindings
/// last for 10 minutes unless refreshed" (RFC 8656 §12).
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// A channel that is bound to a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    pub peer: PeerAddr,
    /// The address to which datagrams for the peer are sent.
    pub wire: SocketAddr,
    due: Deadline,
}

impl Channel {
    /// Returns the time at which the binding ends.
    #[cfg(test)]
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.due.time()
    }
}

/// The channels of one allocation: a channel has one peer, and a peer one channel.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_number: SortedMap<ChannelNumber, Channel>,
    by_peer: SortedMap<PeerAddr, ChannelNumber>,
}

impl Channels {
    #[inline]
    pub(crate) fn get(&self, number: ChannelNumber) -> Option<&Channel> {
        self.by_number.get(&number)
    }

    /// Returns the channel of a peer, if it has one.
    #[inline]
    pub(crate) fn of_peer(&self, peer: PeerAddr) -> Option<ChannelNumber> {
        self.by_peer.get(&peer).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelNumber, &Channel)> {
        self.by_number.iter().map(|(number, channel)| (*number, channel))
    }

    /// Binds a channel of the allocation under `id` to a peer until `expires`, or refreshes the
    /// binding. Neither may be bound to another one.
    pub(crate) fn bind(
        &mut self,
        (id, number): (AllocationId, ChannelNumber),
        (peer, wire): (PeerAddr, SocketAddr),
        expires: Instant,
        timers: &mut Timers,
    ) {
        let mut due = self.get(number).map(|before| before.due).unwrap_or_default();
        due.set(expires, timers, Timer::Channel(id, number));
        self.by_peer.insert(peer, number);
        self.by_number.insert(number, Channel { peer, wire, due });
    }

    /// Stops the timers, as the allocation under `id` is closed.
    pub(crate) fn stop_timers(&mut self, id: AllocationId, timers: &mut Timers) {
        for (number, channel) in self.by_number.iter_mut() {
            channel.due.clear(timers, Timer::Channel(id, *number));
        }
    }

    /// Removes a binding that has expired.
    pub(crate) fn remove(&mut self, number: ChannelNumber) {
        if let Some(channel) = self.by_number.remove(&number) {
            self.by_peer.remove(&channel.peer);
        }
    }
}
