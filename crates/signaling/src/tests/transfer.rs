//! A side of a call goes on with it on another device.

use std::time::Duration;

use callbox_base::ids::{CallId, SessionId};
use serde_json::{Value, json};

use super::{Input, Resume, World, candidate, ms, sdp};
use crate::{CallState, EndReason, call::Role};

/// alice and bob in a call that is connected; bob has a tablet besides.
struct InCall {
    world: World,
    call: CallId,
    alice: SessionId,
    phone: SessionId,
    tablet: SessionId,
}

fn connected() -> InCall {
    let (mut world, alice, phone) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.ok(phone, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(phone, "signal:answer", sdp("b"));
    let tablet = world.open("bob", "tablet");
    world.forget();
    InCall { world, call, alice, phone, tablet }
}

/// bob hands the call to his tablet, which rings.
fn handing_over() -> InCall {
    let mut all = connected();
    all.world.ok(all.phone, "call:transfer", json!({ "deviceId": "tablet" }));
    all
}

impl InCall {
    fn state(&self) -> CallState {
        self.world.hub.calls_of_two().get(self.call).unwrap().state()
    }

    /// The one event that a session has heard.
    fn one(&mut self, session: SessionId) -> (String, Value) {
        let mut received = self.world.received(session);
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// The phone has heard that it goes on with the call; nobody else has heard anything.
    fn goes_on_with_the_phone(mut self) {
        let (name, data) = self.one(self.phone);
        assert_eq!(name, "call:transferred");
        let expected = json!({
            "callId": self.call, "userId": "bob", "deviceId": "tablet", "accepted": false });
        assert_eq!(data, expected);
        assert_eq!(self.world.names(self.alice), [""; 0]);
        assert_eq!(self.state(), CallState::Connected);
        self.world.refused(
            self.tablet,
            "call:accept",
            json!({ "callId": self.call }),
            "invalid_state",
        );
        self.world.ok(self.alice, "ice:candidate", candidate(1));
        assert_eq!(self.world.names(self.phone), ["ice:candidate"]);
        // It may try again.
        self.world.ok(self.phone, "call:transfer", json!({ "deviceId": "tablet" }));
        self.world.assert_nothing_is_left();
    }
}

#[test]
fn the_other_device_rings_and_takes_the_call() {
    let mut all = connected();
    let answer = all.world.ok(all.phone, "call:transfer", json!({ "deviceId": "tablet" }));
    let (name, incoming) = all.one(all.tablet);
    assert_eq!(name, "call:incoming");
    assert_eq!(
        (&incoming["callerId"], &incoming["transferFrom"], &incoming["callType"]),
        (&json!("alice"), &json!("phone"), &json!("video"))
    );
    assert_eq!(incoming["expiresAt"], answer["expiresAt"]);
    let username = incoming["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(&format!(":bob:{}", all.call)));
    // It says that it rings, once, to the device that asked.
    all.world.ok(all.tablet, "call:ring", json!({}));
    all.world.ok(all.tablet, "call:ring", json!({}));
    let (name, ringing) = all.one(all.phone);
    assert_eq!((name.as_str(), &ringing["deviceId"]), ("call:ringing", &json!("tablet")));
    // Meanwhile the call goes on where it is.
    all.world.ok(all.alice, "ice:candidate", candidate(1));
    assert_eq!(all.world.names(all.phone), ["ice:candidate"]);
    assert_eq!(all.world.names(all.tablet), [""; 0]);
    all.world.refused(all.tablet, "ice:candidate", candidate(1), "invalid_state");
    assert_eq!(all.world.names(all.alice), [""; 0]);

    all.world.pass(ms(2000));
    let accepted = all.world.ok(all.tablet, "call:accept", json!({}));
    assert_eq!(accepted["state"], "reconnecting");
    let (name, ended) = all.one(all.phone);
    assert_eq!((name.as_str(), &ended["duration"]), ("call:ended", &json!(2.0)));
    assert_eq!(
        (&ended["reason"], &ended["endedBy"]),
        (&json!("answered_elsewhere"), &json!("bob"))
    );
    let (name, data) = all.one(all.alice);
    assert_eq!(name, "call:transferred");
    let expected =
        json!({ "callId": all.call, "userId": "bob", "deviceId": "tablet", "accepted": true });
    assert_eq!(data, expected);
    // The phone is out of it, in both directions.
    let call = json!({ "callId": all.call });
    for request in ["call:end", "call:accept", "call:connected"] {
        all.world.refused(all.phone, request, call.clone(), "invalid_state");
    }
    all.world.ok(all.alice, "call:message", json!({ "data": 1 }));
    assert_eq!(all.world.names(all.phone), [""; 0]);
    assert_eq!(all.world.names(all.tablet), ["call:message"]);
    all.world.ok(all.tablet, "call:end", json!({}));
    assert_eq!(all.world.reasons(all.alice), ["hangup"]);
    all.world.assert_nothing_is_left();
}

#[test]
fn the_new_device_begins_with_a_new_connection() {
    let mut all = handing_over();
    // The phone's payloads now are for a connection that ends.
    all.world.ok(all.phone, "media:update", json!({ "muted": true }));
    all.world.ok(all.alice, "call:upgrade", json!({ "callType": "audio" }));
    all.world.ok(all.tablet, "call:accept", json!({}));
    all.world.forget();
    let record = all.world.hub.call(all.world.now, all.call).unwrap();
    assert_eq!(record.participants[1].media, None);
    // Candidates wait for their description again, and there is nothing to answer yet.
    all.world.refused(all.tablet, "signal:answer", sdp("c"), "invalid_state");
    all.world.refused(
        all.tablet,
        "call:upgrade",
        json!({ "callType": "audio", "accept": false }),
        "invalid_state",
    );
    all.world.ok(all.alice, "ice:candidate", candidate(1));
    assert_eq!(all.world.names(all.tablet), [""; 0]);
    all.world.ok(all.alice, "signal:offer", sdp("d"));
    assert_eq!(all.world.names(all.tablet), ["signal:offer", "ice:candidate"]);
    assert_eq!(all.state(), CallState::Reconnecting);
    // A device that knows only the flow is connected once it has answered.
    all.world.ok(all.tablet, "signal:answer", sdp("c"));
    assert_eq!(all.state(), CallState::Connected);
    // A page that is reloaded gets what it was sent before, and no more.
    all.world.close(all.tablet);
    let tablet = all.world.open("bob", "tablet");
    let received = all.world.received.remove(&tablet).unwrap();
    let (_, sync) = received.iter().find(|(name, _)| name == "call:sync").unwrap();
    assert_eq!(sync["description"]["sdp"], sdp("d")["sdp"]);
    assert_eq!(sync["candidates"].as_array().unwrap().len(), 1);
    all.world.assert_nothing_is_left();
}

#[test]
fn events_queued_for_the_old_device_are_dropped() {
    let mut all = handing_over();
    all.world.close(all.phone);
    assert_eq!(all.world.names(all.alice), ["call:reconnecting"]);
    all.world.ok(all.alice, "signal:offer", sdp("a"));
    all.world.ok(all.alice, "ice:candidate", candidate(1));
    all.world.ok(all.tablet, "call:accept", json!({}));
    assert_eq!(all.world.names(all.alice), ["call:transferred", "call:reconnected"]);
    all.world.pass(ms(1000));
    assert_eq!(all.world.names(all.tablet), ["call:incoming"]);
    assert_eq!(all.world.hub.stats().counters.candidates_dropped, 1);
    // The grace of the old device is over for nobody.
    all.world.pass(Duration::from_secs(60));
    assert_eq!(all.state(), CallState::Reconnecting);
    all.world.ok(all.alice, "call:connected", json!({}));
    assert_eq!(all.state(), CallState::Connected);
    // It comes back to nothing.
    let phone = all.world.open("bob", "phone");
    assert_eq!(all.world.names(phone), [""; 0]);
    all.world.assert_nothing_is_left();
}

#[test]
fn the_caller_may_also_transfer_and_before_media_flows() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let tablet = world.open("alice", "tablet");
    let call = world.call(alice, "bob");
    let to_tablet = json!({ "deviceId": "tablet" });
    world.refused(alice, "call:transfer", to_tablet.clone(), "invalid_state");
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    world.ok(alice, "call:transfer", to_tablet);
    let incoming = world.received(tablet).remove(0).1;
    assert_eq!(
        (&incoming["callerId"], &incoming["transferFrom"]),
        (&json!("bob"), &json!("laptop"))
    );
    assert_eq!(world.ok(tablet, "call:accept", json!({}))["state"], "connecting");
    assert_eq!(world.names(bob), ["call:transferred"]);
    assert_eq!(
        world.hub.calls_of_two().get(call).unwrap().party(Role::Caller).session(),
        Some(tablet)
    );
    world.refused(alice, "call:end", json!({ "callId": call }), "not_a_participant");
    world.ok(bob, "signal:offer", sdp("a"));
    world.ok(tablet, "signal:answer", sdp("b"));
    assert_eq!(world.states(tablet).last().unwrap(), "connected");
    // And on to the next one.
    world.ok(tablet, "call:transfer", json!({ "deviceId": "laptop" }));
    world.ok(alice, "call:accept", json!({}));
    assert_eq!(world.reasons(tablet), ["answered_elsewhere"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_device_that_refuses_changes_nothing() {
    for request in ["call:reject", "call:end"] {
        let mut all = handing_over();
        all.world.forget();
        let answer = all.world.ok(all.tablet, request, json!({}));
        assert_eq!(
            (&answer["state"], &answer["reason"]),
            (&json!("connected"), &json!("rejected"))
        );
        all.goes_on_with_the_phone();
    }
}

#[test]
fn a_device_that_does_not_answer_changes_nothing() {
    let mut all = handing_over();
    all.world.pass(all.world.hub.config().ring_timeout - ms(1));
    assert_eq!(all.world.names(all.phone), [""; 0]);
    all.world.pass(ms(1));
    assert_eq!(all.world.reasons(all.tablet), ["timeout"]);
    all.goes_on_with_the_phone();
}

#[test]
fn a_device_that_leaves_changes_nothing() {
    let mut all = handing_over();
    all.world.close(all.tablet);
    all.tablet = all.world.open("bob", "tablet");
    assert_eq!(all.world.names(all.tablet), [""; 0]);
    all.goes_on_with_the_phone();
}

#[test]
fn a_device_that_comes_back_still_rings() {
    // With its session.
    let mut all = handing_over();
    all.world.input(Input::Lost { session: all.tablet });
    all.world.pass(ms(10_000));
    let seq = all.world.hub.outbox().last_seq(all.tablet);
    let resume = Resume::From { session: all.tablet, seq };
    all.world.connect("bob", "tablet", u64::MAX, resume);
    assert_eq!(all.world.names(all.phone), [""; 0]);
    all.world.ok(all.tablet, "call:accept", json!({}));
    assert_eq!(all.world.reasons(all.phone), ["answered_elsewhere"]);
    all.world.assert_nothing_is_left();

    // A new session of the tablet replaces it.
    let mut all = handing_over();
    let (_, before) = all.one(all.tablet);
    all.world.pass(ms(1000));
    let tablet = all.world.open("bob", "tablet");
    let (name, incoming) = all.one(tablet);
    assert_eq!((name.as_str(), &incoming["expiresAt"]), ("call:incoming", &before["expiresAt"]));
    assert_eq!(incoming["transferFrom"], "phone");
    all.world.ok(tablet, "call:accept", json!({}));
    assert_eq!(all.world.names(all.alice), ["call:transferred"]);
    all.world.assert_nothing_is_left();

    // Not at all.
    let mut all = handing_over();
    all.world.input(Input::Lost { session: all.tablet });
    all.world.pass(all.world.hub.config().resume_window);
    assert_eq!(all.world.names(all.phone), ["call:transferred"]);
    all.world.assert_nothing_is_left();
}

#[test]
fn the_transferring_device_may_disconnect_and_return() {
    // It comes back, and hears how it went.
    let mut all = handing_over();
    let phone = all.world.open("bob", "phone");
    all.world.ok(all.tablet, "call:reject", json!({}));
    assert_eq!(all.world.names(phone), ["call:transferred"]);
    all.world.assert_nothing_is_left();

    // It resumes its session after the fact.
    let mut all = handing_over();
    all.world.input(Input::Lost { session: all.phone });
    all.world.ok(all.tablet, "call:accept", json!({}));
    let seq = all.world.hub.outbox().last_seq(all.phone) - 1;
    all.world.connect("bob", "phone", u64::MAX, Resume::From { session: all.phone, seq });
    assert_eq!(all.world.reasons(all.phone), ["answered_elsewhere"]);
    assert_eq!(all.state(), CallState::Reconnecting);
    all.world.assert_nothing_is_left();

    // It does not: the call is over, and with it the ringing.
    let mut all = handing_over();
    all.world.close(all.phone);
    all.world.pass(Duration::from_secs(30));
    assert_eq!(all.world.reasons(all.tablet), ["connection_lost"]);
    all.world.assert_nothing_is_left();

    // It hangs up.
    let mut all = handing_over();
    all.world.ok(all.phone, "call:end", json!({}));
    assert_eq!(all.world.reasons(all.tablet), ["hangup"]);
    assert_eq!(all.world.hub.stats().counters.calls_ended.get(EndReason::Hangup), 1);
    all.world.assert_nothing_is_left();
}

#[test]
fn only_a_connected_device_of_the_same_user_takes_a_call() {
    let mut all = connected();
    all.world.open("alice", "desk");
    let away = all.world.open("bob", "watch");
    all.world.input(Input::Lost { session: away });
    for device in ["phone", "laptop", "desk", "watch", "none"] {
        let data = json!({ "deviceId": device });
        all.world.refused(all.phone, "call:transfer", data, "invalid_target");
    }
    all.world.refused(all.phone, "call:transfer", json!({}), "invalid_payload");
    let to_tablet = json!({ "callId": all.call, "deviceId": "tablet" });
    all.world.refused(all.tablet, "call:transfer", to_tablet.clone(), "invalid_state");
    let mallory = all.world.open("mallory", "laptop");
    all.world.refused(mallory, "call:transfer", to_tablet.clone(), "not_a_participant");
    // One device at a time, whichever side asks.
    all.world.ok(all.phone, "call:transfer", to_tablet.clone());
    all.world.refused(all.phone, "call:transfer", to_tablet.clone(), "invalid_state");
    let to_desk = json!({ "deviceId": "desk" });
    all.world.refused(all.alice, "call:transfer", to_desk.clone(), "invalid_state");
    all.world.refused(all.tablet, "call:transfer", to_tablet, "invalid_state");
    all.world.ok(all.tablet, "call:accept", json!({}));
    all.world.ok(all.alice, "call:transfer", to_desk);
    all.world.assert_nothing_is_left();
}

#[test]
fn an_operator_ends_it_for_everyone() {
    let mut all = handing_over();
    all.world.hub.hang_up(all.world.now, all.call);
    all.world.drain();
    for session in [all.alice, all.phone, all.tablet] {
        assert_eq!(all.world.reasons(session), ["kicked"]);
    }
    all.world.assert_nothing_is_left();
    // A kick of the device that rings is none of the call's.
    let mut all = handing_over();
    let tablet = callbox_base::ids::DeviceId::new("tablet").unwrap();
    all.world.hub.kick(all.world.now, &super::user("bob"), Some(&tablet));
    all.world.drain();
    assert_eq!(all.world.names(all.phone), ["call:transferred"]);
    all.world.assert_nothing_is_left();
}
