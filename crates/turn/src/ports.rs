//! The free ports of one relay address.

use std::ops::RangeInclusive;

use rand::Rng;

/// The free ports. A port is drawn at random, so that nobody can guess the next one
/// (RFC 8656 §7.2), in constant time however few are left.
#[derive(Debug)]
pub(super) struct PortPool {
    first: u16,
    /// The free ports, in no order.
    free: Vec<u16>,
    /// The index in `free` of each port of the range.
    at: Vec<Option<u16>>,
}

impl PortPool {
    pub(crate) fn new(range: &RangeInclusive<u16>) -> Self {
        let free: Vec<u16> = range.clone().collect();
        let at = (0..free.len()).map(|at| Some(at as u16)).collect();
        Self { first: *range.start(), free, at }
    }

    /// Takes a port.
    pub(crate) fn take(&mut self, rng: &mut impl Rng) -> Option<u16> {
        let port = *self.free.get(self.random(rng)?)?;
        self.remove(port);
        Some(port)
    }

    /// Takes an even port (EVEN-PORT without R, RFC 8656 §7.2).
    pub(crate) fn take_even(&mut self, rng: &mut impl Rng) -> Option<u16> {
        let port = self.search(rng, |_, port| port % 2 == 0)?;
        self.remove(port);
        Some(port)
    }

    /// Takes an even port and the next one with it (EVEN-PORT with R, RFC 8656 §7.2).
    pub(crate) fn take_pair(&mut self, rng: &mut impl Rng) -> Option<u16> {
        let port = self.search(rng, |pool, port| port % 2 == 0 && pool.is_free(port + 1))?;
        self.remove(port);
        self.remove(port + 1);
        Some(port)
    }

    /// Gives a port back.
    pub(crate) fn give(&mut self, port: u16) {
        if self.is_free(port) {
            debug_assert!(false, "port {port} was given back twice");
            return;
        }
        if let Some(slot) = self.at.get_mut(usize::from(port.wrapping_sub(self.first))) {
            *slot = Some(self.free.len() as u16);
            self.free.push(port);
        }
    }

    /// Returns the number of free ports.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.free.len()
    }

    fn random(&self, rng: &mut impl Rng) -> Option<usize> {
        (!self.free.is_empty()).then(|| rng.random_range(0..self.free.len()))
    }

    /// Returns a free port that fits, the first from a random index onwards.
    fn search(&self, rng: &mut impl Rng, fits: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        let (before, after) = self.free.split_at(self.random(rng)?);
        after.iter().chain(before).copied().find(|port| fits(self, *port))
    }

    fn is_free(&self, port: u16) -> bool {
        let slot = self.at.get(usize::from(port.wrapping_sub(self.first)));
        matches!(slot, Some(Some(_)))
    }

    fn remove(&mut self, port: u16) {
        let Some(at) = self.at[usize::from(port - self.first)].take() else { return };
        self.free.swap_remove(usize::from(at));
        if let Some(moved) = self.free.get(usize::from(at)) {
            self.at[usize::from(moved - self.first)] = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_whole_range_is_used_until_it_is_exhausted() {
        for range in [49152..=65535, 1000..=1000, 65535..=65535] {
            let mut rng = StdRng::seed_from_u64(1);
            let mut pool = PortPool::new(&range);
            let taken: BTreeSet<u16> = std::iter::from_fn(|| pool.take(&mut rng)).collect();
            assert!(taken.into_iter().eq(range));
        }
    }

    proptest! {
        #[test]
        fn no_port_is_given_out_twice(seed: u64, steps in prop::collection::vec(0u8..5, 0..300)) {
            let mut rng = StdRng::seed_from_u64(seed);
            let range = 5001..=5040;
            let mut pool = PortPool::new(&range);
            let mut taken = BTreeSet::new();
            for step in steps {
                let got = match step {
                    0 => pool.take(&mut rng).into_iter().collect(),
                    1 => pool.take_even(&mut rng).into_iter().collect(),
                    2 => pool.take_pair(&mut rng).map_or(vec![], |p| vec![p, p + 1]),
                    _ => {
                        if let Some(port) = taken.pop_first() {
                            pool.give(port);
                        }
                        vec![]
                    }
                };
                if let (1 | 2, Some(port)) = (step, got.first()) {
                    prop_assert_eq!(port % 2, 0);
                }
                for port in got {
                    prop_assert!(range.contains(&port) && taken.insert(port));
                }
                prop_assert_eq!(pool.len() + taken.len(), 40);
            }
        }
    }
}
