//! The rights that tokens give their bearers.

use callbox_base::ids::{DeviceId, SessionId};
use serde_json::{Value, json};

use super::{World, identity};
use crate::{
    EndReason, Input, Resume,
    jwt::{Grants, Identity},
};

impl World {
    pub(super) fn open_with(&mut self, name: &str, device: &str, grants: Grants) -> SessionId {
        let session = SessionId::generate(self.now.unix_ms(), &mut self.rng);
        let device = Some(DeviceId::new(device).unwrap());
        let identity = self.identity_with(name, grants);
        self.input(Input::Open { session, identity: identity.into(), device, resume: Resume::New });
        session
    }

    fn identity_with(&self, name: &str, grants: Grants) -> Identity {
        Identity { grants, ..identity(name, self.now.unix_secs() + 86_400) }
    }

    pub(super) fn refresh_with(&mut self, session: SessionId, name: &str, grants: Grants) {
        let proof = Ok(self.identity_with(name, grants));
        self.input(Input::Refresh {
            session,
            id: None,
            data: json!({}).into(),
            proof: proof.into(),
        });
    }
}

fn may_call(patterns: &[&str]) -> Grants {
    let call = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Grants { call: Some(call), ..Grants::default() }
}

pub(super) fn at_once(max: u64) -> Grants {
    Grants { max_calls: Some(max), ..Grants::default() }
}

fn no_relay() -> Grants {
    Grants { relay: false, ..Grants::default() }
}

fn calling(target: &str) -> Value {
    json!({ "targetUserId": target, "callType": "audio" })
}

#[test]
fn only_permitted_users_can_be_called() {
    let mut world = World::new(|config| config.max_calls_per_user = 9);
    let alice = world.open_with("alice", "laptop", may_call(&["bob", "team-a:*"]));
    world.call(alice, "bob");
    world.call(alice, "team-a:carol");
    world.refused(alice, "call:initiate", calling("dave"), "invalid_target");
    // That is the token's, not the user's.
    let phone = world.open("alice", "phone");
    world.call(phone, "dave");
    // It says nothing of who may call alice.
    let bob = world.open("bob", "laptop");
    world.call(bob, "alice");
    // And it goes with the token.
    world.refresh_with(alice, "alice", may_call(&["dave"]));
    world.call(alice, "dave");
    world.refused(alice, "call:initiate", calling("team-a:carol"), "invalid_target");
    world.assert_nothing_is_left();
}

#[test]
fn a_token_can_lower_the_limit_of_calls() {
    let mut world = World::new(|config| config.max_calls_per_user = 2);
    let alice = world.open_with("alice", "laptop", at_once(1));
    let bob = world.open_with("bob", "laptop", at_once(9));
    let carol = world.open("carol", "laptop");
    world.call(bob, "carol");
    let taken = world.call(bob, "alice");
    world.ok(alice, "call:accept", json!({ "callId": taken }));
    // A token does not raise it.
    world.refused(bob, "call:initiate", calling("dave"), "too_many_calls");
    world.refused(alice, "call:initiate", calling("dave"), "too_many_calls");
    world.forget();
    world.call(carol, "alice");
    assert_eq!(world.reasons(carol), ["busy"]);
    assert_eq!(world.hub.stats().counters.calls_ended.get(EndReason::Busy), 1);
    // The least that a token of a user says counts for the user.
    world.open_with("dave", "laptop", at_once(0));
    world.open_with("dave", "tablet", at_once(2));
    let phone = world.open("dave", "phone");
    world.refused(phone, "call:initiate", calling("erin"), "too_many_calls");
    world.call(carol, "dave");
    assert_eq!(world.reasons(carol), ["busy"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_token_without_the_relay_gets_stun_alone() {
    let stun = json!([{ "urls": ["stun:192.0.2.1:3478"] }]);
    let is_stun_alone =
        |data: &Value| data["iceServers"] == stun && data["turnCredentials"] == Value::Null;
    let mut world = World::new(|_| {});
    let alice = world.open_with("alice", "laptop", no_relay());
    let bob = world.open_with("bob", "phone", no_relay());
    let tablet = world.open("bob", "tablet");
    assert!(is_stun_alone(&world.received[&alice][0].1));
    assert!(!is_stun_alone(&world.received[&tablet][0].1));
    world.forget();
    let answer = world.ok(alice, "call:initiate", calling("bob"));
    assert!(is_stun_alone(&answer), "{answer}");
    // Each device has a token of its own.
    let incoming = |world: &mut World, session| world.received(session)[0].clone();
    assert!(is_stun_alone(&incoming(&mut world, bob).1));
    assert!(!is_stun_alone(&incoming(&mut world, tablet).1));
    let asked = json!(world.hub.ice_servers(world.now, &world.identity_with("bob", no_relay())));
    assert!(is_stun_alone(&asked), "{asked}");

    // A client that comes back is sent what its new token allows.
    let expires = world.now.unix_secs() + 86_400;
    world.forget();
    world.input(Input::Lost { session: alice });
    world.connect("alice", "laptop", expires, Resume::From { session: alice, seq: 1 });
    let (name, welcome) = &world.received[&alice][0];
    assert_eq!((name.as_str(), &welcome["resumed"]), ("welcome", &json!(true)));
    assert!(!is_stun_alone(welcome));
}
