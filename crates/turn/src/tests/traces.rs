//! Tests of the steps that are told for traces.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::stun::{
    attributes::ATTR_NONCE,
    message::{METHOD_ALLOCATE, METHOD_BINDING, METHOD_CREATE_PERMISSION, METHOD_REFRESH},
};
use callbox_base::ids::CallId;
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    auth::WrongCredentials,
    faults::{Injected, Method, RequestFault, RequestFaults, RequestRule, Selector},
    testing::*,
    *,
};

const ALICE: &str = "198.51.100.1:4000";
const PEER: &str = "8.8.8.8:1000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn call() -> CallId {
    CallId::generate(1, &mut StdRng::seed_from_u64(1))
}

fn traced() -> World {
    World::new(Config { trace: true, ..Config::default() }, 1)
}

fn alice(world: &World) -> Client {
    Client::minted(world, ALICE, "alice", Some(call()), 3600)
}

/// Takes out the steps of alice that are proved to be hers: the client sends its name, too, where it
/// has no nonce yet.
fn steps(world: &mut World) -> Vec<TraceStep> {
    let steps = std::mem::take(&mut world.network.traced).into_iter();
    let is_proved = |traced: &Traced| traced.owner.as_ref().is_some_and(|owner| owner.is_proved);
    steps
        .filter(is_proved)
        .map(|traced| {
            assert_eq!(traced.client.client.0, at(ALICE));
            let owner = traced.owner.expect("it has an owner");
            assert_eq!((&*owner.user, owner.call), ("alice", Some(call())));
            traced.step
        })
        .collect()
}

/// Returns the method and the result of a step.
fn answer(step: &TraceStep) -> (Method, Option<ErrorCode>) {
    let TraceStep::Answered { request, result, .. } = step else { panic!("{step:?}") };
    (request.method, result.err())
}

#[test]
fn the_life_of_an_allocation_is_told_step_by_step() {
    let mut world = traced();
    let mut client = alice(&world);
    let relayed = client.allocate(&mut world);
    let steps_so_far = steps(&mut world);
    let [TraceStep::Answered { request, result: Ok(()), relayed: Some(told), .. }] =
        &steps_so_far[..]
    else {
        panic!("{steps_so_far:?}")
    };
    assert_eq!((request.method, request.lifetime), (Method::Allocate, Some(600)));
    assert_eq!(*told, relayed);

    for _ in 0..3 {
        assert_eq!(world.peer_sends(at(PEER), relayed, b"early"), None);
    }
    client.permit(&mut world, "8.8.8.8");
    client.bind(&mut world, 0x4000, PEER);
    for _ in 0..3 {
        client.channel_data(&mut world, 0x4000, b"up").unwrap();
        world.peer_sends(at(PEER), relayed, b"down").unwrap();
    }
    let told = steps(&mut world);
    let (up, down) = (Direction::Up, Direction::Down);
    assert_eq!(
        told[0],
        TraceStep::FirstRefused {
            direction: down,
            peer: Some(at(PEER)),
            reason: DropReason::NoPermission,
        }
    );
    assert_eq!(answer(&told[1]), (Method::CreatePermission, None));
    assert_eq!(answer(&told[2]), (Method::ChannelBind, None));
    let TraceStep::Answered { request, .. } = &told[2] else { unreachable!() };
    assert_eq!((&request.peers[..], request.channel), (&[at(PEER)][..], Some(0x4000)));
    assert_eq!(told[3], TraceStep::FirstPacket { direction: up, peer: at(PEER) });
    assert_eq!(told[4], TraceStep::FirstPacket { direction: down, peer: at(PEER) });
    assert_eq!(told.len(), 5);

    let id = world.workers[0].allocation_of(world.tuple(at(ALICE))).unwrap();
    (0..2).for_each(|_| world.workers[0].packet_lost(id, up));
    world.carry_out(0);
    assert_eq!(steps(&mut world), [TraceStep::FirstLost(up)]);
    // A channel keeps its permission for its ten minutes.
    client.request(&mut world, METHOD_REFRESH, &[lifetime(3600)]);
    steps(&mut world);
    world.advance(Duration::from_secs(601));
    let mut expired = steps(&mut world);
    expired.sort_by_key(|step| matches!(step, TraceStep::ChannelExpired(_)));
    let permission = TraceStep::PermissionExpired("8.8.8.8".parse().unwrap());
    assert_eq!(expired, [permission, TraceStep::ChannelExpired(0x4000)]);
    world.end_call(call());
    assert_eq!(
        steps(&mut world),
        [TraceStep::Closed {
            reason: EndReason::CallEnded,
            bytes_up: 6,
            bytes_down: 12,
            refused: [0, 3],
            lost: [2, 0],
        }]
    );
}

#[test]
fn refused_requests_are_told_with_the_reason_and_the_name_that_was_claimed() {
    let mut world = traced();
    let mut client = Client::minted(&world, ALICE, "alice", Some(call()), 10);
    world.advance(Duration::from_secs(11));
    client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
    let [TraceStep::Answered { refusal: Some(WrongCredentials::Expired), .. }] =
        &steps(&mut world)[..]
    else {
        panic!("it is told once that they have expired")
    };
    let mut wrong = alice(&world);
    wrong.password = "guessed".into();
    let challenge = wrong.request(&mut world, METHOD_REFRESH, &[]);
    wrong.nonce = challenge.text(ATTR_NONCE).unwrap();
    wrong.request(&mut world, METHOD_REFRESH, &[]);
    let told = std::mem::take(&mut world.network.traced);
    let last = told.last().unwrap();
    let owner = last.owner.as_ref().unwrap();
    assert_eq!((&*owner.user, owner.call, owner.is_proved), ("alice", Some(call()), false));
    let TraceStep::Answered { refusal, result, .. } = &last.step else { panic!("{last:?}") };
    assert_eq!(
        (*refusal, *result),
        (Some(WrongCredentials::Password), Err(ErrorCode::Unauthorized))
    );
}

#[test]
fn injected_answers_and_silence_are_told_as_such() {
    let mut world = traced();
    let mut client = alice(&world);
    client.allocate(&mut world);
    steps(&mut world);
    let rules = [RequestFault::Answer(ErrorCode::AllocationMismatch), RequestFault::Silence];
    let rules = rules
        .map(|fault| RequestRule::new(Selector::default(), Method::CreatePermission, fault, 1));
    let faults = RequestFaults::new(rules.into(), Arc::new(Injected::default()));
    world.workers[0].set_request_faults(Some(Arc::new(faults)));
    client.permit(&mut world, "8.8.8.8");
    let silent = client.signed(METHOD_CREATE_PERMISSION, &[peer("8.8.8.8:1")]);
    world.client_sends(at(ALICE), &silent);
    let told = steps(&mut world);
    let [TraceStep::Answered { injected: true, result: Err(code), .. }, TraceStep::Silenced(_)] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(*code, ErrorCode::AllocationMismatch);
}

#[test]
fn a_binding_has_no_owner() {
    let mut world = traced();
    let binding = Client::new(ALICE, "alice").unsigned(METHOD_BINDING, &[]);
    world.client_sends(at(ALICE), &binding.raw);
    let [traced] = &world.network.traced[..] else { panic!("{:?}", world.network.traced) };
    assert_eq!((traced.client.client.0, &traced.owner), (at(ALICE), &None));
    assert_eq!(answer(&traced.step), (Method::Binding, None));
}

#[test]
fn nothing_is_told_without_the_setting() {
    let mut world = World::default();
    let mut client = alice(&world);
    let relayed = client.allocate(&mut world);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"early"), None);
    client.permit(&mut world, "8.8.8.8");
    client.send(&mut world, at(PEER), b"up").unwrap();
    world.end_call(call());
    assert!(world.network.traced.is_empty());
}
