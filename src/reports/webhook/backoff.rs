//! The pauses after failures.

use std::time::Duration;

use rand::Rng;

/// The longest pause after the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause of all.
const LAST: Duration = Duration::from_secs(30);

/// Returns the pause after this many failures in a row: each time up to twice as long, and at least
/// half of that, at random, so that deliveries that failed together are not retried together.
pub(super) fn pause(failures: u32, rng: &mut impl Rng) -> Duration {
    let growth = 2u32.saturating_pow(failures.saturating_sub(1));
    let longest = FIRST.saturating_mul(growth).min(LAST);
    longest.mul_f64(rng.random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_differ() {
        let mut rng = StdRng::seed_from_u64(1);
        let longest =
            [(1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 30_000), (u32::MAX, 30_000)];
        for (failures, ms) in longest {
            let longest = Duration::from_millis(ms);
            let pauses: Vec<_> = (0..1000).map(|_| pause(failures, &mut rng)).collect();
            assert!(pauses.iter().all(|it| (longest / 2..=longest).contains(it)), "{failures}");
            let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(*least < longest.mul_f64(0.6) && *most > longest.mul_f64(0.9), "{failures}");
        }
    }
}
