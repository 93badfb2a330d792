//! The addresses that the machine has at present.

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use ipnet::IpNet;

/// The networks whose packets the machine takes for itself, shared by all workers. The shell
/// replaces them when the system has others. The lock is taken for a request, never for a packet.
#[derive(Debug, Clone, Default)]
pub(super) struct MachineAddresses(Arc<RwLock<Vec<IpNet>>>);

impl MachineAddresses {
    /// Takes over what the machine has now. Returns true if it is not what was known.
    pub(crate) fn replace(&self, mut networks: Vec<IpNet>) -> bool {
        networks.sort();
        networks.dedup();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != networks;
        *known = networks;
        changed
    }

    /// Returns true if the machine has this address now.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let networks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        networks.iter().any(|network| network.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_addresses_count_and_only_a_change_is_one() {
        let machine = MachineAddresses::default();
        let replace = |networks: &[&str]| {
            machine.replace(networks.iter().map(|net| net.parse().unwrap()).collect())
        };
        let contains = |ip: &str| machine.contains(ip.parse().unwrap());
        assert!(!contains("10.0.0.5"));
        assert!(replace(&["10.0.0.5/32", "192.0.2.0/24"]));
        assert!(contains("10.0.0.5") && contains("192.0.2.7") && !contains("10.0.0.6"));
        assert!(!replace(&["192.0.2.0/24", "10.0.0.5/32", "10.0.0.5/32"]));
        assert!(replace(&["10.0.0.6/32"]));
        assert!(!contains("10.0.0.5") && contains("10.0.0.6"));
    }
}
