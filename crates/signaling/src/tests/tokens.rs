//! Tokens that are about to expire, and others that replace them.

use std::time::Duration;

use callbox_base::ids::SessionId;
use serde_json::{Value, json};

use super::{Input, RequestId, World, identity, ms, user};
use crate::{CloseReason, ErrorCode, RequestError, Resume, jwt::Identity};

const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn refresh(&mut self, session: SessionId, proof: Result<Identity, RequestError>) -> Value {
        let (id, data) = (Some(RequestId(0)), json!({ "token": null }));
        self.input(Input::Refresh { session, id, data: data.into(), proof: proof.into() })
            .expect("it is answered")
    }
}

#[test]
fn an_expiring_token_causes_one_warning() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 200);
    world.pass(140 * SECOND - ms(1));
    assert_eq!(world.names(alice), [""; 0]);
    world.pass(ms(1));
    let expiring = ("auth:expiring".to_owned(), json!({ "expiresAt": "2023-11-14T22:16:40.000Z" }));
    assert_eq!(world.received(alice), [expiring]);
    world.pass(65 * SECOND - ms(1));
    assert_eq!((world.names(alice).len(), world.closed.len()), (0, 0));
    world.pass(ms(1));
    assert_eq!(world.closed[&alice], CloseReason::TokenExpired);
    world.assert_nothing_is_left();
}

#[test]
fn a_short_lived_token_causes_a_warning_at_half_its_lifetime() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 60);
    world.pass(30 * SECOND - ms(1));
    assert_eq!(world.names(alice), [""; 0]);
    world.pass(ms(1));
    assert_eq!(world.names(alice), ["auth:expiring"]);
    world.pass(34 * SECOND);
    assert_eq!(world.names(alice), [""; 0]);
}

#[test]
fn without_a_warning_time_a_token_expires_unannounced() {
    let mut world = World::new(|config| config.token_warning = Duration::ZERO);
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 100);
    world.pass(105 * SECOND);
    assert_eq!((world.names(alice).len(), world.closed[&alice]), (0, CloseReason::TokenExpired));
}

#[test]
fn a_new_token_replaces_the_old_one() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 100);
    world.pass(50 * SECOND);
    world.forget();
    let fresh = Identity { name: Some("Alice".into()), ..identity("alice", start + 300) };
    let answer = world.refresh(alice, Ok(fresh));
    assert_eq!(answer, json!({ "ok": true, "expiresAt": "2023-11-14T22:18:20.000Z" }));
    assert_eq!(world.hub.display_name(&user("alice")).as_deref(), Some("Alice"));
    world.pass(189 * SECOND);
    assert_eq!(world.names(alice), [""; 0]);
    world.pass(SECOND);
    assert_eq!(world.names(alice), ["auth:expiring"]);
    // The same token again gives no new warning; one that expires soon does.
    assert_eq!(world.refresh(alice, Ok(identity("alice", start + 300)))["ok"], true);
    assert_eq!(world.names(alice), [""; 0]);
    assert_eq!(world.refresh(alice, Ok(identity("alice", start + 260)))["ok"], true);
    assert_eq!(world.names(alice), [""; 0]);
    world.pass(10 * SECOND);
    assert_eq!(world.names(alice), ["auth:expiring"]);
    world.pass(15 * SECOND);
    assert_eq!(world.closed[&alice], CloseReason::TokenExpired);
    world.assert_nothing_is_left();
}

#[test]
fn a_token_that_is_refused_leaves_the_old_one() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 100);
    let unauthorized = RequestError::new(ErrorCode::Unauthorized, "It is not valid.");
    for (proof, code) in [
        (Ok(identity("bob", start + 300)), "wrong_user"),
        (Ok(identity("alice", start - 5)), "token_expired"),
        (Err(unauthorized), "unauthorized"),
    ] {
        let answer = world.refresh(alice, proof);
        assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!(code)));
    }
    // A front that has not looked at it has proved nothing.
    world.refused(alice, "auth:refresh", json!({ "token": "x" }), "unauthorized");
    assert_eq!(world.hub.stats().counters.errors.get(ErrorCode::Unauthorized), 2);
    world.pass(105 * SECOND);
    assert_eq!(world.closed[&alice], CloseReason::TokenExpired);
}

#[test]
fn a_session_that_is_gone_does_not_refresh() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 10);
    world.pass(15 * SECOND);
    assert_eq!(world.closed[&alice], CloseReason::TokenExpired);
    let (id, data) = (Some(RequestId(1)), json!({}));
    let proof = Ok(identity("alice", start + 300));
    assert_eq!(
        world.input(Input::Refresh { session: alice, id, data: data.into(), proof: proof.into() }),
        None
    );
    world.assert_nothing_is_left();
}

#[test]
fn a_refresh_counts_against_the_rate_of_events() {
    let mut world = World::new(|config| {
        config.events_per_second = 1;
        config.event_burst = 2;
    });
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 100);
    let fresh = || Ok(identity("alice", start + 300));
    assert_eq!(world.refresh(alice, fresh())["ok"], true);
    assert_eq!(world.refresh(alice, fresh())["ok"], true);
    let answer = world.refresh(alice, Ok(identity("alice", start + 900)));
    assert_eq!(answer["error"]["code"], "rate_limited");
    world.pass(305 * SECOND);
    assert_eq!(world.closed[&alice], CloseReason::TokenExpired);
}

#[test]
fn a_lost_session_gets_the_warning_on_resume() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 50);
    world.input(Input::Lost { session: alice });
    world.pass(25 * SECOND);
    world.forget();
    let resume = Resume::From { session: alice, seq: 0 };
    world.connect("alice", "laptop", start + 50, resume);
    assert_eq!(world.names(alice), ["auth:expiring"], "once");
    let (seq, resume) = (1, |seq| Resume::From { session: alice, seq });
    world.connect("alice", "laptop", start + 200, resume(seq));
    world.pass(114 * SECOND);
    assert_eq!(world.names(alice), [""; 0], "it came back with a fresh one");
    world.pass(SECOND);
    assert_eq!(world.names(alice), ["auth:expiring"]);
}
