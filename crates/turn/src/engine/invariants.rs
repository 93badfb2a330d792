//! The invariants of an engine, which tests check after what they have done.

use super::Engine;
use crate::{Via, allocations::Allocation, timers::Timer};

/// Fails unless there is exactly one timer for each allocation, permission and channel.
pub(crate) fn assert_timers_fit(engine: &Engine) {
    let of_others = |timer: &Timer| matches!(timer, Timer::Reservation(_) | Timer::Connection(_));
    let timers = engine.timers.keys().filter(|timer| !of_others(timer));
    let of =
        |allocation: &Allocation| 1 + allocation.permissions().len() + allocation.channels().len();
    let expected: usize = engine.allocations.iter().map(|(_, allocation)| of(allocation)).sum();
    assert_eq!(timers.count(), expected);
}

/// Fails unless each channel has a permission for its peer that lasts as long as the channel, and
/// nothing is left that was due at `now`.
pub(crate) fn assert_channels_are_permitted(engine: &Engine, now: std::time::Instant) {
    for (_, allocation) in engine.allocations.iter() {
        for (number, channel) in allocation.channels().iter() {
            let permission = allocation.permissions().get(channel.peer.0.ip());
            let lasts = permission.is_some_and(|p| p.expires() >= channel.expires());
            assert!(lasts, "{number:?} to {:?}: {permission:?}", channel.peer);
        }
        let permissions = allocation.permissions().iter().map(|(_, p)| p.expires());
        let channels = allocation.channels().iter().map(|(_, c)| c.expires());
        assert!(permissions.chain(channels).all(|expires| expires > Some(now)));
    }
}

/// Fails unless each allocation leads to a stream that there is, or nowhere, and each client that
/// may move is known by its allocation.
pub(crate) fn assert_mobility_fits(engine: &Engine) {
    let mut clients = engine.mobility.assert_consistent();
    for (id, allocation) in engine.allocations.iter() {
        let (tuple, mobility) = (allocation.tuple(), allocation.mobility());
        if let Via::Stream(stream) = tuple.via
            && tuple.via != Via::NOWHERE
        {
            assert!(engine.streams.contains(stream), "{tuple:?} has no stream");
        }
        if let Some(number) = mobility {
            assert_eq!(clients.remove(&number), Some(id));
        }
    }
    assert!(clients.is_empty(), "{clients:?}");
}

/// Fails if anything is left of any allocation.
pub(crate) fn assert_nothing_is_left(engine: &Engine) {
    assert!(engine.allocations.is_empty());
    assert!(engine.mobility.is_empty());
    assert_eq!(engine.connections.len(), 0);
    assert_eq!(engine.timers.keys().count(), 0, "{:?}", engine.timers);
    assert!(engine.outputs.is_empty());
}

/// Returns the number of connections to peers.
pub(crate) fn connections(engine: &Engine) -> usize {
    engine.connections.len()
}

/// Returns the number of streams.
pub(crate) fn streams(engine: &Engine) -> usize {
    engine.streams.len()
}
