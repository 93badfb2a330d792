//! By which addresses clients should be told to come.

use std::net::SocketAddr;

use crate::turn::PeerPolicy;

/// How far an address leads, the farthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    World,
    Network,
    Machine,
}

fn reach(address: SocketAddr) -> Reach {
    if address.ip().is_loopback() {
        Reach::Machine
    } else if PeerPolicy::default().permits(address) {
        Reach::World
    } else {
        Reach::Network
    }
}

/// Of each family those addresses that lead farthest: where the world can come, nobody needs the
/// address of a container bridge. Loopback only where there is nothing else at all.
pub(super) fn farthest(addresses: impl Iterator<Item = SocketAddr> + Clone) -> Vec<SocketAddr> {
    let best = |v4: bool| addresses.clone().filter(|a| a.is_ipv4() == v4).map(reach).min();
    let overall = addresses.clone().map(reach).min();
    let mut chosen = Vec::new();
    for address in addresses.clone() {
        let reach = reach(address);
        let alone = reach == Reach::Machine && overall != Some(Reach::Machine);
        if Some(reach) == best(address.is_ipv4()) && !alone && !chosen.contains(&address) {
            chosen.push(address);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farthest(addresses: &[&str]) -> Vec<String> {
        let parsed: Vec<SocketAddr> =
            addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect();
        super::farthest(parsed.into_iter()).iter().map(|a| a.ip().to_string()).collect()
    }

    #[test]
    fn the_address_that_leads_farthest_is_told() {
        for (own, told) in [
            (&["127.0.0.1", "::1"][..], &["127.0.0.1", "::1"][..]),
            (&["127.0.0.1", "192.168.1.5", "::1"], &["192.168.1.5"]),
            (&["127.0.0.1", "172.17.0.1", "8.8.4.4", "::1"], &["8.8.4.4"]),
            (&["192.168.1.5", "2606:4700::1", "fd00::1"], &["192.168.1.5", "2606:4700::1"]),
            (&["8.8.4.4", "8.8.4.4"], &["8.8.4.4"]),
            (&["::1", "fd00::1"], &["fd00::1"]),
            (&[], &[]),
        ] {
            assert_eq!(farthest(own), told, "{own:?}");
        }
    }
}
