//! Token buckets, each kept as one number: the time up to which its rate is used up.
//!
//! An event costs the time that it takes at the rate, and passes if no more than the bucket's depth
//! is used up ahead of the present then. Time refills the bucket by going by, so there are no
//! tokens to add up and no fractions of them. This is the generic cell rate algorithm (GCRA) of
//! ITU-T I.371; RFC 2697 describes the same with tokens.

/// Takes `cost` from a bucket of `depth` whose rate is used up to `used`, all in nanoseconds. What
/// costs more than the depth passes when the bucket is full, and the rest is owed. Returns the time
/// up to which the rate is used up then.
///
/// # Errors
/// The time in which there will be room, in nanoseconds; nothing is taken.
#[inline]
pub fn take(used: u64, now: u64, cost: u64, depth: u64) -> Result<u64, u64> {
    let used = used.max(now);
    match used.saturating_add(cost.min(depth)).saturating_sub(now.saturating_add(depth)) {
        0 => Ok(used.saturating_add(cost)),
        wait => Err(wait),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bucket_gives_its_depth_at_once_and_then_the_rate() {
        let (cost, depth, mut used) = (10, 30, 0);
        for _ in 0..3 {
            used = take(used, 1000, cost, depth).unwrap();
        }
        assert_eq!(take(used, 1000, cost, depth), Err(10));
        assert_eq!(take(used, 1009, cost, depth), Err(1));
        used = take(used, 1010, cost, depth).unwrap();
        assert_eq!(take(used, 1010, cost, depth), Err(10));
    }

    #[test]
    fn more_than_the_depth_passes_when_the_bucket_is_full_and_is_owed() {
        let used = take(0, 1000, 100, 30).unwrap();
        assert_eq!(used, 1100);
        assert_eq!(take(used, 1000, 1, 30), Err(71));
        assert_eq!(take(used, 1071, 1, 30), Ok(1101));
        assert_eq!(take(used, 1100, 100, 30), Ok(1200));
    }

    proptest! {
        /// In any time no more passes than the rate gives in it, and the depth.
        #[test]
        fn no_more_passes_than_the_rate_and_the_depth(
            gaps in proptest::collection::vec(0u64..50, 1..200),
            cost in 1u64..40,
            depth in 1u64..200,
        ) {
            let (start, mut now, mut used, mut passed) = (1_000_000, 1_000_000, 0, 0);
            for gap in gaps {
                now += gap;
                match take(used, now, cost, depth) {
                    Ok(after) => {
                        used = after;
                        passed += cost;
                    }
                    // It passes after that time, and not before.
                    Err(wait) => {
                        prop_assert!(take(used, now + wait, cost, depth).is_ok());
                        prop_assert!(take(used, now + wait - 1, cost, depth).is_err());
                    }
                }
                prop_assert!(passed <= now - start + depth.max(cost));
            }
        }
    }
}
