//! The addresses that the sides of a call announce, as they are passed to the relay.

use std::net::IpAddr;

use callbox_base::ids::{CallId, SessionId, UserId};
use serde_json::{Value, json};

use super::{World, candidate, ms, user};
use crate::{Input, Output};

fn world() -> (World, SessionId, SessionId) {
    let mut world = World::new(|config| config.announce_peers = true);
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    (world, alice, bob)
}

/// Returns the users and addresses that were announced since the last time.
fn announced(world: &mut World, call: CallId) -> Vec<(String, String)> {
    let one = |(of, by, addresses): (_, UserId, Vec<IpAddr>)| {
        assert_eq!(of, call);
        assert!(!addresses.is_empty());
        let texts: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        (by.to_string(), texts.join(" "))
    };
    std::mem::take(&mut world.announced).into_iter().map(one).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(by, ips)| ((*by).to_owned(), (*ips).to_owned())).collect()
}

fn at(ip: &str) -> Value {
    let line = format!("candidate:1 1 udp 1 {ip} 9 typ host");
    json!({ "candidate": { "candidate": line, "sdpMid": "0" } })
}

#[test]
fn the_addresses_of_each_side_are_announced_in_each_form() {
    let (mut world, alice, bob) = world();
    let call = world.call(alice, "bob");
    // Before the accept, too: the caller's candidates are kept, and go out in one burst later.
    world.ok(alice, "ice:candidate", at("192.0.2.1"));
    world.ok(bob, "call:accept", json!({}));
    let sdp = "v=0\r\nc=IN IP4 192.0.2.2\r\na=candidate:1 1 udp 1 2001:db8::2 9 typ relay\r\n";
    world.ok(alice, "signal:offer", json!({ "sdp": { "type": "offer", "sdp": sdp } }));
    let line = "candidate:1 1 udp 1 192.0.2.3 9 typ host";
    world.ok(bob, "ice:candidate", json!({ "candidate": line }));
    world.ok(bob, "signal:answer", json!({ "sdp": sdp }));
    let expected = [
        ("alice", "192.0.2.1"),
        ("alice", "192.0.2.2 2001:db8::2"),
        ("bob", "192.0.2.3"),
        ("bob", "192.0.2.2 2001:db8::2"),
    ];
    assert_eq!(announced(&mut world, call), pairs(&expected));
    for data in [at("x.local"), json!({ "candidate": null }), json!({ "candidate": "" })] {
        world.ok(alice, "ice:candidate", data);
    }
    world.ok(alice, "signal:offer", json!({ "sdp": "v=0\r\nc=IN IP4 0.0.0.0\r\n" }));
    assert_eq!(announced(&mut world, call), []);
}

/// The relay knows of an address before the other side does, whichever way it takes.
#[test]
fn the_relay_is_notified_before_the_other_side() {
    for (described, hold) in [(true, 300), (false, 300), (false, 0)] {
        let mut world = World::new(|config| {
            config.announce_peers = true;
            config.candidate_hold = ms(hold);
        });
        let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
        let call = world.call(alice, "bob");
        world.ok(bob, "call:accept", json!({}));
        if described {
            world.ok(alice, "signal:offer", json!({ "sdp": "v=0\r\n" }));
        }
        world.hub.handle(
            world.now,
            Input::Request {
                session: alice,
                id: None,
                event: "ice:candidate".into(),
                data: at("192.0.2.1").into(),
            },
        );
        world.now = world.now + ms(300);
        world.hub.handle_timeout(world.now);
        let outputs: Vec<_> = std::iter::from_fn(|| world.hub.poll_output()).collect();
        let expected = Output::PeersAnnounced {
            call,
            by: user("alice"),
            to: user("bob"),
            addresses: vec!["192.0.2.1".parse().unwrap()],
        };
        assert_eq!(outputs.len(), 2, "{outputs:?}");
        assert_eq!(outputs[0], expected);
        assert!(matches!(&outputs[1], Output::Send { session, .. } if *session == bob));
    }
}

#[test]
fn only_the_sides_of_a_call_announce_addresses() {
    let (mut world, alice, bob) = world();
    let eve = world.open("eve", "laptop");
    let call = world.call(alice, "bob");
    let mut about = at("192.0.2.1");
    about["callId"] = json!(call);
    world.refused(eve, "ice:candidate", about.clone(), "not_a_participant");
    // It only rings.
    world.refused(bob, "ice:candidate", about.clone(), "invalid_state");
    world.ok(alice, "call:cancel", json!({}));
    world.refused(alice, "ice:candidate", about, "call_ended");
    assert_eq!(announced(&mut world, call), []);
}

#[test]
fn without_the_option_no_address_is_announced() {
    let (mut world, alice, _) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.ok(alice, "ice:candidate", candidate(1));
    assert_eq!(announced(&mut world, call), []);
}
