//! Runs the call flow with `rust_socketio`, a client that shares no code with the server:
//! `callbox-socketio-client URL ALICE_TOKEN BOB_TOKEN any|websocket|polling`. Each side
//! authenticates with a token only. Exits with 0 on success.

use std::{
    collections::HashMap,
    env,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use rust_socketio::{ClientBuilder, Event, Payload, TransportType, client::Client};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(10);

/// Received events that were not returned by `next` yet, by name.
#[derive(Default)]
struct Received {
    events: Mutex<HashMap<String, Vec<Value>>>,
    changed: Condvar,
}

impl Received {
    fn put(&self, event: String, payload: Payload) {
        let data = first(payload);
        self.events.lock().unwrap().entry(event).or_default().push(data);
        self.changed.notify_all();
    }

    fn next(&self, event: &str) -> Value {
        let until = Instant::now() + WITHIN;
        let mut events = self.events.lock().unwrap();
        loop {
            if let Some(waiting) = events.get_mut(event)
                && !waiting.is_empty()
            {
                return waiting.remove(0);
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{event} was not received; so far: {:?}", events.keys());
            events = self.changed.wait_timeout(events, left).unwrap().0;
        }
    }
}

fn first(payload: Payload) -> Value {
    match payload {
        Payload::Text(values) => values.into_iter().next().unwrap_or_default(),
        _ => Value::Null,
    }
}

struct Peer {
    client: Client,
    received: Arc<Received>,
}

impl Peer {
    fn connect(url: &str, token: &str, transport: TransportType) -> Self {
        let received = Arc::new(Received::default());
        let sink = received.clone();
        let client = ClientBuilder::new(url)
            .auth(json!({ "token": token }))
            .transport_type(transport)
            .on_any(move |event, payload, _| {
                if let Event::Custom(name) = event {
                    sink.put(name, payload);
                }
            })
            .connect()
            .expect("the server accepts the connection");
        Self { client, received }
    }

    fn emit(&self, event: &str, data: Value) {
        self.client.emit(event, data).expect("it is connected");
    }

    fn ask(&self, event: &str, data: Value) -> Value {
        let sink = self.received.clone();
        let name = format!("answer to {event}");
        let key = name.clone();
        let answered = move |payload: Payload, _| sink.put(name.clone(), payload);
        self.client.emit_with_ack(event, data, WITHIN, answered).expect("it is connected");
        // The arguments of an acknowledgement arrive as a list.
        let answer = self.received.next(&key);
        if answer.is_array() { answer[0].clone() } else { answer }
    }

    fn next(&self, event: &str) -> Value {
        self.received.next(event)
    }
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [url, alice, bob, transport] = &args[..] else {
        panic!("usage: URL ALICE_TOKEN BOB_TOKEN any|websocket|polling");
    };
    let transport = || match transport.as_str() {
        "websocket" => TransportType::Websocket,
        "polling" => TransportType::Polling,
        _ => TransportType::Any,
    };
    let [alice, bob] = [alice, bob].map(|token| Peer::connect(url, token, transport()));
    assert_eq!(alice.next("session:welcome")["userId"], "alice");
    assert_eq!(bob.next("session:welcome")["userId"], "bob");

    let call = || {
        let initiate = json!({ "targetUserId": "bob", "callType": "video" });
        let answer = alice.ask("call:initiate", initiate);
        assert_eq!(answer["ok"], true, "{answer}");
        let incoming = bob.next("call:incoming");
        assert_eq!(incoming["callId"], answer["callId"]);
        bob.emit("call:accept", json!({ "callId": answer["callId"] }));
        assert_eq!(alice.next("call:accepted")["callId"], answer["callId"]);
        answer["callId"].clone()
    };

    let id = call();
    let candidate = |n: u32| json!({ "callId": id, "candidate": { "candidate": n.to_string() } });
    alice.emit("ice:candidate", candidate(1));
    alice.emit("signal:offer", json!({ "callId": id, "sdp": "v=0 offer" }));
    assert_eq!(bob.next("signal:offer")["sdp"], "v=0 offer");
    assert_eq!(bob.next("ice:candidate")["candidate"], candidate(1)["candidate"]);
    bob.emit("signal:answer", json!({ "callId": id, "sdp": "v=0 answer" }));
    bob.emit("ice:candidate", candidate(2));
    assert_eq!(alice.next("signal:answer")["sdp"], "v=0 answer");
    assert_eq!(alice.next("ice:candidate")["candidate"], candidate(2)["candidate"]);
    let ended = alice.ask("call:end", json!({ "callId": id }));
    assert_eq!(ended["reason"], "hangup", "{ended}");
    assert_eq!(bob.next("call:ended")["reason"], "hangup");
    let refused = bob.ask("call:end", json!({ "callId": id }));
    assert_eq!(refused["error"]["code"], "call_ended", "{refused}");

    call();
    alice.client.disconnect().expect("it is connected");
    assert_eq!(bob.next("call:ended")["reason"], "left");
    bob.client.disconnect().expect("it is connected");
    println!("ok");
}
