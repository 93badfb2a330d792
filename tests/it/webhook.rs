//! `--webhook-url`: each step of a call is sent to a receiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ring::hmac;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::common::{DEADLINE, Server, callbox, identity::Identity, run, websocket};

const SECRET: &str = "north-of-the-river";
/// The status with which the receiver requests a pause of a second.
const BUSY: u16 = 429;
/// The status with which the receiver requests that a call is held.
const HOLD: u16 = 299;
const DELIVERED: &str = "callbox_webhook_events_total{fate=\"delivered\"}";
const REFUSED: &str = "callbox_webhook_events_total{fate=\"refused\"}";
const FAILURES: &str = "callbox_webhook_failures_total";

/// The receiver's response to a delivery: a status, or none at all.
type Answer = Box<dyn FnMut(&Delivery) -> Option<u16> + Send>;

/// A received POST request.
#[derive(Debug, Clone)]
struct Delivery {
    path: String,
    signature: String,
    body: String,
}

impl Delivery {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Verifies the signature as `docs/webhooks.md` describes.
    fn is_signed_with(&self, secret: &str) -> bool {
        let (time, signatures) = self.signature.split_once(',').unwrap();
        let seconds = time.strip_prefix("t=").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(seconds.parse::<u64>().unwrap().abs_diff(now) < 60, "an old signature");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let message = format!("{seconds}.{}", self.body);
        signatures.split(',').any(|signature| {
            let hex = signature.strip_prefix("v1=").unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let tag: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
            hmac::verify(&key, message.as_bytes(), &tag).is_ok()
        })
    }
}

/// A receiver that has its port and refuses connections until it listens.
struct Receiver {
    socket: Socket,
    address: SocketAddr,
}

impl Receiver {
    fn bind() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    /// Starts a server that reports to this receiver.
    fn server(&self, more: &[&str]) -> Server {
        self.server_by("http", more)
    }

    fn server_by(&self, scheme: &str, more: &[&str]) -> Server {
        let url = format!("{scheme}://{}/hook?from=callbox", self.address);
        let mut args = vec!["--webhook-url", &url, "--webhook-secret", SECRET];
        args.extend(more);
        Server::with(&args)
    }

    /// Starts to listen; each delivery goes to the channel before it is answered.
    fn listen(self, answer: Answer) -> mpsc::Receiver<Delivery> {
        self.listen_as(None, answer)
    }

    /// Listens with TLS if there is an identity.
    fn listen_as(self, identity: Option<Identity>, answer: Answer) -> mpsc::Receiver<Delivery> {
        self.socket.listen(128).unwrap();
        let listener = TcpListener::from(self.socket);
        let (sender, deliveries) = mpsc::channel();
        let answer = Arc::new(Mutex::new(answer));
        let identity = Arc::new(identity);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, answer, identity) = (sender.clone(), answer.clone(), identity.clone());
                // A client may close its connection at any time.
                thread::spawn(move || match &*identity {
                    Some(identity) => serve(identity.take(stream), &sender, &answer).ok(),
                    None => serve(stream, &sender, &answer).ok(),
                });
            }
        });
        deliveries
    }
}

/// Answers the requests of a connection.
fn serve(
    stream: impl Read + Write,
    sender: &mpsc::Sender<Delivery>,
    answer: &Mutex<Answer>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = || -> io::Result<String> {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            Ok(line.trim_end().to_owned())
        };
        let start = line()?;
        let Some((method, rest)) = start.split_once(' ') else { return Ok(()) };
        assert_eq!(method, "POST");
        let path = rest.split(' ').next().unwrap().to_owned();
        let mut headers = BTreeMap::new();
        while let Some((name, value)) = line()?.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        assert_eq!(headers["content-type"], "application/json");
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8(body).unwrap();
        let delivery = Delivery { path, signature: headers["callbox-signature"].clone(), body };
        let status = answer.lock().unwrap()(&delivery);
        sender.send(delivery).ok();
        let Some(status) = status else {
            // Reads until the other side closes the connection.
            return io::copy(&mut reader, &mut io::sink()).map(drop);
        };
        let body = if status == HOLD { r#"{ "hold": true }"# } else { "ok" };
        let rest = if status == BUSY { "retry-after: 1\r\n" } else { "" };
        let (length, stream) = (body.len(), reader.get_mut());
        write!(stream, "HTTP/1.1 {status} X\r\n{rest}content-length: {length}\r\n\r\n{body}")?;
    }
}

fn next(deliveries: &mpsc::Receiver<Delivery>) -> Delivery {
    deliveries.recv_timeout(DEADLINE).expect("an event arrives in time")
}

async fn sign_in(server: &Server) -> (websocket::Client, websocket::Client) {
    (
        websocket::Client::sign_in(server, "alice").await,
        websocket::Client::sign_in(server, "bob").await,
    )
}

async fn initiate(client: &mut websocket::Client, target: &str) -> String {
    let initiate = json!({ "targetUserId": target, "callType": "audio", "metadata": "the-topic" });
    let answer = client.request("call:initiate", initiate).await;
    answer["callId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_every_event_in_order_and_signed() {
    let receiver = Receiver::bind();
    let server = receiver.server(&[]);
    let (mut alice, mut bob) = sign_in(&server).await;
    let call = initiate(&mut alice, "bob").await;
    bob.request("call:accept", json!({})).await;
    alice.request("signal:offer", json!({ "sdp": "the-description" })).await;
    alice.request("ice:candidate", json!({ "candidate": "the-candidate" })).await;
    for event in ["call:connected", "call:reconnecting", "call:connected"] {
        alice.request(event, json!({})).await;
    }
    bob.request("call:end", json!({})).await;
    let other = initiate(&mut alice, "nobody").await;
    // Some deliveries have failed before the receiver listens.
    server.wait_for_metric(FAILURES, |failures| failures >= 3.0);
    assert_eq!(server.metric("callbox_webhook_waiting"), 9.0);
    let deliveries = receiver.listen(Box::new(|_| Some(200)));

    let mut events = BTreeMap::<String, Vec<String>>::new();
    let (mut ids, mut last) = (BTreeSet::new(), Value::Null);
    for _ in 0..9 {
        let delivery = next(&deliveries);
        assert!(delivery.is_signed_with(SECRET) && !delivery.is_signed_with("south"));
        assert_eq!(delivery.path, "/hook?from=callbox");
        for hidden in ["the-description", "the-candidate", "the-topic", "password"] {
            assert!(!delivery.body.contains(hidden), "{}", delivery.body);
        }
        let json = delivery.json();
        let text = |pointer| json.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        assert!(ids.insert(text("/id")), "an event delivered twice");
        events.entry(text("/call/id")).or_default().push(text("/event"));
        if text("/event") == "call.ended" && text("/call/id") == call {
            last = json;
        }
    }
    let way = [
        "call.initiated",
        "call.ringing",
        "call.accepted",
        "call.connected",
        "call.reconnecting",
        "call.reconnected",
        "call.ended",
    ];
    assert_eq!(events[&call], way);
    assert_eq!(events[&other], ["call.initiated", "call.ended"]);
    let key = server.text("/dev/apiKey");
    let call_view = server.get(&format!("/api/v1/calls/{call}"), Some(key)).json();
    assert_eq!((&last["call"], &last["createdAt"]), (&call_view, &call_view["endedAt"]));
    server.wait_for_metric(DELIVERED, |delivered| delivered == 9.0);
    assert_eq!(server.metric("callbox_webhook_waiting"), 0.0);
    assert_eq!(server.metric("callbox_webhook_waiting_bytes"), 0.0);
}

#[tokio::test]
async fn a_failed_event_is_repeated_unchanged_before_the_next() {
    let receiver = Receiver::bind();
    let server = receiver.server(&["--webhook-secret", "south"]);
    let mut answers = [500, 503, 200, 410, 204].into_iter();
    let deliveries = receiver.listen(Box::new(move |_| answers.next()));
    let (mut alice, mut bob) = sign_in(&server).await;
    initiate(&mut alice, "bob").await;
    bob.request("call:reject", json!({})).await;
    let delivered: Vec<_> = (0..5).map(|_| next(&deliveries)).collect();
    let events: Vec<_> =
        delivered.iter().map(|delivery| delivery.json()["event"].clone()).collect();
    let (first, second, third) = ("call.initiated", "call.ringing", "call.ended");
    assert_eq!(events, [first, first, first, second, third]);
    assert!(delivered[..3].iter().all(|delivery| delivery.body == delivered[0].body));
    assert!(delivered.iter().all(|it| it.is_signed_with(SECRET) && it.is_signed_with("south")));
    server.wait_for_metric(DELIVERED, |delivered| delivered == 2.0);
    assert_eq!((server.metric(REFUSED), server.metric(FAILURES)), (1.0, 2.0));
}

#[tokio::test]
async fn a_receiver_with_a_self_signed_certificate_is_trusted_if_configured() {
    let (receiver, identity) = (Receiver::bind(), Identity::new());
    let doubter = receiver.server_by("https", &[]);
    let server = receiver.server_by("https", &["--trust-ca", identity.path()]);
    let deliveries = receiver.listen_as(Some(identity), Box::new(|_| Some(200)));
    for server in [&doubter, &server] {
        let mut alice = websocket::Client::sign_in(server, "alice").await;
        initiate(&mut alice, "nobody").await;
    }
    let delivered = [next(&deliveries), next(&deliveries)];
    server.wait_for_metric(DELIVERED, |delivered| delivered == 2.0);
    doubter.wait_for_metric(FAILURES, |failures| failures >= 1.0);
    assert_eq!((doubter.metric(DELIVERED), server.metric(FAILURES)), (0.0, 0.0));
    assert!(delivered.iter().all(|delivery| delivery.is_signed_with(SECRET)));
}

#[tokio::test]
async fn the_retry_after_of_a_receiver_is_respected() {
    let receiver = Receiver::bind();
    let server = receiver.server(&[]);
    let mut answers = [BUSY].into_iter();
    let deliveries = receiver.listen(Box::new(move |_| answers.next().or(Some(200))));
    let (mut alice, _bob) = sign_in(&server).await;
    initiate(&mut alice, "bob").await;
    let (first, at) = (next(&deliveries), Instant::now());
    let second = next(&deliveries);
    assert_eq!(first.body, second.body);
    // The default delay would have ended within half of that.
    assert!(at.elapsed() >= Duration::from_millis(900), "{:?}", at.elapsed());
}

#[tokio::test]
async fn calls_that_end_with_the_server_are_reported_and_no_secret_is_logged() {
    let receiver = Receiver::bind();
    let server = receiver.server(&["--log-level", "trace"]);
    let deliveries = receiver.listen(Box::new(|_| Some(200)));
    let (mut alice, mut bob) = sign_in(&server).await;
    initiate(&mut alice, "bob").await;
    bob.request("call:accept", json!({})).await;
    server.terminate();
    let delivered: Vec<_> = (0..4).map(|_| next(&deliveries)).collect();
    assert_eq!(delivered[3].json()["call"]["reason"], "server_shutdown");
    let (status, stderr) = server.wait();
    assert!(status.success() && !stderr.contains("in time"), "{stderr}");
    let signature = delivered[0].signature.split("v1=").nth(1).unwrap();
    for hidden in [SECRET, signature, "from=callbox"] {
        assert!(!stderr.contains(hidden), "{hidden} was logged");
    }
}

/// Events of a call that nobody had received when the server was killed.
#[tokio::test]
async fn the_next_server_delivers_the_events_of_a_killed_one() {
    let dir = tempfile::tempdir().unwrap();
    let state = ["--state-dir", dir.path().to_str().unwrap()];
    let receiver = Receiver::bind();
    let server = receiver.server(&state);
    let (mut alice, mut bob) = sign_in(&server).await;
    let call = initiate(&mut alice, "bob").await;
    bob.request("call:reject", json!({})).await;
    assert_eq!(alice.event("call:ended").await["callId"], call.as_str());
    // Drop kills the server with SIGKILL.
    drop(server);
    let server = receiver.server(&state);
    drop(server);
    let server = receiver.server(&state);
    let deliveries = receiver.listen(Box::new(|_| Some(200)));
    let delivered: Vec<_> = (0..3).map(|_| next(&deliveries).json()).collect();
    let events: Vec<_> = delivered.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["call.initiated", "call.ringing", "call.ended"]);
    assert!(delivered.iter().all(|event| event["call"]["id"] == call.as_str()));
    server.wait_for_metric(DELIVERED, |delivered| delivered == 3.0);
    server.terminate();
    server.wait();
    assert!(deliveries.try_recv().is_err());
}

#[tokio::test]
async fn a_silent_receiver_delays_neither_calls_nor_the_shutdown() {
    let receiver = Receiver::bind();
    let server = receiver.server(&[]);
    let deliveries = receiver.listen(Box::new(|_| None));
    let (mut alice, mut bob) = sign_in(&server).await;
    for _ in 0..15 {
        initiate(&mut alice, "bob").await;
        bob.request("call:reject", json!({})).await;
    }
    // The maximum of concurrent deliveries, each for another call.
    let first: BTreeSet<_> = (0..8).map(|_| next(&deliveries).json()["call"].to_string()).collect();
    assert_eq!(first.len(), 8);
    assert_eq!(server.metric("callbox_webhook_waiting"), 45.0);
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success() && stderr.contains("not all events could be sent"), "{stderr}");
    assert_eq!(deliveries.try_iter().count(), 0);
}

#[tokio::test]
async fn a_call_without_a_device_is_held_if_the_receiver_requests_it() {
    let receiver = Receiver::bind();
    let server = receiver.server(&[]);
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    // No device of the callee is connected.
    initiate(&mut alice, "bob").await;
    assert_eq!(alice.event("call:ended").await["reason"], "offline");
    let answer = |delivery: &Delivery| {
        let json = delivery.json();
        match (json["event"].as_str(), json["call"]["participants"][1]["userId"].as_str()) {
            (Some("call.offline"), Some("bob")) => Some(HOLD),
            (Some("call.offline"), Some("dave")) => None,
            _ => Some(200),
        }
    };
    let deliveries = receiver.listen(Box::new(answer));
    initiate(&mut alice, "carol").await;
    assert_eq!(alice.event("call:ended").await["reason"], "offline");

    let call = initiate(&mut alice, "bob").await;
    let question = loop {
        let delivery = next(&deliveries);
        let json = delivery.json();
        if json["event"] == "call.offline" && json["call"]["id"] == call.as_str() {
            break delivery;
        }
    };
    assert!(question.is_signed_with(SECRET));
    assert_eq!(question.json()["call"]["state"], "initiating");
    // A later delivery gets no response. When that call is over, the time for both has passed.
    let mut eve = websocket::Client::sign_in(&server, "eve").await;
    initiate(&mut eve, "dave").await;
    assert_eq!(eve.event("call:ended").await["reason"], "offline");
    // The back end has woken bob's phone, which connects late.
    let mut bob = websocket::Client::sign_in(&server, "bob").await;
    assert_eq!(bob.event("call:incoming").await["callId"], call.as_str());
    bob.request("call:accept", json!({})).await;
    assert_eq!(alice.event("call:accepted").await["callId"], call.as_str());
}

#[test]
fn conflicting_webhook_options_are_refused() {
    let url = ["--webhook-url", "https://app.example.com/callbox"];
    let secret = ["--webhook-secret", SECRET];
    let plain = ["--webhook-url", "http://app.example.com/callbox"];
    for (options, expected) in [
        (&url[..], "--webhook-url: it needs --webhook-secret"),
        (&secret, "--webhook-secret: it needs --webhook-url"),
        (&[plain, secret].concat(), "http:// is for loopback addresses only"),
    ] {
        let output = run(callbox(&["serve", "--dev"]).args(options));
        assert_ne!(output.status, 0);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
        assert!(!output.stderr.contains(SECRET));
    }
}
