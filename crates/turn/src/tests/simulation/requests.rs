//! The requests of clients, each with the answer that the model expects.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::stun::{attributes::*, message::*};

use super::{Simulation, model::Model, steps::*};
use crate::testing::*;

pub(super) fn allocate(
    sim: &mut Simulation,
    client: usize,
    even: Option<u8>,
    v6: bool,
    dual: bool,
    mobile: bool,
) {
    let mut attributes = vec![udp()];
    attributes.extend(even.map(|r| raw(ATTR_EVEN_PORT, &[r])));
    if v6 {
        attributes.push(raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]));
    }
    if dual {
        attributes.push(both());
    }
    if mobile {
        attributes.push(raw(MOBILITY_TICKET, &[]));
    }
    send_allocate(sim, client, &attributes, dual);
}

pub(super) fn redeem(sim: &mut Simulation, client: usize) {
    if let Some(token) = sim.token.clone() {
        send_allocate(sim, client, &[udp(), raw(ATTR_RESERVATION_TOKEN, &token)], false);
    }
}

pub(super) fn refresh(sim: &mut Simulation, client: usize, asked: u64, v4: Option<bool>) {
    let now = sim.now();
    let of = |at: SocketAddr| v4.is_none_or(|v4| at.is_ipv4() == v4);
    let expected = match sim.model(client) {
        None => Some(437),
        Some(model) => (!model.alive(now).any(of)).then_some(443),
    };
    let mut request = vec![lifetime(asked)];
    request.extend(v4.map(family));
    let answer = sim.clients[client].request(&mut sim.world, METHOD_REFRESH, &request);
    assert_eq!(answer.code, expected);
    if let (None, Some(model)) = (answer.code, sim.model(client)) {
        let refreshed = |(at, expires): &mut (SocketAddr, Instant)| {
            if *expires > now && of(*at) {
                *expires = now + Duration::from_secs(answer.lifetime());
            }
        };
        model.relayed.iter_mut().for_each(refreshed);
    }
}

pub(super) fn permit(sim: &mut Simulation, client: usize, peers: Vec<usize>) {
    let now = sim.now();
    let attributes: Vec<_> = peers.iter().map(|p| peer(PEERS[*p])).collect();
    let answer = sim.clients[client].request(&mut sim.world, METHOD_CREATE_PERMISSION, &attributes);
    let addresses = peers.iter().map(|p| PEERS[*p].parse::<SocketAddr>().unwrap());
    let refused =
        addresses.filter(|at| sim.is_closed(at.ip()) || !sim.reaches(client, at.ip())).count();
    assert!(answer.code != Some(403) || refused > 0, "refused for nothing");
    match (answer.code, sim.model(client)) {
        (None, Some(model)) => {
            assert_eq!(refused, 0, "a permission for somewhere else");
            for p in &peers {
                let ip = PEERS[*p].parse::<SocketAddr>().unwrap().ip();
                model.permit(ip, now + Duration::from_secs(300));
            }
        }
        (code, None) => assert_eq!(code, Some(437)),
        (Some(code), Some(model)) => {
            assert!([400, 403, 443, 508].contains(&code), "{code}");
            assert!(code != 443 || model.alive(now).count() == 1);
        }
    }
}

pub(super) fn bind(sim: &mut Simulation, client: usize, number: u16, peer: usize) {
    let now = sim.now();
    let answer = sim.clients[client].bind(&mut sim.world, number, PEERS[peer]);
    let to: SocketAddr = PEERS[peer].parse().unwrap();
    let may = !sim.is_closed(to.ip()) && sim.reachable(to);
    let may = may && sim.reaches(client, to.ip());
    assert!(answer.code != Some(403) || !may, "refused for nothing");
    match (answer.code, sim.model(client)) {
        (None, Some(model)) => {
            assert!(may, "a channel to somewhere else");
            let other = model.channel(now, number);
            assert!(other.is_none_or(|bound| bound == to), "a channel changed its peer");
            let expires = now + Duration::from_secs(600);
            model.channels.insert(number, (to, expires));
            model.permit(to.ip(), expires);
        }
        (code, None) => assert_eq!(code, Some(437)),
        (Some(code), Some(model)) => {
            assert!([400, 403, 443, 508].contains(&code), "{code}");
            assert!(code != 443 || model.alive(now).count() == 1);
        }
    }
}

pub(super) fn retransmit(sim: &mut Simulation, client: usize, dual: bool) {
    let now = sim.now();
    let attributes = if dual { vec![udp(), both()] } else { vec![udp()] };
    let request = sim.clients[client].signed(METHOD_ALLOCATE, &attributes);
    let had = sim.model(client).is_some();
    let exchange = |s: &mut Simulation, bytes: &[u8]| {
        s.clients[client].exchange(&mut s.world, bytes).message.raw
    };
    let first = exchange(sim, &request);
    let answer = Answer::read(&first);
    if answer.code.is_none() {
        assert!(!had);
        assert_eq!(exchange(sim, &request), first);
        check_addresses(&answer, dual, sim.world.network.without);
        sim.models[client] = Some(Model::new(now, &answer));
        sim.last_allocate[client] = Some((request, first));
    }
}

fn send_allocate(sim: &mut Simulation, n: usize, attributes: &[Box<dyn Setter>], dual: bool) {
    let had = sim.model(n).is_some();
    let without = sim.world.network.without;
    let client = &mut sim.clients[n];
    let answer = client.request(&mut sim.world, METHOD_ALLOCATE, attributes);
    match answer.code {
        None => {
            assert!(!had, "two allocations on one 5-tuple");
            check_addresses(&answer, dual, without);
            sim.models[n] = Some(Model::new(sim.now(), &answer));
            sim.token = answer.raw(ATTR_RESERVATION_TOKEN).or(sim.token.take());
        }
        Some(437) => assert!(had),
        Some(code) => assert!([400, 401, 440, 486, 508].contains(&code), "{code}"),
    }
}

/// Fails unless a dual allocation has both addresses, IPv4 first, or one and the reason why not the
/// other.
fn check_addresses(answer: &Answer, dual: bool, without: Option<bool>) {
    let families: Vec<_> = answer.all_relayed().iter().map(SocketAddr::is_ipv4).collect();
    let missing = answer.address_error();
    assert!(without.is_none_or(|v4| !families.contains(&v4)));
    match &families[..] {
        [true, false] => assert!(dual && missing.is_none()),
        [v4] if dual => assert_eq!(missing, Some((!v4, 508))),
        [_] => assert_eq!(missing, None),
        other => panic!("{other:?}"),
    }
}
