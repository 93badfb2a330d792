//! The ends of what expires: allocations, permissions, channels, connections and reserved ports.

use super::{Engine, closing, connections, tracing};
use crate::{EndReason, TraceStep, timers::Timer};

/// Ends the subject of a timer that is due.
pub(super) fn expire(engine: &mut Engine, timer: Timer) {
    match timer {
        // Of a dual allocation each address has a life of its own (RFC 8656 §8.2).
        Timer::Allocation(id) => closing::close(engine, id, EndReason::Expired),
        Timer::Permission(id, ip) => {
            if let Ok(allocation) = engine.allocations.open_mut(id) {
                allocation.permissions_mut().remove(ip);
            }
            tracing::expired(engine, id, TraceStep::PermissionExpired(ip));
        }
        Timer::Channel(id, number) => {
            if let Ok(allocation) = engine.allocations.open_mut(id) {
                allocation.channels_mut().remove(number);
            }
            tracing::expired(engine, id, TraceStep::ChannelExpired(number.get()));
        }
        Timer::Connection(id) => connections::expire(engine, id),
        Timer::Reservation(token) => engine.common.shared.expire(token),
    }
}
