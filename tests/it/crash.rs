//! A server that is killed again and again while calls come and go: each call that was confirmed to
//! a client has one record and one `call.ended`, and no ended call returns.
//!
//! `tests/crash/run` does this 200 times; this test does it a few times.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::common::{DEADLINE, Server};

/// The number of pairs of users, each of which makes two calls a second.
const PAIRS: usize = 25;
const CYCLE: Duration = Duration::from_millis(500);

/// The default number of kills.
const KILLS: usize = 6;

/// The steps of a call that clients were notified of.
#[derive(Debug, Default, Clone)]
struct Steps {
    connected: bool,
    /// The index of the server that reported its end.
    over: Option<usize>,
}

/// The steps of all calls that clients were notified of, and the faults in them.
#[derive(Debug, Default)]
struct Journal {
    calls: BTreeMap<String, Steps>,
    wrong: Vec<String>,
    back: usize,
    /// The number of servers before this one.
    server: usize,
}

/// The events that the webhook receiver got.
#[derive(Debug, Default)]
struct Mailbox {
    /// The bodies by the id of the event.
    bodies: BTreeMap<String, String>,
    /// The ids and names of each call's events, in the order of their first delivery.
    events: BTreeMap<String, Vec<(String, String)>>,
    again: usize,
    wrong: Vec<String>,
}

impl Mailbox {
    fn take(&mut self, body: &str) {
        let event: Value = serde_json::from_str(body).expect("a body is JSON");
        let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
        let (id, name, call) =
            (text(&event["id"]), text(&event["event"]), text(&event["call"]["id"]));
        match self.bodies.insert(id.clone(), body.to_owned()) {
            None => self.events.entry(call).or_default().push((id, name)),
            Some(before) if before == body => self.again += 1,
            Some(before) => self.wrong.push(format!("{id} was {before} and is {body}")),
        }
    }
}

/// Starts a receiver that responds with a delay, and refuses one event in forty at its first
/// delivery.
fn receiver() -> (String, Arc<Mutex<Mailbox>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let mailbox = Arc::new(Mutex::new(Mailbox::default()));
    let shared = mailbox.clone();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let shared = shared.clone();
            thread::spawn(move || receive(&stream, &shared, number as u64));
        }
    });
    (url, mailbox)
}

fn receive(stream: &TcpStream, mailbox: &Mutex<Mailbox>, seed: u64) -> io::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("it is a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let is_taken = rng.random_ratio(39, 40);
        if is_taken {
            mailbox.lock().unwrap().take(std::str::from_utf8(&body).expect("it is text"));
        }
        // An event in transit when the server is killed is stored here, and the server does not
        // know.
        thread::sleep(Duration::from_millis(rng.random_range(0..15)));
        let status = if is_taken { "200 OK" } else { "500 Not now" };
        (&mut &*stream)
            .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
}

/// The connection to the server has ended.
#[derive(Debug)]
struct Disconnected;

/// A client that records the calls that it is notified of.
struct Agent {
    ws: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    next_id: u64,
    journal: Arc<Mutex<Journal>>,
}

impl Agent {
    async fn sign_in(
        url: &str,
        token: &str,
        journal: Arc<Mutex<Journal>>,
    ) -> Result<Self, Disconnected> {
        let (ws, _) = timeout(DEADLINE, connect_async(url))
            .await
            .expect("in time")
            .map_err(|_| Disconnected)?;
        let mut agent = Self { ws, next_id: 0, journal };
        let hello = json!({ "token": token, "protocol": 1, "deviceId": "phone" });
        agent.send("session:hello", 0, &hello).await?;
        while agent.frame().await?["event"] != "session:welcome" {}
        Ok(agent)
    }

    async fn send(&mut self, event: &str, id: u64, data: &Value) -> Result<(), Disconnected> {
        let frame = json!({ "event": event, "id": id, "data": data });
        self.ws.send(Message::text(frame.to_string())).await.map_err(|_| Disconnected)
    }

    async fn frame(&mut self) -> Result<Value, Disconnected> {
        loop {
            match timeout(DEADLINE, self.ws.next()).await.expect("the server answers or is gone") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
                    self.note(&frame);
                    return Ok(frame);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(Disconnected),
            }
        }
    }

    fn note(&self, frame: &Value) {
        let (name, data) = (&frame["event"], &frame["data"]);
        let Some(id) = data["callId"].as_str().filter(|_| name.is_string()) else { return };
        let journal = &mut *self.journal.lock().unwrap();
        let (server, steps) = (journal.server, journal.calls.entry(id.to_owned()).or_default());
        match name.as_str().unwrap_or_default() {
            "call:ended" => steps.over = Some(server),
            "call:state" => match data["call"]["state"].as_str() {
                Some("connected") => steps.connected = true,
                Some("ended" | "failed") => steps.over = Some(server),
                _ => {}
            },
            "call:sync" | "call:incoming" => {
                // Of the same server, the other side may have been notified before this client
                // reads.
                let was_over = steps.over.is_some_and(|over| over < server);
                journal.back += usize::from(name == "call:sync");
                if was_over {
                    journal.wrong.push(format!("{id} came back after its end"));
                }
            }
            _ => {}
        }
    }

    async fn ask(&mut self, event: &str, data: Value) -> Result<Value, Disconnected> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(event, id, &data).await?;
        loop {
            let frame = self.frame().await?;
            if frame["re"] == id {
                return Ok(frame["data"].clone());
            }
        }
    }
}

/// Lets two users call each other until the server is gone. `call` is their current one.
async fn make_calls(
    url: String,
    tokens: [String; 2],
    names: [String; 2],
    journal: Arc<Mutex<Journal>>,
    mut call: Option<String>,
    seed: u64,
) -> Option<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let _: Result<(), Disconnected> = async {
        let mut caller = Agent::sign_in(&url, &tokens[0], journal.clone()).await?;
        let mut callee = Agent::sign_in(&url, &tokens[1], journal.clone()).await?;
        loop {
            let begun = Instant::now();
            if let Some(id) = &call {
                // The call is over with either response.
                caller.ask("call:end", json!({ "callId": id })).await.map(|answer| {
                    let journal = &mut *journal.lock().unwrap();
                    if answer["ok"] == true {
                        journal.calls.entry(id.clone()).or_default().over = Some(journal.server);
                    }
                })?;
                call = None;
            }
            let initiate = json!({ "targetUserId": names[1], "callType": "audio" });
            let answer = caller.ask("call:initiate", initiate).await?;
            if let Some(id) = answer["callId"].as_str() {
                journal.lock().unwrap().calls.entry(id.to_owned()).or_default();
                call = Some(id.to_owned());
                callee.ask("call:accept", json!({ "callId": id })).await?;
                let sdp = json!({ "callId": id, "sdp": "v=0\r\na=ice-ufrag:a\r\n" });
                caller.ask("signal:offer", sdp).await?;
                let connected = caller.ask("call:connected", json!({ "callId": id })).await?;
                if connected["state"] == "connected" {
                    journal.lock().unwrap().calls.entry(id.to_owned()).or_default().connected =
                        true;
                }
            }
            let rest = CYCLE.mul_f64(rng.random_range(0.6..1.4)).saturating_sub(begun.elapsed());
            // This is the pace of the load, and no wait for a condition.
            tokio::time::sleep(rest).await;
        }
    }
    .await;
    call
}

fn start(state: &Path, url: &str, sync: &str) -> Server {
    let records = state.join("records.jsonl");
    let [state, records] = [state, &records].map(|path| path.to_str().expect("it is text"));
    Server::with(
        &[
            ["--state-dir", state],
            ["--call-records", records],
            ["--disk-sync", sync],
            ["--webhook-url", url],
            ["--webhook-secret", "north-of-the-river"],
            ["--jwt-secret", "north south east west, 32 bytes of it"],
            ["--auth-secret", "what the relay and the hub share"],
            ["--reconnect-grace", "2s"],
            ["--calls-per-minute", "0"],
            ["--calls-per-pair", "0"],
            ["--log-level", "warn"],
        ]
        .concat(),
    )
}

fn kills() -> usize {
    std::env::var("CALLBOX_CRASH_KILLS").map_or(KILLS, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_ends_once_however_often_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (url, mailbox) = receiver();
    let journal = Arc::new(Mutex::new(Journal::default()));
    let mut rng = StdRng::from_os_rng();
    let names: Vec<_> =
        (0..PAIRS).map(|n| [format!("caller-{n}"), format!("callee-{n}")]).collect();
    let server = start(dir.path(), &url, "never");
    let tokens: Vec<_> =
        names.iter().map(|names| names.clone().map(|name| server.token(&name))).collect();
    let mut calls = vec![None; PAIRS];
    let (mut server, mut load) = (Some(server), Duration::ZERO);
    for kill in 0..kills() {
        let sync = if kill % 4 == 3 { "always" } else { "never" };
        journal.lock().unwrap().server = kill;
        let running = server.take().unwrap_or_else(|| start(dir.path(), &url, sync));
        let begun = Instant::now();
        // One pair in five does not connect this time, so that some calls time out.
        let mut tasks = Vec::new();
        for pair in 0..PAIRS {
            let call: Option<String> = calls[pair].clone();
            if rng.random_ratio(1, 5) && kill > 0 {
                continue;
            }
            let make_calls = make_calls(
                running.text("/websocket").to_owned(),
                tokens[pair].clone(),
                names[pair].clone(),
                journal.clone(),
                call,
                rng.random(),
            );
            tasks.push((pair, tokio::spawn(make_calls)));
        }
        let moment = Duration::from_micros(rng.random_range(0..1_500_000));
        tokio::time::sleep(moment).await;
        // Drop kills the server with SIGKILL.
        drop(running);
        load += begun.elapsed();
        for (pair, task) in tasks {
            calls[pair] = task.await.expect("a client does not fail");
        }
    }

    // The last server is not killed: the remaining calls end and are reported.
    let server = start(dir.path(), &url, "never");
    let live = |server: &Server| {
        let page = server.get("/metrics", None).body;
        let states = page.lines().filter(|line| line.starts_with("callbox_calls{"));
        states.filter(|line| !line.ends_with(" 0")).count()
    };
    let until = Instant::now() + 3 * DEADLINE;
    while live(&server) > 0 || server.metric("callbox_webhook_waiting") > 0.0 {
        assert!(Instant::now() < until, "calls or events are left over");
        thread::yield_now();
    }
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success() && !stderr.contains("ERROR"), "{stderr}");
    let log = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = log.map(|name| name.into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.ends_with("unreadable")), "{names:?}");

    let mut records: BTreeMap<String, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(dir.path().join("records.jsonl")).unwrap().lines() {
        let record: Value = serde_json::from_str(line).expect("each line is a record");
        *records.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
        *reasons.entry(record["reason"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let (journal, mailbox) = (journal.lock().unwrap(), mailbox.lock().unwrap());
    let connected = journal.calls.values().filter(|steps| steps.connected).count();
    println!(
        "{} kills under {:.0} calls a second; {} calls, {connected} told connected, {} came back; \
         {} records; {} events, {} of them more than once; {reasons:?}",
        kills(),
        journal.calls.len() as f64 / load.as_secs_f64(),
        journal.calls.len(),
        journal.back,
        records.len(),
        mailbox.bodies.len(),
        mailbox.again,
    );
    assert_eq!((&journal.wrong, &mailbox.wrong), (&Vec::new(), &Vec::new()));
    let of = |id: &String, name: &str| {
        let events = mailbox.events.get(id).into_iter().flatten();
        events.filter(|(_, event)| event == name).count()
    };
    let all: BTreeSet<_> =
        journal.calls.keys().chain(records.keys()).chain(mailbox.events.keys()).collect();
    let mut wrong = Vec::new();
    for id in all {
        let steps = journal.calls.get(id).cloned().unwrap_or_default();
        let counts =
            (records.get(id).copied().unwrap_or(0), of(id, "call.initiated"), of(id, "call.ended"));
        let is_last = mailbox.events.get(id).and_then(|events| events.last()).map(|last| &*last.1);
        let connected = of(id, "call.connected");
        let fits = connected == 1 || !steps.connected && connected == 0;
        if counts != (1, 1, 1) || is_last != Some("call.ended") || !fits {
            wrong.push(format!("{id}: {steps:?}, {counts:?}, {:?}", mailbox.events.get(id)));
        }
    }
    assert!(wrong.is_empty(), "{} calls: {}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    assert!(connected > kills(), "no load: {connected} calls");
}
