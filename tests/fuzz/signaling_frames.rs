//! The fuzz target of the signaling hub: frames of signed-in clients.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use callbox_base::{
    clock::Now,
    ids::{DeviceId, SessionId, UserId},
};
use callbox_signaling::{
    self as signaling, Hub, Input, Payload, RequestId, Resume,
    jwt::{Grants, Identity, TokenId},
};

/// Returns the id of the call in an answer.
fn call_id(answer: &signaling::Answer) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(answer.0.as_str()).expect("it is JSON");
    answer["callId"].as_str().map(str::to_owned)
}

/// For any frames of signed-in clients: the hub answers each request that has an id exactly once,
/// and holds no call when all clients have left.
pub(crate) fn signaling_frames(bytes: &[u8]) {
    let config = signaling::Config { events_per_second: 0, ..signaling::Config::default() };
    let mut hub = Hub::new(config, [7; 32]);
    let mut now = Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
    let mut rng = rand::rng();
    let sessions: Vec<_> = ["alice", "bob", "carol"]
        .iter()
        .map(|name| {
            let session = SessionId::generate(now.unix_ms(), &mut rng);
            let (user, grants) = (UserId::new(name).unwrap(), Grants::default());
            let (token, issued) = (TokenId::default(), None);
            let identity = Identity { user, name: None, expires: u64::MAX, grants, token, issued };
            let device = DeviceId::new("d").unwrap();
            let (device, resume) = (Some(device), Resume::New);
            hub.handle(now, Input::Open { session, identity: identity.into(), device, resume });
            session
        })
        .collect();
    let mut call = None;
    for (at, line) in bytes.split(|byte| *byte == b'\n').take(64).enumerate() {
        while let Some(output) = hub.poll_output() {
            if let signaling::Output::Answer { answer, .. } = output {
                call = call_id(&answer).or(call);
            }
        }
        let Some((&who, line)) = line.split_first() else { continue };
        let Ok(text) = std::str::from_utf8(line) else { continue };
        // The id of a call cannot be guessed: `$` stands for the last one.
        let text = text.replace('$', call.as_deref().unwrap_or("$"));
        let Ok(frame) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        let Some(event) = frame["event"].as_str() else { continue };
        let Ok(data) = Payload::parse(&frame["data"].to_string()) else { continue };
        let (session, id) = (sessions[usize::from(who) % 3], RequestId(at as u64));
        let event = event.to_owned();
        hub.handle(now, Input::Request { session, id: Some(id), event, data });
        let mut answered = HashSet::new();
        while let Some(output) = hub.poll_output() {
            if let signaling::Output::Answer { session: to, id, answer } = output {
                assert!(answered.insert((to, id)), "answered twice");
                call = call_id(&answer).or(call);
            }
        }
        assert!(answered.contains(&(session, id)), "{text} was not answered");
        now = now + Duration::from_millis(u64::from(who) * 10);
        hub.handle_timeout(now);
    }
    for session in sessions {
        hub.handle(now, Input::Closed { session });
    }
    hub.handle_timeout(now + Duration::from_secs(3600));
    while hub.poll_output().is_some() {}
    assert_eq!(hub.stats().users, 0, "a session or a call is left");
}
