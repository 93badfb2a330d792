//! TLS: TURN, HTTP and WebSocket on one port, and replaced certificates.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use base64::Engine;
use callbox_client::channel_data;
use rustls::{
    ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    common::{DEADLINE, Server, callbox, identity, run},
    support::plain_client::{Framed, PlainClient, Wire},
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

/// A certificate in files that can be replaced.
struct Files {
    dir: tempfile::TempDir,
    current: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Self { dir, current: CertificateDer::from(Vec::new()) };
        files.replace();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn replace(&mut self) {
        let names = ["turn.example.com".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(self.path("cert.pem"), pem("CERTIFICATE", made.cert.der())).unwrap();
        fs::write(self.path("key.pem"), private_key(&made.signing_key)).unwrap();
        self.current = made.cert.der().clone();
    }

    /// Starts a server with TLS on a port of its own.
    fn serve(&self, options: &[&str]) -> Server {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let rest = ["--tls-listen", "127.0.0.1:0", "--realm", crate::support::REALM];
        let user = ["--user", "static:pass", "--workers", "2"];
        Server::with(&[&tls[..], &rest, &user, options].concat())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn private_key(key: &rcgen::KeyPair) -> String {
    pem("PRIVATE KEY", &key.serialize_der())
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(at: &str, certificate: &CertificateDer<'static>, alpn: &[&[u8]]) -> Tls {
    try_connect(at, certificate, alpn).unwrap()
}

/// Connects, trusting one certificate only.
fn try_connect(at: &str, certificate: &CertificateDer<'static>, alpn: &[&[u8]]) -> io::Result<Tls> {
    let mut config = identity::trusting(certificate);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(tls, stream))
}

/// Returns `host:port` of TLS.
fn tls_port(server: &Server) -> &str {
    server.text("/https").strip_prefix("https://").unwrap()
}

fn get(mut stream: Tls, path: &str, header: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn one_port_has_turn_https_and_websockets() {
    let files = Files::new();
    let server = files.serve(&[]);
    let at = tls_port(&server);
    let tls = |alpn: &[&[u8]]| connect(at, &files.current, alpn);

    let client = PlainClient::allocate_over(Framed::new(tls(&[])));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    client.bind(0x4001, peer.local_addr().unwrap());
    let mut buffer = vec![0; 65_535];
    // Over TLS as over TCP, data that exceeds a datagram is dropped, and the stream continues.
    client.socket.put(&channel_data(0x4001, &buffer));
    for len in [1, 172, 1200, 65_507] {
        client.socket.put(&channel_data(0x4001, &vec![7; len]));
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (len, client.relayed));
        peer.send_to(&buffer[..len], client.relayed).unwrap();
        assert_eq!(client.receive().len(), 4 + len.next_multiple_of(4));
    }
    assert_eq!(server.metric("callbox_relay_streams{transport=\"tls\"}"), 1.0);

    assert!(get(tls(&[b"http/1.1"]), "/healthz", "").starts_with("HTTP/1.1 200 "));
    let upgrade = "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
                   dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = tls(&[]);
    write!(socket, "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n{upgrade}\r\n").unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 101");

    // The metrics need a key, except over --http.
    assert!(get(tls(&[]), "/metrics", "").starts_with("HTTP/1.1 401 "));
    let key = format!("authorization: Bearer {}\r\n", server.text("/dev/apiKey"));
    assert!(get(tls(&[]), "/metrics", &key).starts_with("HTTP/1.1 200 "));

    let mut plain = TcpStream::connect(at).unwrap();
    plain.set_read_timeout(Some(DEADLINE)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    let _ = plain.read_to_string(&mut text);
    assert!(text.contains("begin with TLS"), "{text}");
}

/// A page from the server itself may connect by the names in the certificate.
#[test]
fn own_pages_are_those_of_the_names_in_the_certificate() {
    let files = Files::new();
    let server = files.serve(&["--allow-origin", "https://app.example.com"]);
    let at = server.text("/https").strip_prefix("https://").unwrap();
    let status = |host: &str| {
        let mut tls = connect(at, &files.current, &[]);
        write!(
            tls,
            "GET /api/v1/ice-servers HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\n\
             connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        let _ = tls.read_to_string(&mut answer);
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for host in ["turn.example.com", "TURN.example.com", "turn.example.com:8443", "127.0.0.1:8443"]
    {
        assert_eq!(status(&host.to_lowercase()), "401", "{host} may ask, and has no token");
    }
    for host in ["evil.example", "www.turn.example.com", "192.0.2.1"] {
        assert_eq!(status(host), "403", "{host}");
    }
}

#[test]
fn the_client_selects_the_protocol_by_alpn() {
    let files = Files::new();
    let server = files.serve(&[]);
    let chosen = |alpn: &[&[u8]]| {
        let stream = connect(tls_port(&server), &files.current, alpn);
        (stream.conn.alpn_protocol().map(<[u8]>::to_vec), stream)
    };
    let (name, mut stream) = chosen(&[b"stun.turn"]);
    assert_eq!(name.as_deref(), Some(&b"stun.turn"[..]));
    stream.write_all(BINDING).unwrap();
    assert_eq!(Framed::new(stream).take()[..2], [1, 1]);
    assert_eq!(chosen(&[b"http/1.1", b"x"]).0.as_deref(), Some(&b"http/1.1"[..]));
    let (name, mut stream) = chosen(&[b"h2", b"http/1.1"]);
    assert_eq!(name.as_deref(), Some(&b"h2"[..]));
    // The preface and empty settings (RFC 9113 §3.4); the server responds with its settings.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame");
}

#[test]
fn every_listener_serves_tls_and_the_uris_name_it() {
    let files = Files::new();
    let server = files.serve(&[]);
    for at in [tls_port(&server), server.turn(), server.authority()] {
        let stream = Framed::new(connect(at, &files.current, &[]));
        stream.write(BINDING);
        assert_eq!(stream.take()[..2], [1, 1], "{at}");
        assert!(get(connect(at, &files.current, &[]), "/healthz", "").contains(" 200 "), "{at}");
    }
    let (turn, tls) = (server.turn(), tls_port(&server));
    let uris = [
        format!("turn:{turn}?transport=udp"),
        format!("turn:{turn}?transport=tcp"),
        format!("turns:{tls}?transport=tcp"),
    ];
    let ready: Vec<_> = server.ready["turn"].as_array().unwrap().iter().collect();
    assert_eq!(ready, uris.iter().collect::<Vec<_>>());
    let token = server.token("alice");
    let answer = server.get("/api/v1/ice-servers", Some(&token)).json();
    assert_eq!(answer["turnCredentials"]["uris"], serde_json::json!(uris));
}

#[test]
fn a_self_signed_certificate_is_for_development_and_not_in_the_uris() {
    let server = Server::start();
    let https = server.text("/https");
    assert!(
        server.ready["turn"]
            .as_array()
            .unwrap()
            .iter()
            .any(|uri| { uri.as_str().unwrap().starts_with("turns:127.0.0.1:") })
    );
    assert!(https.starts_with("https://127.0.0.1:"));
    let token = server.token("alice");
    let answer = server.get("/api/v1/ice-servers", Some(&token)).json();
    let uris = answer["turnCredentials"]["uris"].as_array().unwrap();
    assert!(uris.iter().all(|uri| uri.as_str().unwrap().starts_with("turn:")), "{uris:?}");
}

/// With a thousand open sessions, a new certificate ends none, and new sessions get it.
#[test]
fn a_new_certificate_ends_no_session() {
    const SESSIONS: usize = 1000;
    callbox_sys::raise_open_files().unwrap();
    let mut files = Files::new();
    let server = files.serve(&["--max-connections-per-address", "3000"]);
    let open = || Framed::new(connect(tls_port(&server), &files.current, &[]));
    let sessions: Vec<_> = (0..SESSIONS).map(|_| open()).collect();
    let all_answer = || {
        sessions.iter().for_each(|session| session.write(BINDING));
        sessions.iter().for_each(|session| assert_eq!(session.take()[..2], [1, 1]));
    };
    all_answer();
    assert_eq!(server.metric("callbox_relay_streams{transport=\"tls\"}"), SESSIONS as f64);
    let old = files.current.clone();
    files.replace();
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    // It is read with a delay: until then new connections get the old one.
    let new = || try_connect(tls_port(&server), &files.current, &[]);
    crate::support::wait_until("the new certificate", || new().is_ok());
    assert!(try_connect(tls_port(&server), &old, &[]).is_err());
    all_answer();
    assert_eq!(server.metric("callbox_relay_streams{transport=\"tls\"}"), SESSIONS as f64);
}

/// `callbox check` uses every URI that clients get.
#[test]
fn a_check_uses_tls_as_well() {
    let files = Files::new();
    let server = files.serve(&[]);
    let certificate = files.path("cert.pem");
    let check = |more: &[&str]| {
        run(&mut callbox(&[&["check", "--url", server.text("/http"), "--json"], more].concat()))
    };
    let steps = |output: &str| -> Vec<(String, String)> {
        let report: serde_json::Value = serde_json::from_str(output).unwrap();
        let text = |step: &serde_json::Value, key: &str| step[key].as_str().unwrap().to_owned();
        let steps = report["steps"].as_array().unwrap().iter();
        let steps = steps.map(|step| (text(step, "name"), text(step, "status")));
        steps.filter(|(name, _)| name.ends_with("/tls")).collect()
    };
    let at = tls_port(&server);
    let good = check(&["--ca-cert", certificate.to_str().unwrap()]);
    assert_eq!(good.status, 0, "{}", good.stdout);
    let taken = ["tls", "allocate", "permission", "channel", "round trip"];
    let expected = taken.map(|step| (format!("{step} {at}/tls"), "ok".to_owned()));
    assert_eq!(steps(&good.stdout), expected);
    // The certificate is not trusted: a browser would refuse it as well.
    let bad = check(&[]);
    assert_eq!(bad.status, 1);
    assert_eq!(steps(&bad.stdout), [(format!("tls {at}/tls"), "failed".to_owned())]);
    assert!(bad.stdout.contains("UnknownIssuer") && bad.stdout.contains("--ca-cert"));
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}

#[test]
fn an_unusable_certificate_does_not_replace_the_old_one() {
    let files = Files::new();
    let server = files.serve(&[]);
    let other = private_key(&rcgen::KeyPair::generate().unwrap());
    fs::write(files.path("key.pem"), other).unwrap();
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    // Signals are handled in order: once the server stops, it has tried the certificate.
    let before = connect(tls_port(&server), &files.current, &[]);
    assert!(get(before, "/healthz", "").contains(" 200 "));
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());
    assert!(log.contains("the old certificate stays"), "{log}");
    assert!(log.contains("--tls-cert and --tls-key cannot be used"), "{log}");
}

#[test]
fn faults_of_a_certificate_are_named() {
    let files = Files::new();
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let nowhere = ["serve", "--dev", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    for (options, expected) in [
        (&["--tls-cert", cert][..], "--tls-cert: it needs --tls-key, too"),
        (&["--tls-key", key], "--tls-key: it needs --tls-cert, too"),
        (&["--tls-cert", "/nowhere", "--tls-key", key], "--tls-cert /nowhere: No such file"),
        (
            &["--tls-cert", key, "--tls-key", key],
            "has no certificate in PEM form in it, but: PRIVATE KEY",
        ),
        (
            &["--tls-cert", cert, "--tls-key", cert],
            "has no private key in PEM form in it, but: CERT",
        ),
    ] {
        let output = run(&mut callbox(&[&nowhere[..], options].concat()));
        assert_ne!(output.status, 0, "{options:?}");
        assert!(output.stderr.contains(expected), "{options:?}: {}", output.stderr);
    }
    let lone = ["serve", "--auth-secret", "0123456789abcdef", "--jwt-secret", cert];
    let output = run(&mut callbox(&[&lone[..], &["--tls-listen", "127.0.0.1:0"]].concat()));
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("--tls-listen: there is no certificate"), "{}", output.stderr);
}

/// Data over a TCP connection is not parsed as messages, even if it looks like them: it comes in
/// large records. After the peer has closed its half, the client can continue.
#[test]
fn a_peer_of_tcp_is_reached_over_tls() {
    const LEN: usize = 1 << 20;
    let files = Files::new();
    let server = files.serve(&[]);
    let tls = || Framed::new(connect(tls_port(&server), &files.current, &[]));
    let client = PlainClient::allocate_tcp(tls());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut data = client.connect_to(listener.local_addr().unwrap(), tls()).into_inner();
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();

    // The bytes of empty messages of channel 0x4000.
    let sent = b"\x40\0\0\0".repeat(LEN / 4);
    let (mut wire, mut got) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            peer.write_all(&sent).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        });
        data.sock.read_to_end(&mut wire).unwrap();
    });
    let (mut records, mut at) = (0, 0);
    while let Some(len) = wire.get(at + 3..at + 5) {
        records += 1;
        at += 5 + usize::from(u16::from_be_bytes([len[0], len[1]]));
    }
    assert!(records < LEN / 1000, "{records} records");
    let mut left = &wire[..];
    while !left.is_empty() {
        data.conn.read_tls(&mut left).unwrap();
        let state = data.conn.process_new_packets().unwrap();
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        data.conn.reader().read_exact(&mut plain).unwrap();
        got.extend(plain);
    }
    assert!(got == sent, "{} bytes", got.len());
    assert_eq!(data.conn.reader().read(&mut [0]).unwrap(), 0, "there is a close_notify");

    std::thread::scope(|scope| {
        scope.spawn(|| {
            data.write_all(&sent).unwrap();
            data.conn.send_close_notify();
            data.flush().unwrap();
        });
        got.clear();
        peer.read_to_end(&mut got).unwrap();
    });
    assert!(got == sent, "{} bytes", got.len());
    server.wait_for_metric("callbox_relay_streams{transport=\"tls\"}", |open| open == 1.0);
}
