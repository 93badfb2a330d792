//! `--listen [::]:PORT` on a machine with addresses of both families, in a network namespace.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
};

use crate::{
    common::{DEADLINE, Server, callbox, network::in_own_network, pem, run, write_private},
    support::plain_client::{Framed, PlainClient, Wire, mapped},
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

/// The addresses of the machine, besides loopback.
const OWN: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// The commands that add these addresses.
const OWN_ADDRESSES: &str =
    "ip address add 192.0.2.1/32 dev lo && ip address add 2001:db8::1/128 dev lo nodad";

fn serve(listen: &[&str]) -> Server {
    let listen: Vec<_> = listen.iter().flat_map(|address| ["--listen", address]).collect();
    serve_with(&listen)
}

fn serve_with(options: &[&str]) -> Server {
    Server::spawn(command("serve").args(options))
}

/// Returns a command with the minimal options of a server.
fn command(name: &str) -> Command {
    let mut command = callbox(&[name, "--ready-json", "--http", "127.0.0.1:0", "--lifetime"]);
    command.args(["5m", "--auth-secret", "north of here, a long way off"]);
    command.args(["--jwt-secret", "a secret of at least thirty-two bytes"]);
    command.args(["--realm", crate::support::REALM, "--user", "static:pass"]);
    // Several workers, each with sockets of its own.
    command.args(["--workers", "2"]);
    command
}

/// Stops a server and returns its log.
fn stopped(server: Server) -> String {
    server.terminate();
    server.wait().1
}

/// Returns the STUN URIs for clients, which omit loopback if there are others.
fn stun_uris(server: &Server) -> Vec<String> {
    let uris = server.ready["stun"].as_array().unwrap().iter();
    uris.map(|uri| uri.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_unspecified_ipv6_address_serves_both_families() {
    in_own_network(
        "every_address::the_unspecified_ipv6_address_serves_both_families",
        OWN_ADDRESSES,
        || {
            let server = serve(&["[::]:3478"]);
            // The IPv6 URIs come first, as in the option.
            let expected = ["stun:[2001:db8::1]:3478", "stun:192.0.2.1:3478"];
            assert_eq!(stun_uris(&server), expected);
            for ip in OWN {
                let at = SocketAddr::new(ip.parse().unwrap(), 3478);
                let client = UdpSocket::bind(SocketAddr::new(at.ip(), 0)).unwrap();
                client.set_read_timeout(Some(DEADLINE)).unwrap();
                client.send_to(BINDING, at).unwrap();
                let mut buffer = [0; 200];
                let (len, from) = client.recv_from(&mut buffer).unwrap();
                // The response has the client's address in its own family, and comes from the
                // requested address.
                assert_eq!((from, mapped(&buffer[..len])), (at, client.local_addr().unwrap()));
                let stream = Framed::new(TcpStream::connect(at).unwrap());
                stream.put(BINDING);
                assert_eq!(mapped(&stream.take()).ip(), at.ip());
            }
            // An allocation without a requested family is IPv4 (RFC 8656 §7.2), here on the IPv4
            // address.
            let client = PlainClient::allocate("192.0.2.1:3478".parse().unwrap());
            assert_eq!(client.relayed.ip().to_string(), "192.0.2.1");
            assert!(!stopped(server).contains("WARN"));
        },
    );
}

#[test]
fn check_config_counts_the_ipv4_listeners_of_the_unspecified_ipv6_address() {
    let name =
        "every_address::check_config_counts_the_ipv4_listeners_of_the_unspecified_ipv6_address";
    in_own_network(name, OWN_ADDRESSES, || {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
        for (path, pem) in paths.iter().zip(pem::self_signed(&["192.0.2.1"])) {
            write_private(path, pem);
        }
        let options = ["--listen", "[::]:3478", "--external-ip", "8.8.4.4/192.0.2.1"];
        let tls = ["--tls-listen", "[::]:443", "--public-turn-uri", "turn:192.0.2.1:3478"];
        let files =
            ["--tls-cert", paths[0].to_str().unwrap(), "--tls-key", paths[1].to_str().unwrap()];
        for (options, told) in [
            (&options[..], "turn:8.8.4.4:3478?transport=udp"),
            (&[&tls[..], &files].concat(), "turns:192.0.2.1:443?transport=tcp"),
        ] {
            let server = serve_with(options);
            let uris = server.ready["turn"].as_array().unwrap();
            assert!(uris.iter().any(|uri| uri == told), "{uris:?}");
            let preview = run(command("check-config").args(options));
            assert_eq!(preview.status, 0, "{}", preview.stderr);
            for uri in uris {
                assert!(preview.stdout.contains(uri.as_str().unwrap()), "{}", preview.stdout);
            }
        }
    });
}

#[test]
fn an_ipv4_address_in_use_is_omitted_and_logged() {
    in_own_network(
        "every_address::an_ipv4_address_in_use_is_omitted_and_logged",
        OWN_ADDRESSES,
        || {
            let taken = TcpListener::bind("192.0.2.1:3478").unwrap();
            let server = serve(&["[::]:3478"]);
            assert_eq!(stun_uris(&server), ["stun:[2001:db8::1]:3478"]);
            let log = stopped(server);
            assert!(log.contains("--listen [::]:3478 does not take IPv4 here"), "{log}");
            assert!(log.contains("192.0.2.1:3478"), "{log}");
            drop(taken);
            // A listener that is named for IPv4 replaces the derived one.
            let server = serve(&["[::]:3478", "127.0.0.1:3478"]);
            assert_eq!(stun_uris(&server), ["stun:[2001:db8::1]:3478"]);
            let refused = UdpSocket::bind("192.0.2.1:0").unwrap();
            refused.connect("192.0.2.1:3478").unwrap();
            refused.set_read_timeout(Some(DEADLINE)).unwrap();
            refused.send(BINDING).unwrap();
            let error = refused.recv(&mut [0; 200]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        },
    );
}
