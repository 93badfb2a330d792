//! One direction of one allocation, as a link with faults.

use std::time::{Duration, Instant};

use callbox_turn::{
    Direction,
    faults::{Injected, Injection},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::PacketRule;

/// The longest time that a packet may wait for bandwidth; it is dropped if it had to wait longer,
/// as by a router with a full buffer.
const MAX_BACKLOG: Duration = Duration::from_secs(1);

/// The times at which a packet is sent: none if it is lost, two if it is duplicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Once(Instant),
    Twice(Instant),
}

/// The state of a link.
#[derive(Debug)]
pub(super) struct Link {
    rng: StdRng,
    /// The time at which the last packet has left a link with limited bandwidth.
    free_at: Instant,
    /// The time of the last packet that was held back: the next one is not sent before.
    last_due: Instant,
}

impl Link {
    /// Makes a link whose draws depend on the seed, the user and the direction alone: neither on
    /// the worker that serves the client, which the system chooses, nor on other clients' packets.
    pub(super) fn new(now: Instant, seed: u64, user: &str, direction: Direction) -> Self {
        let direction = match direction {
            Direction::Up => 0,
            Direction::Down => 1,
        };
        let seed = fnv1a(seed.to_le_bytes().into_iter().chain([direction]).chain(user.bytes()));
        Self { rng: StdRng::seed_from_u64(seed), free_at: now, last_due: now }
    }

    /// Decides on a packet of `len` bytes.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        rule: &PacketRule,
        len: usize,
        injected: &Injected,
    ) -> Fate {
        if self.draw(rule.loss) {
            injected.add(Injection::PacketLost);
            return Fate::Lost;
        }
        let mut leaves = now;
        if let Some(bandwidth) = rule.bandwidth {
            let starts = self.free_at.max(now);
            if starts - now > MAX_BACKLOG {
                injected.add(Injection::PacketOverflowed);
                return Fate::Lost;
            }
            let nanos = len as u128 * 8 * 1_000_000_000 / u128::from(bandwidth.max(1));
            leaves = starts + Duration::from_nanos(nanos as u64);
            self.free_at = leaves;
        }
        let due = if self.draw(rule.reorder) {
            injected.add(Injection::PacketReordered);
            leaves
        } else {
            let earliest = leaves + rule.delay - rule.jitter.min(rule.delay);
            let due = (earliest + self.draw_up_to(rule.jitter * 2)).max(self.last_due);
            self.last_due = due;
            due
        };
        if due > now {
            injected.add(Injection::PacketDelayed);
        }
        if self.draw(rule.duplicate) {
            injected.add(Injection::PacketDuplicated);
            return Fate::Twice(due);
        }
        Fate::Once(due)
    }

    /// Returns true with this probability. Without one, nothing is drawn, so that the draws of one
    /// fault do not depend on others that are off.
    fn draw(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability.min(1.0))
    }

    fn draw_up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        most.mul_f64(self.rng.random::<f64>())
    }
}

/// Returns the FNV-1a hash of bytes, which is the same in every build.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
