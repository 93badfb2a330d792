//! Clients behind a reverse proxy: trusted headers, and limits per client.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::common::{DEADLINE, Server};

/// The address that the proxy of these tests connects from.
const PROXY: &str = "127.0.0.2";

/// Starts a server that trusts the proxy, with a limit of connections per address.
fn start(per_address: &str) -> Server {
    let limit = ["--max-connections-per-address", per_address];
    Server::with(&[&["--trusted-proxy", PROXY, "--log-level", "debug"][..], &limit].concat())
}

/// A connection and the responses on it.
struct Connection(BufReader<TcpStream>);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn error(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap();
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Connection {
    fn from(ip: &str, server: &Server) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&format!("{ip}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
        let at: SocketAddr = server.authority().parse().unwrap();
        socket.connect(&at.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &str, headers: &[&str]) -> Answer {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!("{request} HTTP/1.1\r\nhost: 127.0.0.1\r\n{lines}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// Sends a WebSocket upgrade.
    fn upgrade(&mut self, headers: &[&str]) -> Answer {
        let upgrade = [
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        self.ask("GET /ws", &[&upgrade[..], headers].concat())
    }
}

fn proxied(server: &Server) -> Connection {
    Connection::from(PROXY, server)
}

#[test]
fn a_websocket_counts_for_the_client_that_the_proxy_names() {
    let server = start("1");
    let mut first = proxied(&server);
    assert_eq!(first.upgrade(&["x-forwarded-for: 192.0.2.1"]).status, 101);
    // Connections of the proxy itself and of other clients are not limited.
    let mut others: Vec<_> = (2..20).map(|_| proxied(&server)).collect();
    for (n, other) in others.iter_mut().enumerate() {
        assert_eq!(other.upgrade(&[&format!("x-forwarded-for: 192.0.2.{}", n + 2)]).status, 101);
    }
    let mut next = proxied(&server);
    for client in ["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 6.6.6.6, ::ffff:192.0.2.1"] {
        let refused = next.upgrade(&[client]);
        assert_eq!((refused.status, refused.error().as_str()), (429, "too_many_connections"));
        assert!(refused.head.contains("retry-after: 5\r\n"), "{}", refused.head);
    }
    assert_eq!(next.ask("GET /healthz", &["x-forwarded-for: 192.0.2.1"]).status, 429);
    assert_eq!(next.ask("GET /healthz", &["x-forwarded-for: 192.0.2.99"]).status, 200);
    // A request of the proxy itself.
    assert_eq!(next.ask("GET /healthz", &[]).status, 200);
    drop(first);
    // The slot is free once the server has noticed the end of the connection.
    while next.ask("GET /healthz", &["forwarded: for=192.0.2.1"]).status == 429 {
        std::thread::yield_now();
    }
    let refused = server.metric("callbox_refused_connections_total{limit=\"address\"}");
    assert!(refused >= 3.0, "{refused}");
}

/// A polling session begins without a connection of its own.
#[test]
fn polling_sessions_count_for_their_clients() {
    let server = start("2");
    let mut proxy = proxied(&server);
    let mut begin = |client: &str| {
        let header = format!("x-forwarded-for: {client}");
        proxy.ask("GET /socket.io/?EIO=4&transport=polling", &[&header]).status
    };
    assert_eq!([begin("192.0.2.1"), begin("192.0.2.1"), begin("192.0.2.1")], [200, 200, 429]);
    assert_eq!(begin("192.0.2.2"), 200);
}

#[test]
fn headers_from_untrusted_addresses_are_ignored() {
    let server = start("2");
    let _held = Connection::from("127.0.0.3", &server);
    let mut stranger = Connection::from("127.0.0.3", &server);
    // The header is ignored even if it is invalid.
    for headers in [
        &["x-forwarded-for: 192.0.2.1"][..],
        &["forwarded: for=\"", "x-forwarded-for: nonsense"],
        &["forwarded: for=192.0.2.1", "x-forwarded-for: 192.0.2.2", "x-forwarded-proto: https"],
    ] {
        assert_eq!(stranger.ask("GET /healthz", headers).status, 200, "{headers:?}");
    }
    let mut third = Connection::from("127.0.0.3", &server);
    let refused = third.ask("GET /healthz", &["x-forwarded-for: 192.0.2.3"]);
    assert_eq!(refused.status, 429, "it is a third connection from its address");
    drop(stranger);
    server.terminate();
    let (_, log) = server.wait();
    assert!(log.contains("request answered client=127.0.0.3"), "{log}");
    assert!(!log.contains("192.0.2."), "{log}");
}

#[test]
fn the_log_names_the_client() {
    let server = start("10");
    let mut proxy = proxied(&server);
    assert_eq!(proxy.ask("GET /readyz", &["x-forwarded-for: 6.6.6.6, 192.0.2.1"]).status, 200);
    server.terminate();
    let (_, log) = server.wait();
    let line = "client=192.0.2.1 method=\"GET\" page=\"/readyz\" status=200";
    assert!(log.contains(line), "{log}");
    assert!(!log.contains("6.6.6.6"), "{log}");
}

#[test]
fn unusable_headers_of_a_trusted_proxy_are_refused() {
    let server = start("10");
    let mut proxy = proxied(&server);
    let many = format!("x-forwarded-for: {}", ["127.0.0.2"; 40].join(","));
    for (headers, expected) in [
        (&["x-forwarded-for: nonsense"][..], "X-Forwarded-For of a trusted proxy"),
        (&["forwarded: for=\"", "x-forwarded-for: 192.0.2.1"], "Forwarded of a trusted proxy"),
        (&["forwarded: for=6.6.6.6", "x-forwarded-for: 192.0.2.1"], "name different clients"),
        (&[&many], "more than 32 proxies"),
    ] {
        let refused = proxy.ask("GET /healthz", headers);
        assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_payload"));
        assert!(refused.body.contains(expected), "{}", refused.body);
    }
}

/// They are open to local clients, and requests through a proxy come from outside.
#[test]
fn metrics_and_the_pages_of_dev_are_not_served_through_a_proxy() {
    let server = start("10");
    let key = format!("authorization: Bearer {}", server.text("/dev/apiKey"));
    let mut direct = Connection::from("127.0.0.1", &server);
    assert_eq!(direct.ask("GET /metrics", &[]).status, 200);
    assert_eq!(direct.ask("GET /", &[]).status, 200);
    // Through a proxy that is not configured.
    for mark in [
        "x-forwarded-for: 127.0.0.1",
        "forwarded: for=127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "via: 1.1 proxy",
    ] {
        assert_eq!(direct.ask("GET /metrics", &[mark]).status, 401, "{mark}");
        assert_eq!(direct.ask("GET /metrics", &[mark, &key]).status, 200, "{mark}");
        assert_eq!(direct.ask("GET /", &[mark]).status, 404, "{mark}");
    }
    // Through a configured proxy, with any header.
    let mut proxy = proxied(&server);
    for headers in [&[][..], &["x-forwarded-for: 127.0.0.1"]] {
        assert_eq!(proxy.ask("GET /metrics", headers).status, 401);
        assert_eq!(proxy.ask("GET /", headers).status, 404);
        assert_eq!(proxy.ask("GET /metrics", &[headers, &[key.as_str()]].concat()).status, 200);
    }
}

#[test]
fn metrics_are_not_served_through_a_balancer() {
    let server = Server::with(&["--proxy-protocol", PROXY]);
    let mut handed_on = proxied(&server);
    let header = b"PROXY TCP4 127.0.0.1 127.0.0.1 5000 8080\r\n";
    handed_on.0.get_mut().write_all(header).unwrap();
    assert_eq!(handed_on.ask("GET /metrics", &[]).status, 401);
    assert_eq!(handed_on.ask("GET /healthz", &[]).status, 200);
    // A request of the balancer itself.
    let mut own = proxied(&server);
    own.0.get_mut().write_all(b"PROXY UNKNOWN\r\n").unwrap();
    assert_eq!(own.ask("GET /metrics", &[]).status, 200);
}

/// A proxy that speaks HTTP, behind a balancer that does not.
#[test]
fn a_header_of_the_connection_may_name_a_trusted_proxy() {
    let options = ["--proxy-protocol", PROXY, "--trusted-proxy", "198.51.100.0/24"];
    let limit = ["--max-connections-per-address", "1"];
    let server = Server::with(&[&options[..], &limit].concat());
    let connect = || {
        let mut connection = proxied(&server);
        let header = b"PROXY TCP4 198.51.100.7 127.0.0.1 5000 8080\r\n";
        connection.0.get_mut().write_all(header).unwrap();
        connection
    };
    let (mut first, mut second) = (connect(), connect());
    assert_eq!(first.upgrade(&["x-forwarded-for: 192.0.2.1"]).status, 101);
    assert_eq!(second.upgrade(&["x-forwarded-for: 192.0.2.1"]).status, 429);
    assert_eq!(second.upgrade(&["x-forwarded-for: 192.0.2.2"]).status, 101);
}
