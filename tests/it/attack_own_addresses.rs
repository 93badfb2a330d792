//! The machine's own addresses as peers, in networks that the tests create: services of the machine
//! are unreachable by each of its addresses, from the moment that an address is added.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    time::Instant,
};

use callbox_client::{Request, channel_data};
use rand::seq::IndexedRandom;

use crate::{
    common::{DEADLINE, Server, callbox, network::in_own_network},
    support::plain_client::{Framed, PlainClient},
};

const NO_PERMISSION: &str = "callbox_drops_total{reason=\"no_permission\"}";

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn serve(options: &str) -> Server {
    let mut command = callbox(&["serve", "--ready-json", "--lifetime", "5m", "--workers", "2"]);
    command.args(["--auth-secret", "north of here, a long way off"]);
    command.args(["--jwt-secret", "a secret of at least thirty-two bytes"]);
    command.args(["--realm", crate::support::REALM, "--user", "static:pass"]);
    command.args(options.split_whitespace());
    Server::spawn(&mut command)
}

fn over_tcp(server: &str) -> PlainClient<Framed<TcpStream>> {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    PlainClient::allocate_tcp(Framed::new(stream))
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Discards all received datagrams and returns their number.
fn drain(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).unwrap();
    let come = std::iter::from_fn(|| match socket.recv(&mut [0; 100]) {
        Ok(_) => Some(()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    });
    come.count()
}

/// The public address of a pair maps to a private one, to which nothing is relayed.
#[test]
fn a_public_name_leads_to_no_private_service() {
    let setup = "ip address add 10.0.0.5/32 dev lo && ip address add 10.0.0.6/32 dev lo \
                 && ip address add 10.0.0.7/32 dev lo";
    in_own_network(
        "attack_own_addresses::a_public_name_leads_to_no_private_service",
        setup,
        || {
            let pairs = "--relay-ip 10.0.0.6 --external-ip 8.8.4.4/10.0.0.5";
            for alternate in ["", "--alternate-ip 10.0.0.7 --external-ip 9.9.9.9/10.0.0.7"] {
                for allowed in ["", "--allow-peer 8.8.0.0/16,9.9.9.9/32,10.0.0.0/8"] {
                    let server = serve(&format!(
                        "--http 127.0.0.1:0 --listen 10.0.0.5:3478 {pairs} {alternate} {allowed}"
                    ));
                    let victims: Vec<_> = ["10.0.0.5:5353", "10.0.0.7:5353"]
                        .iter()
                        .map(|at| UdpSocket::bind(at).unwrap())
                        .collect();
                    let _redis = TcpListener::bind("10.0.0.5:6379").unwrap();
                    let client = PlainClient::allocate(at("10.0.0.5:3478"));
                    let stream = over_tcp("10.0.0.5:3478");
                    let mut names = vec!["8.8.4.4", "10.0.0.5", "10.0.0.7"];
                    names.extend(Some("9.9.9.9").filter(|_| !alternate.is_empty()));
                    for name in &names {
                        let (udp, tcp) = (at(&format!("{name}:5353")), at(&format!("{name}:6379")));
                        assert_eq!(client.try_permit(udp), Some(403), "a permission for {name}");
                        assert_eq!(client.try_bind(0x4000, udp), Some(403), "a channel to {name}");
                        client.send(udp, b"through");
                        let connected = stream.try_request(&Request::connect(tcp));
                        assert_eq!(connected, Some(403), "a connection to {name}");
                    }
                    server.wait_for_metric(NO_PERMISSION, |lost| lost == names.len() as f64);
                    assert!(victims.iter().all(|victim| drain(victim) == 0));
                    // An allocation of another client is a valid peer.
                    let other = PlainClient::allocate(at("10.0.0.5:3478"));
                    assert_eq!(client.try_bind(0x4001, other.relayed), None);
                }
            }
        },
    );
}

/// Existing permissions stop and new ones are refused, even if the operator allows the network.
#[test]
fn an_address_that_is_added_later_is_no_peer() {
    let setup = "ip address add 10.0.0.5/32 dev lo && ip route add 10.9.0.0/16 dev lo";
    in_own_network(
        "attack_own_addresses::an_address_that_is_added_later_is_no_peer",
        setup,
        || {
            let server =
                serve("--http 0.0.0.0:8080 --listen 10.0.0.5:3478 --allow-peer 10.0.0.0/8");
            let client = PlainClient::allocate(at("10.0.0.5:3478"));
            let stream = over_tcp("10.0.0.5:3478");
            let victim_at = at("10.9.9.9:5353");
            assert_eq!(client.try_bind(0x4000, victim_at), None, "it is not the machine's own yet");

            ip("address add 10.9.9.9/32 dev lo");
            let victim = UdpSocket::bind(victim_at).unwrap();
            // Packets are dropped once the server has noticed the address.
            let until = Instant::now() + DEADLINE;
            while server.metric(NO_PERMISSION) == 0.0 {
                assert!(Instant::now() < until, "an added address stays a peer");
                client.send(victim_at, b"through");
            }
            let lost = server.metric(NO_PERMISSION);
            drain(&victim);
            client.send(victim_at, b"through");
            client.socket.send(&channel_data(0x4000, b"through")).unwrap();
            server.wait_for_metric(NO_PERMISSION, |now| now >= lost + 2.0);
            assert_eq!(drain(&victim), 0);
            assert_eq!(client.try_permit(victim_at), Some(403));
            assert_eq!(client.try_bind(0x4000, victim_at), Some(403));
            for port in [8080, 6379] {
                let to = Request::connect(SocketAddr::new(victim_at.ip(), port));
                assert_eq!(stream.try_request(&to), Some(403), "port {port}");
            }

            // A route of type local gives a whole network to the machine, without an address.
            assert_eq!(client.try_permit(at("10.8.1.1:1")), None);
            ip("route add local 10.8.0.0/16 dev lo");
            let until = Instant::now() + DEADLINE;
            while client.try_permit(at("10.8.1.1:1")).is_none() {
                assert!(Instant::now() < until, "a local route stays a peer");
            }
            // An address that is removed belongs to another host again.
            ip("address del 10.9.9.9/32 dev lo");
            let until = Instant::now() + DEADLINE;
            while client.try_permit(victim_at).is_some() {
                assert!(Instant::now() < until, "a removed address stays the machine's");
            }
        },
    );
}

/// Addresses and local routes are added and removed at random. An address is a valid peer exactly
/// while it is not one of the machine's.
#[test]
fn peers_follow_random_changes_of_the_interface() {
    /// The added and removed addresses and routes, with the peers that each gives to the machine.
    const CHANGES: [(&str, &[&str]); 6] = [
        ("address {} 10.9.0.1/32 dev lo", &["10.9.0.1"]),
        ("address {} 10.9.0.2/32 dev lo", &["10.9.0.2"]),
        ("address {} 10.9.1.1/32 dev wire", &["10.9.1.1"]),
        ("address {} 10.9.1.2/32 dev wire", &["10.9.1.2"]),
        ("route {} local 10.9.2.0/24 dev lo", &["10.9.2.1", "10.9.2.2"]),
        ("route {} local 10.9.0.0/31 dev lo", &["10.9.0.1"]),
    ];
    let setup = "ip address add 10.0.0.5/32 dev lo && ip link add wire type veth peer name end \
                 && ip link set wire up && ip link set end up && ip route add 10.9.0.0/16 dev wire";
    in_own_network(
        "attack_own_addresses::peers_follow_random_changes_of_the_interface",
        setup,
        || {
            let _server =
                serve("--http 127.0.0.1:0 --listen 10.0.0.5:3478 --allow-peer 10.0.0.0/8");
            let client = PlainClient::allocate(at("10.0.0.5:3478"));
            let (mut there, mut history) = (BTreeSet::new(), Vec::new());
            for _ in 0..120 {
                let (change, _) = CHANGES.choose(&mut rand::rng()).unwrap();
                let what = if there.remove(change) {
                    change.replace("{}", "del")
                } else {
                    there.insert(*change);
                    change.replace("{}", "add")
                };
                ip(&what);
                history.push(what);
                let own: BTreeSet<_> = CHANGES
                    .iter()
                    .filter(|(change, _)| there.contains(change))
                    .flat_map(|(_, peers)| peers.iter().copied())
                    .collect();
                for peer in CHANGES.iter().flat_map(|(_, peers)| peers.iter().copied()) {
                    let expected = own.contains(peer).then_some(403);
                    let until = Instant::now() + DEADLINE;
                    while client.try_permit(at(&format!("{peer}:5353"))) != expected {
                        assert!(
                            Instant::now() < until,
                            "{peer} is not {expected:?} after {history:?}"
                        );
                    }
                }
            }
        },
    );
}
