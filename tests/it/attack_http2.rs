//! Clients of HTTP/2 that want the server to hold as much as possible for them: heads that grow when
//! they are unpacked, requests that never end, answers that are never taken.

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

/// How long a part of a test may take on a machine that is busy with others.
const LONG: Duration = Duration::from_secs(120);

/// How much more memory the server may take, at any time: with it, a release build stays under 100 MB.
const MOST: u64 = 80 << 20;

/// What may be left of that, and how soon.
const LEFT: u64 = 20 << 20;
const SOON: Duration = Duration::from_secs(30);

/// The frames of HTTP/2 (RFC 9113 §6) that are needed.
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

/// A field of HPACK that is not put into the table, with a name of the static one (RFC 7541 §6.2.2).
fn field(name: u8, value: &str) -> Vec<u8> {
    let name = if name < 15 { vec![name] } else { vec![15, name - 15] };
    [&name[..], &[value.len() as u8], value.as_bytes()].concat()
}

/// The beginning of a head (RFC 7541, appendix A).
fn head(method: u8, path: &str) -> Vec<u8> {
    const HTTPS: u8 = 0x80 | 7;
    let (authority, path) = (field(1, "localhost"), field(4, path));
    [&[0x80 | method, HTTPS][..], &path, &authority].concat()
}
const GET: u8 = 2;
const POST: u8 = 3;

/// The beginning of a connection, with a window of this size for each answer.
fn preface(window: u32) -> Vec<u8> {
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]].concat()
}

/// A client of TLS.
struct Attacker {
    server: SocketAddr,
    tls: tokio_rustls::TlsConnector,
    _files: tempfile::TempDir,
}

impl Attacker {
    /// Starts a server with a certificate, too.
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

    /// A connection from this address of the machine.
    async fn connect(&self, from: IpAddr) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = timeout(LONG, socket.connect(self.server)).await.unwrap().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        timeout(LONG, self.tls.connect(name, stream)).await.unwrap().unwrap()
    }
}

/// The address of this number.
fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, number as u8 + 1).into()
}

/// Reads a frame: its kind, its flags and its stream; nothing at the end.
async fn read_frame(stream: &mut TlsStream<TcpStream>) -> Option<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], number))
}

/// Waits until the server has read all that was sent, which an answer to a ping says, or has closed
/// the connection.
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

/// What others see while `during` runs: the most memory, and the times of their requests in order.
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
                // Not as fast as possible: others need the processor, too.
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

/// Asserts that requests of others take a tenth of a second at most: 99 of 100, and in a debug build,
/// in which the handshakes of TLS alone take all of a small machine, half of them.
fn assert_quick(times: &[Duration]) {
    let (median, p99) = (times[times.len() / 2], p99(times));
    let judged = if cfg!(debug_assertions) { median } else { p99 };
    assert!(judged < Duration::from_millis(100), "median {median:?}, p99 {p99:?}");
}

/// Connections with unfinished requests, each with a head of so many fields of a byte.
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
                // One field is put into the table, and named by its number from then on.
                block.extend(b"\x40\x01a\x00");
                block.extend(vec![0x80 | 62; fields - 1]);
                bomb.extend(frame(HEADERS, END_HEADERS, 2 * request + 1, &block));
            }
            // A server may end it in the middle.
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

/// The heads and requests of one address hold little, and what they held is given back.
#[test]
fn three_hundred_header_bombs_of_one_address_are_duds() {
    bomb(1, 300);
}

/// And so do those of many addresses, while others are served.
#[test]
fn header_bombs_of_fifty_addresses_are_duds() {
    bomb(50, 500);
}

/// Answers that nobody lets come, for as long as pings are answered: all are ended within half a
/// minute.
#[test]
fn answers_that_are_given_no_window_end() {
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
