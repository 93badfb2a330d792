//! STUN over TCP from clients that never authenticate.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;

use crate::{
    common::{DEADLINE, Server, identity},
    support::plain_client::{Framed, PlainClient, Wire},
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

fn connect(at: &str) -> Framed<TcpStream> {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Framed::new(stream)
}

/// With 512 file descriptors, 500 idle connections leave some for HTTP, TLS and peers.
#[test]
fn idle_streams_leave_file_descriptors_for_others() {
    let serve = "serve --dev --ready-json --http 127.0.0.1:0 --listen 127.0.0.1:0 --workers 2 \
        --lifetime 5m --user static:pass --realm";
    let (callbox, realm) = (env!("CARGO_BIN_EXE_callbox"), crate::support::REALM);
    let shell = format!("ulimit -n 512 && exec {callbox} {serve} {realm}");
    let server = Server::spawn(Command::new("sh").args(["-c", &shell]));
    let owner = PlainClient::allocate_tcp(connect(server.turn()));

    let mut idle = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(server.turn()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // A refused connection may be closed before this.
        let answered = stream.write_all(BINDING).is_ok() && stream.read_exact(&mut [0; 20]).is_ok();
        if answered {
            idle.push(stream);
        }
    }
    assert!((200..=256).contains(&idle.len()), "{} are served", idle.len());
    let refused = server.metric("callbox_refused_connections_total{limit=\"files\"}");
    assert!(refused >= 244.0, "{refused} are refused");

    assert_eq!(server.get("/healthz", None).status, 200);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = Arc::new(identity::trusting(made.cert.der()));
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = rustls::ClientConnection::new(config, name).unwrap();
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    tls.write_tls(&mut stream).unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [22], "TLS answers");
    owner.permit(owner.relayed);
    let _peer = TcpStream::connect(owner.relayed).unwrap();
    owner.connection_attempt();
    PlainClient::allocate(server.turn().parse().unwrap());

    // New connections are served again as soon as there is room.
    idle.truncate(10);
    server.wait_for_metric("callbox_relay_streams{transport=\"tcp\"}", |open| open < 20.0);
    let stream = connect(server.turn());
    stream.put(BINDING);
    stream.take();
}

/// An unauthenticated stream is closed although it sends a Binding request every two seconds. A
/// stream of a client with an allocation stays open.
#[test]
fn bindings_do_not_keep_an_unauthenticated_stream_open() {
    let server = Server::with(&["--realm", crate::support::REALM, "--user", "static:pass"]);
    let client = PlainClient::allocate_over(connect(server.turn()));
    let mut stranger = TcpStream::connect(server.turn()).unwrap();
    stranger.set_read_timeout(Some(DEADLINE)).unwrap();
    let begun = Instant::now();
    let lasted = loop {
        let mut answer = [0; 32];
        if stranger.write_all(BINDING).is_err() || !matches!(stranger.read(&mut answer), Ok(1..)) {
            break begun.elapsed();
        }
        client.socket.put(BINDING);
        assert_eq!(client.receive()[..2], [1, 1]);
        assert!(begun.elapsed() < Duration::from_secs(120), "it is still there");
        // The interval of a client that tries to keep its stream open.
        thread::sleep(Duration::from_secs(2));
    };
    assert!(lasted >= Duration::from_secs(59), "{lasted:?}");
    client.socket.put(BINDING);
    assert_eq!(client.receive()[..2], [1, 1]);
    assert_eq!(server.metric("callbox_relay_streams_ended_total{reason=\"unused\"}"), 1.0);
}
