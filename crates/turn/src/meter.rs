//! The buckets of an allocation or of a user, for bytes of payload and for packets.

use std::time::{Duration, Instant};

use super::{
    DropReason,
    rate::{Buckets, Direction, Rate},
};

/// The largest number of bytes of a stream that are read at a time.
const READ: usize = 64 << 10;

/// The rates at which bytes and packets may pass, in each direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub bytes: Option<Rate>,
    pub packets: Option<Rate>,
}

impl Rates {
    /// Makes the rates; 0 is no limit.
    pub(crate) fn new(bytes_per_second: u64, packets_per_second: u64) -> Self {
        Self { bytes: Rate::new(bytes_per_second), packets: Rate::new(packets_per_second) }
    }
}

/// The buckets of an allocation or of a user.
#[derive(Debug)]
pub(super) struct Meter {
    since: Instant,
    bytes: Option<Buckets>,
    packets: Option<Buckets>,
}

impl Meter {
    /// Makes the buckets; `None` if there is no limit.
    pub(crate) fn new(rates: Rates, now: Instant) -> Option<Self> {
        let Rates { bytes, packets } = rates;
        (bytes.is_some() || packets.is_some()).then(|| Self {
            since: now,
            bytes: bytes.map(Buckets::new),
            packets: packets.map(Buckets::new),
        })
    }

    /// Returns the time since it was made. Workers read their clocks at different moments, so `now`
    /// may lie before `since`.
    #[inline]
    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_nanos() as u64
    }

    /// Returns the times up to which bytes and packets are used up once a packet has passed.
    #[inline]
    pub(crate) fn after(
        &self,
        direction: Direction,
        now: Instant,
        bytes: usize,
    ) -> Result<[Option<u64>; 2], DropReason> {
        let now = self.nanos(now);
        let after = |buckets: &Option<Buckets>, units, reason| match buckets {
            None => Ok(None),
            Some(buckets) => buckets.after(direction, now, units).map(Some).ok_or(reason),
        };
        let bytes = after(&self.bytes, bytes, DropReason::Bandwidth)?;
        let packets = after(&self.packets, 1, DropReason::PacketRate)?;
        Ok([bytes, packets])
    }

    /// Counts a packet by what [`Meter::after`] gave: there is one writer, so a plain load and
    /// store will do.
    #[inline]
    pub(crate) fn set(&self, direction: Direction, [bytes, packets]: [Option<u64>; 2]) {
        for (buckets, after) in [(&self.bytes, bytes), (&self.packets, packets)] {
            if let (Some(buckets), Some(after)) = (buckets, after) {
                buckets.set(direction, after);
            }
        }
    }

    /// Returns the time from which on bytes of a stream may pass.
    pub(crate) fn free_at(&self, direction: Direction) -> Option<Instant> {
        let nanos = self.bytes.as_ref()?.free_at(direction, READ);
        Some(self.since + Duration::from_nanos(nanos))
    }

    pub(crate) fn charge(&self, direction: Direction, now: Instant, bytes: usize) {
        if let Some(buckets) = &self.bytes {
            buckets.charge(direction, self.nanos(now), bytes);
        }
    }

    /// Lets a packet pass, and counts it, if there is room. Several threads may call it at once.
    #[inline]
    pub(crate) fn take(
        &self,
        direction: Direction,
        now: Instant,
        bytes: usize,
    ) -> Result<(), DropReason> {
        // Both are looked at first, so that a packet that one has no room for is not counted in the
        // other. If another thread takes the last room in between, it is, which costs the user a
        // packet.
        self.after(direction, now, bytes)?;
        let now = self.nanos(now);
        let take = |buckets: &Option<Buckets>, units, reason| match buckets {
            Some(buckets) if !buckets.take(direction, now, units) => Err(reason),
            _ => Ok(()),
        };
        take(&self.bytes, bytes, DropReason::Bandwidth)?;
        take(&self.packets, 1, DropReason::PacketRate)
    }
}
