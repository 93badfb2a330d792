//! TURN over TCP, and all protocols on one port.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use callbox_client::channel_data;

use crate::{
    common::{DEADLINE, Server, http},
    support::plain_client::{Framed, PlainClient, Wire, mapped},
};

/// A Binding request.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";

fn start(options: &[&str]) -> Server {
    start_workers("2", options)
}

fn start_workers(workers: &str, options: &[&str]) -> Server {
    let users = ["--realm", crate::support::REALM, "--user", "static:pass", "--workers", workers];
    Server::with(&[&users[..], options].concat())
}

fn connect(at: &str) -> Framed<TcpStream> {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Framed::new(stream)
}

/// Connects from this local address.
fn connect_from(ip: &str, at: &str) -> Framed<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{ip}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&at.parse::<SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Framed::new(stream)
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Returns a ChannelData message as it is sent over a stream.
fn padded(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = channel_data(number, payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

#[test]
fn data_is_relayed_both_ways_with_padding() {
    let server = start(&[]);
    let client = PlainClient::allocate_over(connect(server.turn()));
    let (peer, mut buffer) = (peer(), [0; 2000]);
    let at = peer.local_addr().unwrap();
    client.permit(at);
    for len in [0, 1, 2, 3, 1200] {
        peer.send_to(&vec![7; len], client.relayed).unwrap();
        let indication = client.receive();
        assert_eq!((&indication[..2], indication.len() % 4), (&[0x00, 0x17][..], 0));
    }
    client.bind(0x4001, at);
    for len in [0, 1, 2, 3, 4, 172, 1200] {
        let payload = vec![len as u8; len];
        // Two messages in one segment: the second begins after the padding of the first.
        client.socket.write(&padded(0x4001, &payload).repeat(2));
        for _ in 0..2 {
            let (got, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..got], from), (&payload[..], client.relayed));
        }
        peer.send_to(&payload, client.relayed).unwrap();
        assert_eq!(client.receive(), padded(0x4001, &payload));
    }
    assert_eq!(server.metric("callbox_relay_streams{transport=\"tcp\"}"), 1.0);
    drop(client);
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    server.wait_for_metric("callbox_relay_streams{transport=\"tcp\"}", |open| open == 0.0);
    server.wait_for_metric("callbox_tcp_connections", |open| open == 1.0);
}

#[test]
fn two_clients_of_one_server_talk_over_tcp_and_udp() {
    let server = start(&[]);
    let over_tcp = PlainClient::allocate_over(connect(server.turn()));
    let over_udp = PlainClient::allocate(server.turn().parse().unwrap());
    over_tcp.bind(0x4001, over_udp.relayed);
    over_udp.bind(0x4002, over_tcp.relayed);
    for payload in [&b"one"[..], b"two!", b"three"] {
        over_tcp.socket.put(&channel_data(0x4001, payload));
        assert_eq!(over_udp.receive(), channel_data(0x4002, payload));
        over_udp.socket.put(&channel_data(0x4002, payload));
        assert_eq!(over_tcp.receive(), padded(0x4001, payload));
    }
}

/// Thousands of requests come in one read: each is answered, and others are served in between.
#[test]
fn a_busy_stream_does_not_starve_others() {
    const READS: usize = 30;
    let server = start_workers("1", &[]);
    let (busy, other) = (TcpStream::connect(server.turn()).unwrap(), connect(server.turn()));
    busy.set_read_timeout(Some(DEADLINE)).unwrap();
    other.put(BINDING);
    let answer = other.take();
    let requests = BINDING.repeat((64 << 10) / BINDING.len());
    let mut answers = vec![0; requests.len() / BINDING.len() * answer.len()];
    let (done, mut served) = (AtomicBool::new(false), 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..READS {
                (&busy).write_all(&requests).unwrap();
                (&busy).read_exact(&mut answers).unwrap();
            }
            done.store(true, Relaxed);
        });
        while !done.load(Relaxed) {
            other.put(BINDING);
            assert_eq!(other.take(), answer);
            served += 1;
        }
    });
    assert!(served > 4 * READS, "only {served} between {READS} reads");
}

#[test]
fn messages_may_be_split_anywhere() {
    let server = start(&[]);
    let client = PlainClient::allocate_over(connect(server.turn()));
    let (peer, mut buffer) = (peer(), [0; 100]);
    client.bind(0x4001, peer.local_addr().unwrap());
    let message = padded(0x4001, b"seven!!");
    let stream = [&message[..], BINDING, &message].concat();
    for cut in 0..=stream.len() {
        client.socket.write(&stream[..cut]);
        client.socket.write(&stream[cut..]);
        for _ in 0..2 {
            let (got, _) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..got], b"seven!!", "cut at {cut}");
        }
        assert_eq!(client.receive()[..2], [1, 1], "cut at {cut}");
    }
    for byte in stream {
        client.socket.write(&[byte]);
    }
    assert_eq!(peer.recv_from(&mut buffer).unwrap().0, 7);
    assert_eq!(client.receive()[..2], [1, 1]);
}

#[test]
fn a_stream_with_invalid_framing_is_closed_alone() {
    let server = start(&[]);
    let other = PlainClient::allocate_over(connect(server.turn()));
    let longest = [&b"\x00\x03\xff\xfc\x21\x12\xa4\x42"[..], &[0; 12]].concat();
    let cases: [(&str, &[u8]); 5] = [
        ("a length that is no multiple of four", b"\x00\x01\x00\x07\x21\x12\xa4\x42transaction!"),
        ("no cookie", b"\x00\x01\x00\x00\x21\x12\xa4\x43transaction!"),
        ("longer than a stranger may send", &longest),
        (
            "garbage behind a request",
            b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!\xff\xff\xff\xff",
        ),
        (
            "a ChannelData message without end",
            b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!\x40\x01\xff\xff",
        ),
    ];
    for (at, (what, bytes)) in cases.into_iter().enumerate() {
        let stream = connect(server.turn());
        stream.write(bytes);
        assert!(stream.rest().is_some(), "{what}");
        let ended = "callbox_relay_streams_ended_total{reason=\"bad_frame\"}";
        server.wait_for_metric(ended, |ended| ended == at as f64 + 1.0);
    }
    other.socket.put(BINDING);
    assert_eq!(other.receive()[..2], [1, 1]);
}

#[test]
fn a_slow_reader_loses_datagrams_and_keeps_its_connection() {
    let server = start(&[]);
    let client = PlainClient::allocate_over(connect(server.turn()));
    let peer = peer();
    client.bind(0x4001, peer.local_addr().unwrap());
    let dropped = "callbox_drops_total{reason=\"slow_reader\"}";
    let until = Instant::now() + DEADLINE;
    while server.metric(dropped) == 0.0 {
        for _ in 0..1000 {
            peer.send_to(&[7; 1200], client.relayed).unwrap();
        }
        assert!(Instant::now() < until, "nothing was dropped");
    }
    // A response waits behind the data, and arrives.
    client.socket.put(BINDING);
    while client.receive()[..2] != [1, 1] {}
    peer.send_to(b"again", client.relayed).unwrap();
    while client.receive() != padded(0x4001, b"again") {}
}

#[test]
fn every_listener_serves_turn_and_only_its_own_serves_plain_http() {
    let server = start(&[]);
    let by_http = PlainClient::allocate_over(connect(server.authority()));
    by_http.socket.put(BINDING);
    assert_eq!(by_http.receive()[..2], [1, 1]);
    assert_eq!(server.get("/healthz", None).status, 200);
    let stream = connect(server.turn());
    stream.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    let text = String::from_utf8(stream.rest().unwrap()).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(text.contains("This port is for STUN and TURN"), "{text}");
}

#[test]
fn a_proxy_header_sets_the_address_of_the_client() {
    let server = start(&["--proxy-protocol", "127.0.0.2"]);
    let from = |ip: &str| connect_from(ip, server.turn());
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 3478\r\n";
    let proxied = from("127.0.0.2");
    proxied.write(&[header, BINDING].concat());
    assert_eq!(mapped(&proxied.take()).to_string(), "192.0.2.7:5000");
    let without = from("127.0.0.2");
    without.write(BINDING);
    assert!(without.rest().is_some());
    let stranger = from("127.0.0.3");
    stranger.write(&[header, BINDING].concat());
    let answer = stranger.rest().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "a stranger's header is not read");
}

/// A connection of a proxy counts before its header names a client, and does not count for the
/// proxy's own address.
#[test]
fn a_proxy_s_connections_count_before_their_headers_come() {
    let limits = ["--max-connections", "4", "--max-connections-per-address", "1"];
    let server = start(&[&["--proxy-protocol", "127.0.0.2"][..], &limits].concat());
    let from_proxy = || connect_from("127.0.0.2", server.turn());
    let open: Vec<_> = (0..4).map(|_| from_proxy()).collect();
    assert!(from_proxy().rest().is_some(), "there is no slot for a fifth");
    let ask = |stream: &Framed<TcpStream>, client: &str| {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 5000 3478\r\n");
        stream.write(&[header.as_bytes(), BINDING].concat());
    };
    for (stream, client) in open.iter().zip(["192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
        ask(stream, client);
        assert_eq!(mapped(&stream.take()).to_string(), format!("{client}:5000"));
    }
    ask(&open[3], "192.0.2.1");
    assert!(open[3].rest().is_some(), "that client has a connection");
    // The slot is free again: the request for the metrics uses it.
    assert_eq!(server.metric("callbox_tcp_connections"), 4.0);
}

#[test]
fn connections_of_the_relay_count_like_any_other() {
    let server = start(&["--max-connections-per-address", "3"]);
    // Another address than the one that requests the metrics.
    let connect = |at: &str| connect_from("127.0.0.2", at);
    let open = [server.turn(), server.turn(), server.authority()].map(connect);
    for stream in &open {
        stream.write(BINDING);
        stream.take();
    }
    assert!(connect(server.turn()).rest().is_some(), "there is no slot for a fourth");
    drop(open);
    server.wait_for_metric("callbox_tcp_connections", |open| open == 1.0);
}

/// A partial message, an invalid message and a partial handshake each time out.
#[test]
fn silent_connections_time_out() {
    let server = start(&[]);
    let half = connect(server.turn());
    half.write(&BINDING[..19]);
    let silent = connect(server.turn());
    let half_tls = connect(server.turn());
    half_tls.write(b"\x16\x03\x01\x02\x00\x01");
    let useful = PlainClient::allocate_over(connect(server.turn()));
    let waited = Instant::now();
    for stream in [half_tls, silent, half] {
        let until = Instant::now() + Duration::from_secs(60);
        while stream.rest().is_none() {
            assert!(Instant::now() < until);
        }
    }
    assert!(waited.elapsed() > Duration::from_secs(9));
    useful.socket.put(BINDING);
    assert_eq!(useful.receive()[..2], [1, 1]);
    assert_eq!(http::request(server.authority(), "GET", "/healthz", &[], None).status, 200);
}
