//! Calls of up to eight.

mod ending;
mod limits;
mod reconnecting;
mod relaying;

use serde_json::Value;

use super::*;

/// A device of each user, in the room `lobby` in this order; and what each participant is called.
fn in_lobby<const N: usize>(world: &mut World, users: [&str; N]) -> ([SessionId; N], [String; N]) {
    let sessions = users.map(|user| world.open(user, "laptop"));
    let participants = sessions.map(|session| join(world, session));
    world.forget();
    (sessions, participants)
}

fn join(world: &mut World, session: SessionId) -> String {
    let answer = world.ok(session, "room:join", json!({ "roomId": "lobby" }));
    answer["participantId"].as_str().unwrap().to_owned()
}

fn call_of(answer: &Value) -> CallId {
    serde_json::from_value(answer["callId"].clone()).unwrap()
}

/// A payload that goes to one participant of the lobby.
fn to(participant: &str, mut data: Value) -> Value {
    data["roomId"] = json!("lobby");
    data["to"] = json!(participant);
    data
}
