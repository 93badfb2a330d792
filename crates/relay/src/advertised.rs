//! The advertised addresses: those that clients connect to.

use std::{io, net::SocketAddr};

use callbox_turn::{PeerPolicy, RelayAddresses};

use super::listen;

/// The scope from which an address can be reached, the widest first.
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

/// The addresses at which clients reach listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerAddresses {
    /// The addresses of each family with the widest reach: beside a public address, nobody needs
    /// that of a container bridge. Loopback addresses are included only if there are no others at
    /// all.
    pub advertised: Vec<SocketAddr>,
    /// The private addresses of a family beside public ones of the other: most clients could not
    /// reach them.
    pub private: Vec<SocketAddr>,
}

/// Returns the addresses at which clients reach these listeners, which may be on unspecified
/// addresses.
pub(super) fn listener_addresses(
    addresses: &RelayAddresses,
    listeners: &[SocketAddr],
) -> io::Result<ListenerAddresses> {
    let all = listen::with_every_address(listeners.to_vec())?;
    let concrete = all.into_iter().filter(|at| !at.ip().is_unspecified());
    Ok(choose(concrete.map(|own| addresses.advertise(own).0).collect()))
}

fn choose(addresses: Vec<SocketAddr>) -> ListenerAddresses {
    let best = |v4: bool| addresses.iter().filter(|a| a.is_ipv4() == v4).map(|a| reach(*a)).min();
    let overall = addresses.iter().map(|a| reach(*a)).min();
    let mut chosen = ListenerAddresses::default();
    for &address in &addresses {
        let own = reach(address);
        if Some(own) != best(address.is_ipv4()) {
            continue;
        }
        let list = match (own, overall) {
            (Reach::Network, Some(Reach::World)) => &mut chosen.private,
            (Reach::Machine, Some(Reach::World | Reach::Network)) => continue,
            _ => &mut chosen.advertised,
        };
        if !list.contains(&address) {
            list.push(address);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(addresses: &[&str]) -> (Vec<String>, Vec<String>) {
        let parse = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), 1);
        let ListenerAddresses { advertised, private } =
            choose(addresses.iter().map(parse).collect());
        let texts = |addresses: Vec<SocketAddr>| {
            addresses.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>()
        };
        (texts(advertised), texts(private))
    }

    #[test]
    fn the_address_with_the_widest_scope_is_advertised() {
        for (own, expected) in [
            (&["127.0.0.1", "::1"][..], &["127.0.0.1", "::1"][..]),
            (&["127.0.0.1", "192.168.1.5", "::1"], &["192.168.1.5"]),
            (&["127.0.0.1", "172.17.0.1", "8.8.4.4", "::1"], &["8.8.4.4"]),
            (&["8.8.4.4", "8.8.4.4"], &["8.8.4.4"]),
            (&["8.8.4.4", "2606:4700::1"], &["8.8.4.4", "2606:4700::1"]),
            (&["::1", "fd00::1"], &["fd00::1"]),
            (&["192.168.1.5", "fd00::1"], &["192.168.1.5", "fd00::1"]),
            (&[], &[]),
        ] {
            let (chosen, private) = chosen(own);
            assert_eq!(chosen, expected, "{own:?}");
            assert!(private.is_empty(), "{own:?}: {private:?}");
        }
    }

    #[test]
    fn a_private_address_beside_a_public_one_is_not_advertised() {
        let own = ["192.168.1.5", "172.17.0.1", "2606:4700::1", "fd00::1", "127.0.0.1"];
        let (advertised, private) = chosen(&own);
        assert_eq!(advertised, ["2606:4700::1"]);
        assert_eq!(private, ["192.168.1.5", "172.17.0.1"]);
    }
}
