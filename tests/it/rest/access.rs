//! Access to the API: by origin, and within the limits of connections.

use std::{io::Write, net::TcpStream};

use crate::common::{DEADLINE, Server, bearer, http};

#[test]
fn pages_of_other_origins_cannot_use_the_api() {
    let server = Server::with(&["--allow-origin", "https://app.example.com"]);
    let token = server.token("alice");
    let ask = |method: &str, origin: &str| {
        let mut headers = bearer(Some(&token));
        headers.push(("origin", origin.to_owned()));
        http::request(server.authority(), method, "/api/v1/ice-servers", &headers, None)
    };
    let evil = ask("GET", "https://evil.example");
    assert_eq!((evil.status, evil.error().as_str()), (403, "origin_not_allowed"));
    assert_eq!(evil.header("access-control-allow-origin"), None);
    let good = ask("GET", "https://app.example.com");
    assert_eq!(good.status, 200);
    assert_eq!(good.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(good.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(ask("OPTIONS", "https://app.example.com").status, 204);
    assert_eq!(ask("OPTIONS", "https://evil.example").status, 403);
    // A client that is no page sends no origin.
    assert_eq!(server.get("/api/v1/ice-servers", Some(&token)).status, 200);
}

#[test]
fn connections_per_address_are_limited() {
    let server = Server::with(&["--max-connections-per-address", "3"]);
    let mut connections: Vec<_> =
        (0..3).map(|_| TcpStream::connect(server.authority()).unwrap()).collect();
    let mut next = TcpStream::connect(server.authority()).unwrap();
    next.set_read_timeout(Some(DEADLINE)).unwrap();
    let refused = http::read(&mut next);
    assert_eq!((refused.status, refused.error().as_str()), (429, "too_many_connections"));
    // A connection that ends makes room for another one.
    let mut first = connections.remove(0);
    first.write_all(b"nonsense\r\n\r\n").unwrap();
    assert_eq!(http::read(&mut first).status, 400);
    drop(first);
    server.wait_for_metric("callbox_tcp_connections", |value| value == 3.0);
    let refused = "callbox_refused_connections_total{limit=\"address\"}";
    server.wait_for_metric(refused, |value| value >= 1.0);
}

#[test]
fn connections_in_total_are_limited() {
    let server = Server::with(&["--max-connections", "2"]);
    let connections =
        (TcpStream::connect(server.authority()), TcpStream::connect(server.authority()));
    let mut next = TcpStream::connect(server.authority()).unwrap();
    next.set_read_timeout(Some(DEADLINE)).unwrap();
    let refused = http::read(&mut next);
    assert_eq!((refused.status, refused.error().as_str()), (503, "too_many_connections"));
    drop(connections);
}
