//! nginx, Caddy and haproxy in front of the server, with the settings of `docs/behind-a-proxy.md`.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use callbox_client::{Message, mapped_address};
use rustls::{
    ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    common::{Server, identity},
    reverse_proxy::{
        Proxy, adapted,
        clients::{self, CLAIMED, CLIENT, Endpoint},
        free_port,
    },
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

/// Starts a server that trusts a proxy's headers, and logs the addresses of clients.
fn start() -> Server {
    Server::with(&["--trusted-proxy", "127.0.0.1", "--log-level", "debug"])
}

/// Returns the HTTP address of callbox in the samples, and the one to replace it with.
fn upstream(server: &Server) -> (&str, &str) {
    ("127.0.0.1:8080", server.authority())
}

/// Tests everything that an HTTP proxy passes on.
async fn check_proxy(server: Server, endpoint: Endpoint) {
    for path in ["/healthz", "/readyz"] {
        assert_eq!(endpoint.ask("GET", path, "").status, 200, "{path}");
    }
    assert_eq!(endpoint.ask("GET", "/metrics", "").status, 404, "the proxy keeps it inside");
    let module = endpoint.ask("GET", "/callbox.js", "");
    assert_eq!(
        (module.status, module.body.as_str()),
        (200, include_str!("../../clients/js/callbox.js"))
    );
    assert_eq!(endpoint.plain_websocket(&server.minted("alice", &[])).await, "alice");
    endpoint.socket_io(&server.minted("bob", &[])).await;

    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());
    for answered in [
        "method=\"GET\" page=\"/readyz\" status=200",
        "method=\"GET\" page=\"/ws\" status=101",
        "method=\"GET\" page=\"/socket.io\" status=200",
        "method=\"POST\" page=\"/socket.io\" status=200",
        "method=\"GET\" page=\"/socket.io\" status=101",
    ] {
        assert!(log.contains(&format!("client={CLIENT} {answered}")), "no {answered} in\n{log}");
    }
    assert!(!log.contains(CLAIMED), "a client is believed:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_behind_nginx() {
    let (server, port) = (start(), free_port());
    let text = adapted(
        "nginx",
        &[
            upstream(&server),
            ("listen 443 ssl;", &format!("listen 127.0.0.1:{port};")),
            ("    ssl_certificate     /etc/ssl/callbox/fullchain.pem;\n", ""),
            ("    ssl_certificate_key /etc/ssl/callbox/privkey.pem;\n", ""),
        ],
    );
    let proxy = Proxy::nginx(&text, port);
    check_proxy(server, Endpoint { authority: proxy.authority(), prefix: "" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_behind_nginx_under_a_path() {
    let (server, port) = (start(), free_port());
    let text = adapted(
        "nginx-path",
        &[
            upstream(&server),
            ("listen 443 ssl;", &format!("listen 127.0.0.1:{port};")),
            ("    ssl_certificate     /etc/ssl/www/fullchain.pem;\n", ""),
            ("    ssl_certificate_key /etc/ssl/www/privkey.pem;\n", ""),
        ],
    );
    let proxy = Proxy::nginx(&text, port);
    check_proxy(server, Endpoint { authority: proxy.authority(), prefix: "/callbox" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_behind_caddy() {
    let (server, port) = (start(), free_port());
    let text = adapted(
        "caddy",
        &[upstream(&server), ("callbox.example.com {", &format!("http://127.0.0.1:{port} {{"))],
    );
    let proxy = Proxy::caddy(&text, port);
    check_proxy(server, Endpoint { authority: proxy.authority(), prefix: "" }).await;
}

/// haproxy listens for both families on one socket, so IPv4 clients have mapped addresses.
#[tokio::test(flavor = "multi_thread")]
async fn everything_works_behind_haproxy() {
    let (server, port) = (start(), free_port());
    let text = adapted(
        "haproxy-http",
        &[
            upstream(&server),
            (
                "bind :::443 v4v6 ssl crt /etc/haproxy/callbox.pem alpn h2,http/1.1",
                &format!("bind ipv6@::ffff:127.0.0.1:{port} v4v6"),
            ),
        ],
    );
    let proxy = Proxy::haproxy(&text, port);
    proxy.wait_until_healthy("callbox");
    check_proxy(server, Endpoint { authority: proxy.authority(), prefix: "" }).await;
}

/// TURN and TLS are passed on unchanged, with a PROXY header; the health check requests `--http`
/// without one.
#[test]
fn connections_that_haproxy_forwards_have_their_client_s_address() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let listen = ["--tls-listen", "127.0.0.1:0"];
    let header = ["--proxy-protocol", "127.0.0.1", "--proxy-protocol-on", "tls-listen,listen"];
    let server = Server::with(&[&files[..], &listen, &header].concat());
    let (tls, turn) = (free_port(), free_port());
    let http_port = server.authority().rsplit_once(':').unwrap().1;
    let https = server.text("/https").strip_prefix("https://").unwrap();
    let text = adapted(
        "haproxy-tcp",
        &[
            ("bind :::443 v4v6", &format!("bind ipv6@::ffff:127.0.0.1:{tls} v4v6")),
            ("bind :::3478 v4v6", &format!("bind ipv6@::ffff:127.0.0.1:{turn} v4v6")),
            ("10.0.0.5:443 ", &format!("{https} ")),
            ("10.0.0.5:3478 ", &format!("{} ", server.turn())),
            ("check port 8080", &format!("check port {http_port}")),
        ],
    );
    let proxy = Proxy::haproxy(&text, turn);
    for backend in ["callbox_turn", "callbox_tls"] {
        proxy.wait_until_healthy(backend);
    }
    let mut stream = clients::connect(&proxy.authority());
    stream.write_all(BINDING).unwrap();
    let own = stream.local_addr().unwrap();
    assert_eq!(mapped(&clients::stun_message(&mut stream)), own);

    let mut stream = tls_stream(clients::connect(&format!("127.0.0.1:{tls}")), made.cert.der());
    stream.write_all(BINDING).unwrap();
    let own = stream.sock.local_addr().unwrap();
    assert_eq!(mapped(&clients::stun_message(&mut stream)), own);
}

/// Returns the client's address in a Binding response, in IPv4 form (RFC 8489 §14.2).
fn mapped(response: &[u8]) -> SocketAddr {
    let mut message = Message::new();
    message.unmarshal_binary(response).unwrap();
    mapped_address(&message).unwrap()
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Opens a TLS session with a server that has this certificate.
fn tls_stream(stream: TcpStream, certificate: &CertificateDer<'static>) -> Tls {
    let config = identity::trusting(certificate);
    let name = ServerName::try_from("127.0.0.1").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}
