//! The server's own addresses as peers. Own addresses are those of the machine and those translated
//! to them. Only ports of open allocations on them are permitted peers, so that two clients of one
//! server can talk and nothing else that runs here is within reach.

use std::net::{IpAddr, SocketAddr};

use callbox_base::ids::PeerAddr;
use callbox_stun::ErrorCode;

use super::{
    PeerPolicy, RelayAddresses, peer_policy::Verdict, relayed::Relayed,
    signaled_policy::SignaledScope, transport::Transport,
};

/// The ports of a peer's address that may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// All of them.
    Any,
    /// Those of open allocations: it is one of the server's own addresses.
    Relayed,
}

/// Returns the permitted ports of a peer's address, by where packets for it really go, after
/// translation, and by the addresses that the machine has now.
///
/// # Errors
/// 403 if nothing may be sent there.
pub(super) fn permitted_ports(
    addresses: &RelayAddresses,
    policy: &PeerPolicy,
    ip: IpAddr,
) -> Result<Ports, ErrorCode> {
    let wire = addresses.to_wire(PeerAddr(SocketAddr::new(ip, 0))).ip();
    let verdict = policy.verdict(ip);
    if verdict == Verdict::Denied {
        return Err(ErrorCode::Forbidden);
    }
    if addresses.is_own(ip) || addresses.is_own(wire) {
        // By the name of loopback itself: no other name of it is meant by who opens loopback.
        return if ip == wire && policy.opens_loopback(wire) {
            Ok(Ports::Any)
        } else if addresses.leads_to_relay(ip) {
            Ok(Ports::Relayed)
        } else {
            Err(ErrorCode::Forbidden)
        };
    }
    match verdict {
        Verdict::Allowed | Verdict::Public => Ok(Ports::Any),
        Verdict::Denied | Verdict::DeniedByDefault => Err(ErrorCode::Forbidden),
    }
}

/// Checks a peer, and returns its address on the wire. `scope` is what the signaled policy says of
/// its address.
///
/// # Errors
/// 403 if nothing may be sent there.
pub(super) fn check_peer(
    addresses: &RelayAddresses,
    policy: &PeerPolicy,
    open: &Relayed,
    peer: PeerAddr,
    scope: SignaledScope,
    transport: Transport,
) -> Result<SocketAddr, ErrorCode> {
    let ports = permitted_ports(addresses, policy, peer.0.ip())?;
    let wire = addresses.to_wire(peer);
    let allowed = peer.0.port() != 0
        // A listener as a peer would be a loop, or a way to our own pages from within.
        && !addresses.is_listener(wire, transport)
        && (scope == SignaledScope::Any && ports == Ports::Any || open.contains(wire, transport));
    allowed.then_some(wire).ok_or(ErrorCode::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AllocationId, Config, Owner};

    const SOMEBODY: Owner = Owner { worker: 0, allocation: AllocationId(0) };

    fn addresses(config: &Config, listeners: &[&str]) -> RelayAddresses {
        RelayAddresses::new(config, listeners.iter().map(|l| l.parse().unwrap()).collect())
    }

    fn peer(text: &str) -> PeerAddr {
        PeerAddr(text.parse().unwrap())
    }

    fn policy(allow: &[&str]) -> PeerPolicy {
        PeerPolicy::new(allow.iter().map(|net| net.parse().unwrap()).collect(), Vec::new())
    }

    #[test]
    fn behind_a_nat_both_names_lead_to_the_relay_s_open_ports() {
        let config = Config {
            external_ips: vec!["203.0.113.5/10.0.0.5".parse().unwrap()],
            ..Config::default()
        };
        let own = addresses(&config, &["10.0.0.5:3478"]);
        let relayed = PeerAddr(own.advertise("10.0.0.5:50000".parse().unwrap()).0);
        // 203.0.113.0/24 is special, and so is 10/8; our own relayed addresses stay open.
        let open = Relayed::new(own.relay_ips());
        assert_eq!(permitted_ports(&own, &config.peers, relayed.0.ip()), Ok(Ports::Relayed));
        let check =
            |peer| check_peer(&own, &config.peers, &open, peer, SignaledScope::Any, Transport::Udp);
        assert!(check(relayed).is_err());
        open.open(own.relay_ips()[0], 50000, SOMEBODY, Transport::Udp);
        assert_eq!(check(relayed), Ok("10.0.0.5:50000".parse().unwrap()));
        for text in ["203.0.113.5:3478", "203.0.113.5:50001", "203.0.113.6:50000"] {
            assert!(check(peer(text)).is_err(), "{text}");
        }
    }

    /// The pair leads to an address on which nothing is relayed.
    #[test]
    fn a_public_name_leads_to_no_private_address() {
        let config = Config {
            external_ips: vec!["8.8.4.4/10.0.0.5".parse().unwrap()],
            relay_ips: vec!["10.0.0.6".parse().unwrap()],
            peers: policy(&["8.8.0.0/16", "10.0.0.0/8"]),
            ..Config::default()
        };
        // The last two are the alternate address and its pair.
        let own = addresses(&config, &["10.0.0.5:3478", "10.0.0.7:3478"]);
        let open = Relayed::new(own.relay_ips());
        open.open(own.relay_ips()[0], 50000, SOMEBODY, Transport::Udp);
        for ip in ["8.8.4.4", "10.0.0.5", "10.0.0.7", "64:ff9b::8.8.4.4", "64:ff9b::10.0.0.5"] {
            assert!(permitted_ports(&own, &config.peers, ip.parse().unwrap()).is_err(), "{ip}");
            for transport in [Transport::Udp, Transport::Tcp] {
                for port in [5353, 6379, 50000] {
                    let at = PeerAddr(SocketAddr::new(ip.parse().unwrap(), port));
                    let checked =
                        check_peer(&own, &config.peers, &open, at, SignaledScope::Any, transport);
                    assert!(checked.is_err(), "{at:?}");
                }
            }
        }
        let relayed = check_peer(
            &own,
            &config.peers,
            &open,
            peer("10.0.0.6:50000"),
            SignaledScope::Any,
            Transport::Udp,
        );
        assert!(relayed.is_ok());
    }

    #[test]
    fn an_address_of_the_machine_is_own_as_long_as_it_has_it() {
        let config = Config { peers: policy(&["10.0.0.0/8"]), ..Config::default() };
        let own = addresses(&config, &["10.0.0.5:3478"]);
        let ports = |ip: &str| permitted_ports(&own, &config.peers, ip.parse().unwrap());
        for ip in ["10.0.0.9", "9.9.9.9", "64:ff9b::9.9.9.9"] {
            assert_eq!(ports(ip), Ok(Ports::Any), "{ip}");
        }
        own.replace_machine_networks(vec![
            "10.0.0.9/32".parse().unwrap(),
            "9.9.9.0/24".parse().unwrap(),
        ]);
        for ip in ["10.0.0.9", "9.9.9.9", "9.9.9.1", "64:ff9b::9.9.9.9", "64:ff9b::10.0.0.9"] {
            assert_eq!(ports(ip), Err(ErrorCode::Forbidden), "{ip}");
        }
        own.replace_machine_networks(Vec::new());
        assert_eq!(ports("10.0.0.9"), Ok(Ports::Any));
        assert_eq!(ports("10.0.0.5"), Ok(Ports::Relayed));
    }

    #[test]
    fn of_our_own_addresses_only_open_relayed_ones_are_peers() {
        let config = Config::default();
        let own = addresses(&config, &["8.8.4.4:3478", "[2606:4700::1]:3478", "127.0.0.1:3478"]);
        let open = Relayed::new(own.relay_ips());
        for ip in own.relay_ips() {
            open.open(*ip, 50000, SOMEBODY, Transport::Udp);
        }
        for (text, ok) in [
            ("8.8.4.4:50000", true),
            ("8.8.4.4:50001", false),
            ("8.8.4.4:3478", false),
            ("8.8.4.4:8080", false),
            ("8.8.4.4:0", false),
            ("8.8.8.8:80", true),
            ("8.8.8.8:0", false),
            ("[2606:4700::1]:50000", true),
            ("[2606:4700::1]:22", false),
            ("127.0.0.1:50000", false),
        ] {
            assert_eq!(
                check_peer(
                    &own,
                    &config.peers,
                    &open,
                    peer(text),
                    SignaledScope::Any,
                    Transport::Udp
                )
                .is_ok(),
                ok,
                "{text}"
            );
        }
    }

    #[test]
    fn even_an_allowed_listener_is_no_peer() {
        let config = Config {
            peers: PeerPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]),
            ..Config::default()
        };
        let own = addresses(&config, &["127.0.0.1:3478"]);
        let open = Relayed::new(own.relay_ips());
        assert!(
            check_peer(
                &own,
                &config.peers,
                &open,
                peer("127.0.0.1:3478"),
                SignaledScope::Any,
                Transport::Udp
            )
            .is_err()
        );
        assert!(
            check_peer(
                &own,
                &config.peers,
                &open,
                peer("127.0.0.1:9"),
                SignaledScope::Any,
                Transport::Udp
            )
            .is_ok()
        );
    }

    #[test]
    fn no_listener_of_this_process_is_a_peer_of_a_connect() {
        let config = Config {
            peers: policy(&["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128"]),
            tcp_listeners: ["0.0.0.0:8080", "10.0.0.5:8080", "[::1]:443"]
                .map(|at| at.parse().unwrap())
                .to_vec(),
            ..Config::default()
        };
        let own = addresses(&config, &["10.0.0.5:3478"]);
        let open = Relayed::new(own.relay_ips());
        let check = |text: &str, transport| {
            check_peer(&own, &config.peers, &open, peer(text), SignaledScope::Any, transport)
                .is_ok()
        };
        for text in
            ["10.0.0.5:3478", "10.0.0.5:8080", "127.0.0.1:8080", "127.9.9.9:8080", "[::1]:443"]
        {
            assert!(!check(text, Transport::Tcp), "{text}");
        }
        for text in ["10.0.0.6:8080", "127.0.0.1:443", "[::1]:8080"] {
            assert!(check(text, Transport::Tcp), "{text}");
        }
        // They do not listen over UDP.
        assert!(check("127.0.0.1:8080", Transport::Udp));
        // A network that covers an own address opens nothing of it.
        assert!(!check("10.0.0.5:80", Transport::Tcp) && !check("10.0.0.5:80", Transport::Udp));
        // To the system, zeros are this machine.
        for text in ["0.0.0.0:8080", "0.0.0.0:3478", "[::]:443"] {
            assert!(!check(text, Transport::Tcp) && !check(text, Transport::Udp), "{text}");
        }
    }
}
