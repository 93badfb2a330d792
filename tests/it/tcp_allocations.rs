//! Allocations of TCP (RFC 6062) over real sockets: clients over TCP, peers over TCP.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use callbox_client::Request;

use crate::{
    common::{DEADLINE, Server, callbox},
    coturn_tools::{assert_nothing_lost, run},
    support::plain_client::{Framed, PlainClient},
};

/// The time that the server waits for the other half of a connection.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(options: &[&str]) -> Server {
    // Several workers: a data connection is accepted by another worker than its allocation's.
    let users = ["--realm", crate::support::REALM, "--user", "static:pass", "--workers", "3"];
    Server::with(&[&users[..], options].concat())
}

fn stream(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

type Client = PlainClient<Framed<TcpStream>>;

fn allocate(server: &Server) -> Client {
    PlainClient::allocate_tcp(Framed::new(stream(server.turn())))
}

/// Connects to a peer, and returns the data connection.
fn connect(server: &Server, client: &Client, peer: SocketAddr) -> TcpStream {
    client.connect_to(peer, Framed::new(stream(server.turn()))).into_inner()
}

fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, from) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    (stream, from)
}

fn read(mut stream: impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn nothing_is_left(server: &Server) {
    server.wait_for_metric("callbox_peer_connections", |open| open == 0.0);
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    server.wait_for_metric("callbox_relay_streams{transport=\"tcp\"}", |open| open == 0.0);
}

#[test]
fn a_client_connects_to_a_peer() {
    let server = start(&[]);
    let client = allocate(&server);
    // As many as there are workers, so that each gets some.
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut data = connect(&server, &client, listener.local_addr().unwrap());
        let (mut peer, from) = accept(&listener);
        assert_eq!(from, client.relayed);
        server.wait_for_metric("callbox_peer_connections", |open| open >= 1.0);
        data.write_all(b"from the client").unwrap();
        assert_eq!(read(&peer, 15), b"from the client");
        peer.write_all(b"from the peer").unwrap();
        assert_eq!(read(&data, 13), b"from the peer");
        drop(peer);
        assert_eq!(data.read(&mut [0; 9]).unwrap(), 0, "the end is relayed");
    }
    drop(client);
    nothing_is_left(&server);
}

/// A connection to the server's pages through the relay would come from this machine itself.
#[test]
fn no_listener_of_the_server_is_a_peer() {
    let server = start(&["--tls-listen", "127.0.0.1:0"]);
    let client = allocate(&server);
    let tls = server.text("/https").strip_prefix("https://").unwrap();
    for at in [server.turn(), server.authority(), tls] {
        let request = Request::connect(at.parse().unwrap());
        assert_eq!(client.try_request(&request), Some(403), "{at}");
    }

    let serve = "serve --ready-json --lifetime 5m --auth-secret 0123456789abcdef --jwt-secret \
        0123456789abcdef0123456789abcdef --http 0.0.0.0:0 --listen 127.0.0.1:0 --realm test \
        --user static:pass --allow-peer 127.0.0.0/8";
    let server = Server::spawn(&mut callbox(&serve.split_whitespace().collect::<Vec<_>>()));
    let client = allocate(&server);
    let (_, port) = server.authority().rsplit_once(':').unwrap();
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let request = Request::connect(format!("{ip}:{port}").parse().unwrap());
        assert_eq!(client.try_request(&request), Some(403), "{ip}");
    }
}

#[test]
fn a_peer_connects_to_a_client() {
    let server = start(&[]);
    let client = allocate(&server);
    let mut early = stream(&client.relayed.to_string());
    assert_eq!(early.read(&mut [0; 9]).unwrap_or(0), 0, "without a permission");
    client.permit("127.0.0.1:9".parse().unwrap());
    let mut peer = stream(&client.relayed.to_string());
    // Data from a peer before ConnectionBind is kept for the client.
    peer.write_all(b"early").unwrap();
    let attempt = client.connection_attempt();
    let data = client.bind_to(&attempt, Framed::new(stream(server.turn())));
    let mut data = data.into_inner();
    assert_eq!(read(&data, 5), b"early");
    data.write_all(b"and back").unwrap();
    assert_eq!(read(&peer, 8), b"and back");
    // The last data of a client reaches the peer, and then the end.
    data.write_all(b"the last").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&peer), b"the last");
    drop(client);
    nothing_is_left(&server);
}

fn rest(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Each side can continue after the other has closed its half, and nothing is lost.
#[test]
fn one_side_ends_while_the_other_goes_on() {
    const LEN: usize = 8 << 20;
    let server = start(&[]);
    let client = allocate(&server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for peer_ends_first in [true, false] {
        let data = connect(&server, &client, listener.local_addr().unwrap());
        let (peer, _) = accept(&listener);
        let (mut first, mut second) = if peer_ends_first { (&peer, &data) } else { (&data, &peer) };
        thread::scope(|scope| {
            // More than the buffers hold: some of it is in transit when the first side closes.
            let sender = scope.spawn(move || second.write_all(&vec![7; LEN]).unwrap());
            first.write_all(b"the last").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(second), b"the last");
            assert_eq!(read(first, LEN), vec![7; LEN]);
            sender.join().unwrap();
        });
        second.write_all(b"and this").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(first), b"and this");
        // Both have ended: the pair is gone while its sockets are still held here.
        server.wait_for_metric("callbox_relay_streams{transport=\"tcp\"}", |open| open == 1.0);
    }
}

/// After one half is closed, an idle connection times out.
#[test]
fn a_half_closed_connection_times_out() {
    let server = start(&[]);
    let client = allocate(&server);
    let mut halves = Vec::new();
    for peer_ends in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let data = connect(&server, &client, listener.local_addr().unwrap());
        let (peer, _) = accept(&listener);
        let (ends, stays) = if peer_ends { (peer, data) } else { (data, peer) };
        ends.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stays), b"");
        // Written bytes are noticed at the next check of the stream, so that the end comes up to
        // two times PATIENCE after the last of them, and a moment for the server.
        ends.set_read_timeout(Some(2 * PATIENCE + DEADLINE)).unwrap();
        halves.push((ends, stays));
    }
    for (ends, _stays) in &halves {
        assert_eq!(rest(ends), b"", "it ends although the other side does not");
    }
    server.wait_for_metric("callbox_relay_streams{transport=\"tcp\"}", |open| open == 1.0);
}

/// Large transfers in both directions to slow readers: nothing is lost, and the memory does not
/// grow.
#[test]
fn a_slow_reader_loses_nothing_and_no_memory_grows() {
    const LEN: usize = 20 << 20;
    let server = start(&[]);
    let client = allocate(&server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = connect(&server, &client, listener.local_addr().unwrap());
    let (peer, _) = accept(&listener);
    let before = server.resident();
    let bytes: Vec<u8> = (0..LEN).map(|n| (n % 251) as u8).collect();
    thread::scope(|scope| {
        for (mut from, mut to) in [(&data, &peer), (&peer, &data)] {
            let bytes = &bytes;
            let sender = scope.spawn(move || from.write_all(bytes).unwrap());
            let mut buffer = vec![0; 5000];
            let mut at = 0;
            // Nothing is read until backpressure stops the sender, or it has sent everything.
            while at == 0 && !sender.is_finished() {
                thread::yield_now();
                if to.peek(&mut buffer).is_ok_and(|len| len == buffer.len()) {
                    break;
                }
            }
            while at < LEN {
                let len = to.read(&mut buffer).unwrap();
                assert!(len > 0 && buffer[..len] == bytes[at..at + len], "at {at}");
                at += len;
            }
            sender.join().unwrap();
        }
    });
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more");
    let relayed = server.metric("callbox_relayed_bytes_total{direction=\"up\"}");
    assert_eq!(relayed, LEN as f64);
}

#[test]
fn connections_to_peers_close_with_their_client() {
    let server = start(&[]);
    let client = allocate(&server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut data = connect(&server, &client, listener.local_addr().unwrap());
    let (mut peer, _) = accept(&listener);
    drop(client);
    assert_eq!(peer.read(&mut [0; 9]).unwrap_or(0), 0);
    assert_eq!(data.read(&mut [0; 9]).unwrap_or(0), 0);
    nothing_is_left(&server);
}

/// coturn's client, with one end connecting to the other. (Its passive mode loses half of its data
/// with coturn's server as well: see docs/interop.md.)
#[test]
fn coturn_s_client_relays_tcp() {
    let server = start(&["--max-connections-per-address", "1000"]);
    let few = ["-t", "-y", "-n", "50", "-m", "2", "-l", "172", "-z", "5"];
    let user = ["-u", "static", "-w", "pass"];
    for how in [&["-T"][..], &["-T", "-S"]] {
        let args = [&few[..], &user, how].concat();
        let at = server.turn().parse().unwrap();
        assert_nothing_lost(&run("turnutils_uclient", at, &args));
    }
    nothing_is_left(&server);
}

/// Data beyond the limit is delayed, since a stream cannot lose any.
#[test]
fn a_bandwidth_limit_delays_data_and_loses_nothing() {
    const RATE: usize = 1 << 20;
    const LEN: usize = 2 * RATE;
    let server = start(&["--max-bandwidth", "1MiB"]);
    let client = allocate(&server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = connect(&server, &client, listener.local_addr().unwrap());
    let (peer, _) = accept(&listener);
    let began = Instant::now();
    thread::scope(|scope| {
        for (mut from, to) in [(&data, &peer), (&peer, &data)] {
            scope.spawn(move || from.write_all(&vec![7; LEN]).unwrap());
            scope.spawn(move || {
                assert_eq!(read(to, LEN), vec![7; LEN]);
                // One read more than the limit may have passed.
                let least = (LEN - (64 << 10)) as f64 / RATE as f64;
                assert!(began.elapsed().as_secs_f64() > least, "{:?}", began.elapsed());
            });
        }
    });
}
