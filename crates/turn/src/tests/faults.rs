//! Tests of faults that are asked for, with virtual time.

use std::{sync::Arc, time::Duration};

use ::stun::{
    attributes::ATTR_NONCE,
    message::{
        CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CREATE_PERMISSION, METHOD_REFRESH,
    },
};
use callbox_base::ids::{CallId, UserId};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    faults::{Injected, Injection, Method, RequestFault, RequestFaults, RequestRule, Selector},
    testing::*,
    *,
};

const TTL: Duration = Duration::from_secs(3600);

fn call(n: u64) -> CallId {
    CallId::generate(n, &mut StdRng::seed_from_u64(n))
}

fn user(name: &str) -> Selector {
    Selector { user_id: UserId::new(name).ok(), call_id: None }
}

fn client(world: &World, port: u16, user: &str, call: Option<CallId>) -> Client {
    Client::minted(world, &format!("198.51.100.1:{port}"), user, call, TTL.as_secs())
}

/// Gives rules to every worker. Returns the counters.
fn inject(world: &mut World, rules: Vec<RequestRule>) -> Arc<Injected> {
    let injected = Arc::new(Injected::default());
    let faults = Arc::new(RequestFaults::new(rules, injected.clone()));
    for engine in &mut world.workers {
        engine.set_request_faults(Some(faults.clone()));
    }
    injected
}

fn rule(selector: Selector, method: Method, code: ErrorCode, n: u32) -> RequestRule {
    RequestRule::new(selector, method, RequestFault::Answer(code), n)
}

#[test]
fn the_next_requests_of_a_method_get_an_error_over_all_workers_and_no_more() {
    let mut world = World::new(Config::default(), 2);
    let mut clients = [0, 1, 2, 3].map(|port| client(&world, 4000 + port, "alice", None));
    let quota = ErrorCode::AllocationQuotaReached;
    let injected = inject(&mut world, vec![rule(Selector::default(), Method::Allocate, quota, 3)]);
    let codes = clients.each_mut().map(|client| {
        // The challenge before has no credentials, and does not count.
        client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code
    });
    assert_eq!(codes, [Some(486), Some(486), Some(486), None]);
    assert_eq!(injected.get(Injection::RequestAnswered), 3);
    assert_eq!(world.network.sockets.len(), 1);
    assert_eq!(clients[3].request(&mut world, METHOD_REFRESH, &[]).code, None);
}

#[test]
fn each_code_is_answered_as_the_server_itself_would() {
    let mut world = World::default();
    let mut alice = client(&world, 4000, "alice", None);
    alice.allocate(&mut world);
    for (code, challenges) in [
        (ErrorCode::Unauthorized, true),
        (ErrorCode::StaleNonce, true),
        (ErrorCode::AllocationMismatch, false),
        (ErrorCode::AllocationQuotaReached, false),
        (ErrorCode::InsufficientCapacity, false),
    ] {
        inject(&mut world, vec![rule(Selector::default(), Method::Refresh, code, 1)]);
        let bytes = alice.signed(METHOD_REFRESH, &[lifetime(0)]);
        let answer = alice.exchange(&mut world, &bytes);
        assert_eq!(answer.code, Some(code.number()));
        assert_eq!(answer.text(ATTR_NONCE).is_some(), challenges, "{code:?}");
        assert_eq!(alice.accepts(&answer), !challenges, "{code:?}");
        // It has had no effect.
        assert_eq!(world.network.sockets.len(), 1);
    }
    // The client goes on with the nonce of a 438, as clients do.
    let stale = ErrorCode::StaleNonce;
    inject(&mut world, vec![rule(Selector::default(), Method::Refresh, stale, 1)]);
    let nonce = std::mem::take(&mut alice.nonce);
    alice.nonce.clone_from(&nonce);
    assert_eq!(alice.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, None);
    world.assert_nothing_is_left();
}

#[test]
fn a_silenced_request_has_no_answer_and_no_effect() {
    let mut world = World::default();
    let mut alice = client(&world, 4000, "alice", None);
    alice.allocate(&mut world);
    let silence =
        |method, n| RequestRule::new(Selector::default(), method, RequestFault::Silence, n);
    let rules = vec![silence(Method::CreatePermission, 2), silence(Method::Binding, 1)];
    let injected = inject(&mut world, rules);
    for _ in 0..2 {
        let bytes = alice.signed(METHOD_CREATE_PERMISSION, &[peer("8.8.8.8:9")]);
        world.client_sends(alice.address, &bytes);
        assert!(world.answers(alice.address).is_empty());
        assert_eq!(alice.send(&mut world, "8.8.8.8:9".parse().unwrap(), b"x"), None);
    }
    assert_eq!(alice.permit(&mut world, "8.8.8.8").code, None);
    let binding = alice.plain(METHOD_BINDING, CLASS_REQUEST, &[]);
    world.client_sends(alice.address, &binding.raw);
    assert!(world.answers(alice.address).is_empty());
    assert_eq!(alice.exchange(&mut world, &binding.raw).code, None);
    assert_eq!(injected.get(Injection::RequestSilenced), 3);
}

#[test]
fn a_rule_is_for_its_user_and_call_and_the_first_with_a_rest_applies() {
    let mut world = World::default();
    let mut alice = client(&world, 4000, "alice", Some(call(1)));
    let mut bob = client(&world, 4001, "bob", Some(call(1)));
    let mut elsewhere = client(&world, 4002, "bob", Some(call(2)));
    for client in [&mut alice, &mut bob, &mut elsewhere] {
        client.allocate(&mut world);
    }
    let of_call = Selector { user_id: None, call_id: Some(call(1)) };
    let (capacity, mismatch) = (ErrorCode::InsufficientCapacity, ErrorCode::AllocationMismatch);
    let rules = vec![
        rule(user("alice"), Method::Refresh, capacity, 1),
        rule(of_call, Method::Refresh, mismatch, 2),
    ];
    inject(&mut world, rules);
    let mut refresh = |client: &mut Client| client.request(&mut world, METHOD_REFRESH, &[]).code;
    assert_eq!(refresh(&mut elsewhere), None);
    assert_eq!(refresh(&mut bob), Some(437));
    assert_eq!(refresh(&mut alice), Some(508));
    assert_eq!(refresh(&mut alice), Some(437));
    assert_eq!((refresh(&mut alice), refresh(&mut bob)), (None, None));
}

#[test]
fn credentials_that_expire_now_are_refused_and_newer_ones_are_not() {
    let mut world = World::default();
    let mut alice = client(&world, 4000, "alice", Some(call(1)));
    let mut bob = client(&world, 4001, "bob", Some(call(1)));
    let mut fixed = Client::new("198.51.100.1:4002", "alice");
    for client in [&mut alice, &mut bob, &mut fixed] {
        client.allocate(&mut world);
    }
    assert_eq!(world.workers[0].count_allocations(&user("alice")), 2);
    world.common.expire_credentials(world.now, &user("alice"), TTL);
    for method in [METHOD_REFRESH, METHOD_ALLOCATE, METHOD_CREATE_PERMISSION] {
        assert_eq!(alice.request(&mut world, method, &[udp()]).code, Some(401));
    }
    assert_eq!(bob.request(&mut world, METHOD_REFRESH, &[]).code, None);
    assert_eq!(fixed.request(&mut world, METHOD_REFRESH, &[]).code, None);
    world.advance(Duration::from_secs(1));
    let mut newer = client(&world, 4003, "alice", Some(call(1)));
    newer.allocate(&mut world);
    // Nobody is left out of a selector that names nobody.
    world.common.expire_credentials(world.now, &Selector::default(), TTL);
    for client in [&mut newer, &mut bob] {
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[]).code, Some(401));
    }
}

#[test]
fn allocations_are_dropped_without_a_word() {
    let mut world = World::default();
    let mut alice = client(&world, 4000, "alice", Some(call(1)));
    let mut bob = client(&world, 4001, "bob", None);
    alice.allocate(&mut world);
    bob.allocate(&mut world);
    assert_eq!(world.workers[0].drop_allocations(&user("alice")), 1);
    world.carry_out(0);
    assert!(world.answers(alice.address).is_empty());
    assert_eq!(world.network.ended[0].reason, EndReason::Fault);
    assert_eq!(alice.request(&mut world, METHOD_REFRESH, &[]).code, Some(437));
    assert_eq!(bob.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, None);
    // Its credentials are as good as before.
    alice.allocate(&mut world);
    assert_eq!(world.workers[0].drop_allocations(&Selector::default()), 1);
    world.carry_out(0);
    world.assert_nothing_is_left();
}
