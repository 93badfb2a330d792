//! The time that the hub takes for the requests of a call: a candidate that it passes on, a request
//! that it refuses, and a whole call from `call:initiate` to `call:end`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use callbox_signaling::{
    Config, Hub, Input, Now, Output, Payload, RequestId, Resume, SessionId, UserId,
    jwt::{Grants, Identity, TokenId},
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

const CANDIDATE: &str =
    "candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host generation 0 ufrag abcd";

/// A hub with two users who are connected.
struct World {
    hub: Hub,
    now: Now,
    caller: SessionId,
    callee: SessionId,
}

impl World {
    fn new() -> Self {
        // The limits on requests a second are for clients, not for a benchmark.
        let config =
            Config { events_per_second: u32::MAX, event_burst: u32::MAX, ..Config::default() };
        let mut hub = Hub::new(config, [7; 32]);
        let now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
        let mut rng = StdRng::seed_from_u64(7);
        let [caller, callee] = ["alice", "bob"].map(|user| {
            let session = SessionId::generate(now.unix_ms(), &mut rng);
            let identity = Box::new(Identity {
                user: UserId::new(user).expect("a user id"),
                name: None,
                expires: 1_700_086_400,
                grants: Grants::default(),
                token: TokenId::of(user),
                issued: None,
            });
            hub.handle(now, Input::Open { session, identity, device: None, resume: Resume::Never });
            session
        });
        while hub.poll_output().is_some() {}
        Self { hub, now, caller, callee }
    }

    /// Hands a request over and takes out every output. Returns the answer.
    fn request(&mut self, session: SessionId, event: &str, data: &str) -> Option<Output> {
        let data = Payload::parse(data).expect("JSON");
        let (id, event) = (Some(RequestId(1)), event.to_owned());
        self.hub.handle(self.now, Input::Request { session, id, event, data });
        let mut answer = None;
        while let Some(output) = self.hub.poll_output() {
            if matches!(output, Output::Answer { .. }) {
                answer = Some(output);
            }
        }
        answer
    }

    /// Begins a call that the callee has accepted, and returns its id.
    fn call(&mut self) -> Value {
        let wanted = json!({ "targetUserId": "bob", "callType": "video" }).to_string();
        let answer = self.request(self.caller, "call:initiate", &wanted);
        let Some(Output::Answer { answer, .. }) = answer else { panic!("no answer") };
        let answer: Value = serde_json::from_str(answer.0.as_str()).expect("JSON");
        let call = answer["callId"].clone();
        assert!(call.is_string(), "{answer}");
        self.request(self.callee, "call:accept", &json!({ "callId": call }).to_string());
        call
    }
}

fn request(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    group.throughput(Throughput::Elements(1));

    let mut world = World::new();
    let call = world.call();
    let candidate = json!({ "candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0 });
    let candidate = json!({ "callId": call, "candidate": candidate }).to_string();
    let caller = world.caller;
    group.bench_function("ice_candidate", |b| {
        b.iter(|| black_box(world.request(caller, "ice:candidate", black_box(&candidate))));
    });
    let answer = world.request(caller, "ice:candidate", &candidate);
    let Some(Output::Answer { answer, .. }) = answer else { panic!("no answer") };
    assert!(!answer.0.as_str().contains("error"), "{}", answer.0.as_str());
    group.bench_function("refused", |b| {
        b.iter(|| black_box(world.request(caller, "call:initiate", black_box("[]"))));
    });

    group.bench_function("whole_call", |b| {
        b.iter_batched_ref(
            World::new,
            |world| {
                let call = world.call();
                let ending = json!({ "callId": call }).to_string();
                black_box(world.request(world.caller, "call:end", &ending))
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, request);
criterion_main!(benches);
