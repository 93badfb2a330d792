//! Latencies, counted in buckets of about 3 %.

use std::time::Duration;

/// Buckets for each doubling.
const STEPS: u32 = 32;

/// A count for each bucket of latencies.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; 64 * STEPS as usize], max: 0 }
    }

    /// Counts a latency.
    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = latency.as_nanos() as u64;
        self.max = self.max.max(nanos);
        self.counts[Self::bucket(nanos)] += 1;
    }

    /// Returns the latency that a share of all stay within, from 0 to 1; zero if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let mut left = (total as f64 * share).ceil().max(1.0) as u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            if *count >= left {
                return Duration::from_nanos(Self::value(bucket));
            }
            left -= count;
        }
        Duration::ZERO
    }

    /// Returns the longest latency.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// Returns the bucket of a latency. Numbers below `STEPS` have a bucket each; above, each
    /// doubling has `STEPS` of them.
    fn bucket(nanos: u64) -> usize {
        if nanos < u64::from(STEPS) {
            return nanos as usize;
        }
        let shift = nanos.ilog2() - STEPS.ilog2();
        let step = (nanos >> shift) - u64::from(STEPS);
        ((shift + 1) * STEPS) as usize + step as usize
    }

    /// Returns the middle of a bucket.
    fn value(bucket: usize) -> u64 {
        let (row, step) = (bucket as u32 / STEPS, bucket as u64 % u64::from(STEPS));
        match row {
            0 => step,
            row => {
                let low = (u64::from(STEPS) + step) << (row - 1);
                low + (1 << (row - 1)) / 2
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_have_the_expected_values() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for micros in 1..=1000 {
            histogram.add(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = histogram.quantile(share).as_secs_f64() * 1e6;
            assert!((got / micros - 1.0).abs() < 0.04, "{share}: {got}");
        }
        assert_eq!(histogram.max(), Duration::from_millis(1));
    }

    proptest! {
        #[test]
        fn the_value_of_a_bucket_is_close_to_its_samples(nanos in 0u64..1 << 50) {
            let value = Histogram::value(Histogram::bucket(nanos));
            prop_assert!(value.abs_diff(nanos) as f64 <= nanos as f64 / 32.0 + 1.0);
        }
    }
}
