//! Addresses at the edges of the server: IPv4-mapped IPv6 addresses, PROXY protocol headers by
//! listener, and listeners for both families.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use stun::attributes::ATTR_XORMAPPED_ADDRESS;

use crate::{
    common::{DEADLINE, Server, http},
    support::{
        ALLOCATE,
        plain_client::{Framed, Wire, mapped, parse},
    },
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

fn connect(at: &str) -> Framed<TcpStream> {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Framed::new(stream)
}

/// Returns a PROXY protocol header of version 1 for an IPv4 client, as haproxy writes it when it
/// listens for both families on one socket.
fn mapped_header(client: &str) -> String {
    format!("PROXY TCP6 ::ffff:{client} ::ffff:198.51.100.1 5000 3478\r\n")
}

/// Returns the header of version 2 for the same client (§2.2).
fn mapped_header_v2(client: [u8; 4]) -> Vec<u8> {
    let mapped = |ip: [u8; 4]| std::net::Ipv4Addr::from(ip).to_ipv6_mapped().octets();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    header.extend(mapped(client));
    header.extend(mapped([198, 51, 100, 1]));
    header.extend([0x13, 0x88, 0x0d, 0x96]);
    header
}

/// Returns the family (RFC 8489 §14.1) and the address in a Binding response.
fn mapped_address(response: &[u8]) -> (u8, String) {
    let family = parse(response).get(ATTR_XORMAPPED_ADDRESS).unwrap()[1];
    (family, mapped(response).ip().to_string())
}

#[test]
fn a_mapped_address_in_a_proxy_header_is_reported_as_ipv4() {
    let server = Server::with(&["--proxy-protocol", "127.0.0.1"]);
    for header in [mapped_header("192.0.2.7").into_bytes(), mapped_header_v2([192, 0, 2, 7])] {
        let stream = connect(server.turn());
        stream.write(&[&header, BINDING].concat());
        assert_eq!(mapped_address(&stream.take()), (1, "192.0.2.7".to_owned()));
    }
}

/// All IPv4-mapped addresses are in one /64 network, which counts as one address: the clients
/// behind one proxy shared one limit of replies to requests without credentials.
#[test]
fn clients_with_mapped_addresses_have_separate_reply_limits() {
    let proxy = ["--proxy-protocol", "127.0.0.1"];
    let limits = ["--max-unauthenticated-replies", "4", "--workers", "1"];
    let server = Server::with(&[&proxy[..], &limits].concat());
    for client in 1..=4 {
        let stream = connect(server.turn());
        let header = mapped_header(&format!("192.0.2.{client}"));
        stream.write(&[header.as_bytes(), ALLOCATE, ALLOCATE].concat());
        for _ in 0..2 {
            assert_eq!(stream.take()[..2], [1, 0x13], "client {client} gets an error response");
        }
    }
}

#[test]
fn clients_with_mapped_addresses_have_separate_connection_limits() {
    let limit = ["--max-connections-per-address", "1"];
    let proxy = ["--proxy-protocol", "127.0.0.1"];
    let server = Server::with(&[&limit[..], &proxy].concat());
    let ask = |client: &str| {
        let stream = connect(server.turn());
        stream.write(&[mapped_header(client).as_bytes(), BINDING].concat());
        stream
    };
    let open = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ask);
    open.iter().for_each(|stream| assert_eq!(stream.take()[..2], [1, 1]));
    assert!(ask("192.0.2.2").rest().is_some(), "that client has a connection");
}

/// An IPv4-mapped network equals the IPv4 network.
#[test]
fn options_accept_mapped_addresses() {
    let server = Server::with(&["--proxy-protocol", "::ffff:127.0.0.0/104"]);
    let stream = connect(server.turn());
    stream.write(&[mapped_header("192.0.2.7").as_bytes(), BINDING].concat());
    assert_eq!(mapped_address(&stream.take()).1, "192.0.2.7");
}

#[test]
fn a_health_check_needs_no_proxy_header_where_none_is_expected() {
    let server = Server::with(&["--proxy-protocol", "127.0.0.1", "--proxy-protocol-on", "listen"]);
    assert_eq!(server.get("/healthz", None).status, 200);
    // This listener requires a header from that address.
    let without = connect(server.turn());
    without.write(BINDING);
    assert!(without.rest().is_some());
    // Without the option every listener requires one.
    let everywhere = Server::with(&["--proxy-protocol", "127.0.0.1"]);
    let mut stream = TcpStream::connect(everywhere.authority()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"", "it is closed without an answer");
}

#[test]
fn listeners_without_networks_are_refused() {
    let error = Server::try_with(&["--proxy-protocol-on", "http"]).err().unwrap();
    assert!(error.contains("--proxy-protocol-on: it needs --proxy-protocol, too"), "{error}");
    let error = Server::try_with(&["--proxy-protocol-on", "turn"]).err().unwrap();
    assert!(error.contains("http, tls-listen, listen"), "{error}");
}

/// Runs in a network of its own, since it listens on every address. `[::]` serves both families,
/// and leaves IPv4 to a listener on `0.0.0.0` with the same port.
#[test]
#[cfg(target_os = "linux")]
fn a_listener_on_the_unspecified_ipv6_address_serves_ipv4() {
    const SCRIPT: &str = r#"
        set -eu
        ip link set lo up
        ask() { # ADDRESS: the status of /healthz
          exec 3<>"/dev/tcp/$1/8080"
          printf 'GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n' >&3
          head -1 <&3
        }
        serve() {
          exec 4< <("$CALLBOX" serve --ready-json --auth-secret 0123456789abcdef \
            --jwt-secret 0123456789abcdef0123456789abcdef --lifetime 1m "$@")
          server=$!
          trap 'kill $server' EXIT
          read -r _ <&4
        }
        serve --http '[::]:8080' --listen '127.0.0.1:3478'
        ask 127.0.0.1
        ask ::1
        kill $server
        wait $server || true
        # Both are named, on one port.
        serve --http '[::]:8080' --listen '127.0.0.1:8080'
        ask ::1
        kill $server
        wait $server || true
    "#;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "bash", "-c", SCRIPT])
        .env("PATH", path)
        .env("CALLBOX", env!("CARGO_BIN_EXE_callbox"))
        .output()
        .expect("unshare is there");
    let answers = String::from_utf8_lossy(&output.stdout);
    let expected = ["HTTP/1.1 200 OK"; 3];
    assert_eq!(
        answers.lines().collect::<Vec<_>>(),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A request over HTTP is served on a connection that begins with a PROXY protocol header.
#[test]
fn http_is_served_behind_a_proxy_header() {
    let server = Server::with(&["--proxy-protocol", "127.0.0.1"]);
    let request = format!(
        "{}GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        mapped_header("192.0.2.7")
    );
    assert_eq!(http::raw(server.authority(), request.as_bytes()).status, 200);
}
