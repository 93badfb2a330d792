//! HTTP/2 clients that try to make the server hold much memory: header blocks that grow when they
//! are decoded, requests that never end, responses that are never read.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::common::{Server, http, identity};

/// The time limit of a step on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// The growth of the server's memory that is allowed at any time. A release build stays under 100
/// MB with it.
const MOST: u64 = 80 << 20;

/// The growth that may remain afterwards, and the time until then.
const LEFT: u64 = 20 << 20;
const SOON: Duration = Duration::from_secs(30);

/// The frame types and flags of HTTP/2 (RFC 9113 §6) that are used here.
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// An HPACK field without indexing, with a name from the static table (RFC 7541 §6.2.2).
fn field(name: u8, value: &str) -> Vec<u8> {
    let name = if name < 15 { vec![name] } else { vec![15, name - 15] };
    [&name[..], &[value.len() as u8], value.as_bytes()].concat()
}

/// Returns the pseudo-header fields of a request (RFC 7541, appendix A).
fn head(method: u8, path: &str) -> Vec<u8> {
    const HTTPS: u8 = 0x80 | 7;
    let (authority, path) = (field(1, "localhost"), field(4, path));
    [&[0x80 | method, HTTPS][..], &path, &authority].concat()
}
const GET: u8 = 2;
const POST: u8 = 3;

/// Returns the connection preface, with this window for each response.
fn preface(window: u32) -> Vec<u8> {
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]].concat()
}

/// A TLS client.
struct Attacker {
    server: SocketAddr,
    tls: tokio_rustls::TlsConnector,
    _files: tempfile::TempDir,
}

impl Attacker {
    /// Starts a server with a certificate, and a client that trusts it.
    fn start(options: &[&str]) -> (Server, Self) {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, label: &str, bytes: &[u8]| {
            let (path, text) = (files.path().join(name), BASE64_STANDARD.encode(bytes));
            let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
            fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let cert = write("cert.pem", "CERTIFICATE", made.cert.der());
        let key = write("key.pem", "PRIVATE KEY", &made.signing_key.serialize_der());
        let options = [&["--tls-cert", &cert, "--tls-key", &key][..], options].concat();
        let server = Server::with(&options);
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let mut config = identity::trusting(&certificate);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = Arc::new(config).into();
        let at = server.authority().parse().unwrap();
        (server, Self { server: at, tls, _files: files })
    }

    /// Connects from this local address.
    async fn connect(&self, from: IpAddr) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = timeout(LONG, socket.connect(self.server)).await.unwrap().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        timeout(LONG, self.tls.connect(name, stream)).await.unwrap().unwrap()
    }
}

/// Returns a loopback address by its number.
fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, number as u8 + 1).into()
}

/// Reads a frame, and returns its type, flags and stream; `None` at the end of the connection.
async fn read_frame(stream: &mut TlsStream<TcpStream>) -> Option<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], number))
}

/// Waits until the server has read everything, which an acknowledged ping shows, or has closed the
/// connection.
async fn wait_until_read(stream: &mut TlsStream<TcpStream>) {
    if stream.write_all(&frame(PING, 0, 0, &[7; 8])).await.is_err() {
        return;
    }
    let answered = async {
        while let Some((kind, flags, _)) = read_frame(stream).await {
            if (kind, flags) == (PING, ACK) {
                break;
            }
        }
    };
    timeout(LONG, answered).await.expect("a ping is answered");
}

/// Measures the effects on others while `during` runs: the peak of the memory, and the sorted
/// durations of their requests.
fn observe<T>(server: &Server, during: impl FnOnce() -> T) -> (T, u64, Vec<Duration>) {
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let (authority, pid) = (server.authority(), server.pid());
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut times = Vec::new();
            while !done.load(Relaxed) {
                let begun = Instant::now();
                let answer = http::request(authority, "GET", "/healthz", &[], None);
                assert_eq!(answer.status, 200);
                times.push(begun.elapsed());
                most.fetch_max(crate::common::resident(pid), Relaxed);
                // The pause leaves processor time to others.
                thread::sleep(Duration::from_millis(5));
            }
            times
        });
        let result = during();
        done.store(true, Relaxed);
        let mut times = asking.join().expect("others are served");
        times.sort();
        (result, most.load(Relaxed), times)
    })
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

/// Asserts that other clients' requests take a tenth of a second at most: 99 of 100 in a release
/// build. In a debug build, where TLS handshakes alone can take all of a small machine, it is half
/// of them.
fn assert_quick(times: &[Duration]) {
    let (median, p99) = (times[times.len() / 2], p99(times));
    let judged = if cfg!(debug_assertions) { median } else { p99 };
    assert!(judged < Duration::from_millis(100), "median {median:?}, p99 {p99:?}");
}

/// Opens connections with unfinished requests, each with a header block of `fields` one-byte
/// fields.
async fn send_bombs(
    attacker: &Attacker,
    addresses: usize,
    connections: usize,
    streams: u32,
    fields: usize,
) -> Vec<TlsStream<TcpStream>> {
    let mut tasks = JoinSet::new();
    let mut open = Vec::new();
    for number in 0..connections {
        let from = address(number % addresses);
        let mut stream = attacker.connect(from).await;
        tasks.spawn(async move {
            let mut bomb = preface(65_535);
            for request in 0..streams {
                let mut block = head(POST, "/dev/token");
                block.extend(field(31, "application/json"));
                // One field is added to the dynamic table, and then referenced by its index.
                block.extend(b"\x40\x01a\x00");
                block.extend(vec![0x80 | 62; fields - 1]);
                bomb.extend(frame(HEADERS, END_HEADERS, 2 * request + 1, &block));
            }
            // The server may close the connection in the middle.
            if stream.write_all(&bomb).await.is_ok() {
                wait_until_read(&mut stream).await;
            }
            stream
        });
        while tasks.len() >= 8 {
            open.extend(tasks.join_next().await.map(Result::unwrap));
        }
    }
    while let Some(stream) = tasks.join_next().await {
        open.push(stream.unwrap());
    }
    open
}

fn bomb(addresses: usize, connections: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, attacker) = Attacker::start(&[]);
    let come = |streams, fields| {
        runtime.block_on(send_bombs(&attacker, addresses, connections, streams, fields))
    };
    let start = server.resident();
    for fields in [900, 450, 95] {
        let (open, most, times) = observe(&server, || come(64, fields));
        println!(
            "{fields} fields from {addresses}: {} MB at the start, {} MB at most, p99 {:?} of {}",
            start >> 20,
            most >> 20,
            p99(&times),
            times.len()
        );
        let more = most.saturating_sub(start);
        assert!(more < MOST, "{} MB more with heads of {fields} fields", more >> 20);
        assert_quick(&times);
        drop(open);
        server.wait_for_memory(start + LEFT, SOON);
    }
}

/// The header blocks and requests of one address hold little memory, and all of it is freed.
#[test]
fn header_bombs_of_one_address_use_little_memory() {
    bomb(1, 300);
}

/// The same holds for many addresses, while other clients are served.
#[test]
fn header_bombs_of_fifty_addresses_use_little_memory() {
    bomb(50, 500);
}

/// Responses without a flow-control window end within half a minute, although the client still
/// acknowledges pings.
#[test]
fn responses_without_a_window_are_ended() {
    const CONNECTIONS: usize = 100;
    const STREAMS: u32 = 63;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, attacker) = Attacker::start(&[]);
    let start = server.resident();
    let attack = async {
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut stream = attacker.connect(address(0)).await;
            tasks.spawn(async move {
                let mut requests = preface(0);
                for request in 0..STREAMS {
                    let (flags, number) = (END_HEADERS | END_STREAM, 2 * request + 1);
                    requests.extend(frame(HEADERS, flags, number, &head(GET, "/metrics")));
                }
                stream.write_all(&requests).await.unwrap();
                wait_until_read(&mut stream).await;
                let begun = Instant::now();
                let (mut reading, mut writing) = tokio::io::split(stream);
                let mut buffer = vec![0; 4096];
                let mut pings = interval(Duration::from_secs(2));
                loop {
                    tokio::select! {
                        read = reading.read(&mut buffer) => match read {
                            Ok(read) if read > 0 => {}
                            _ => return begun.elapsed(),
                        },
                        _ = pings.tick() => {
                            let _ = writing.write_all(&frame(PING, 0, 0, &[8; 8])).await;
                        }
                    }
                    assert!(begun.elapsed() < LONG, "it is not ended");
                }
            });
        }
        let mut longest = Duration::ZERO;
        while let Some(lasted) = tasks.join_next().await {
            longest = longest.max(lasted.unwrap());
        }
        longest
    };
    let (longest, most, times) = observe(&server, || runtime.block_on(attack));
    println!(
        "{} MB at the start, {} MB at most, ended within {longest:?}, p99 {:?} of {}",
        start >> 20,
        most >> 20,
        p99(&times),
        times.len()
    );
    assert!(longest < Duration::from_secs(30), "{longest:?}");
    let more = most.saturating_sub(start);
    assert!(more < MOST, "{} MB more", more >> 20);
    assert_quick(&times);
    server.wait_for_memory(start + LEFT, SOON);
}
