//! Clients that lose their streams, and clients that move (RFC 8016).

use std::{net::SocketAddr, time::Duration};

use ::stun::message::*;

use super::{Simulation, steps::*};
use crate::testing::*;

pub(super) fn reconnect(sim: &mut Simulation, client: usize) {
    let address = sim.clients[client].address;
    sim.world.disconnect(address);
    sim.world.connect(address);
    if sim.model(client).is_some_and(|model| model.ticket.is_some()) {
        come_back(sim, client);
    } else {
        // The allocation of a client ends with its stream.
        sim.models[client] = None;
    }
}

pub(super) fn relocate(sim: &mut Simulation, client: usize, port: u16) {
    let before = sim.clients[client].address;
    let address: SocketAddr = format!("203.0.113.{client}:{port}").parse().unwrap();
    let stays = sim.model(client).is_some_and(|model| model.ticket.is_none());
    if before == address || stays {
        return;
    }
    sim.clients[client].address = address;
    let is_stream = STREAMS.contains(&client);
    if is_stream {
        sim.world.connect(address);
    }
    come_back(sim, client);
    if is_stream {
        sim.world.disconnect(before);
    }
}

/// Has a client show its ticket, which is for the allocation that it has, or had.
fn come_back(sim: &mut Simulation, client: usize) {
    let known = sim.models[client].as_ref().and_then(|model| model.ticket.clone());
    let ticket = raw(MOBILITY_TICKET, &known.clone().unwrap_or_else(|| vec![7; 22]));
    let answer = sim.clients[client].request(&mut sim.world, METHOD_REFRESH, &[ticket]);
    let now = sim.now();
    let Some(model) = sim.model(client).filter(|_| known.is_some()) else {
        assert_eq!(answer.code, Some(437));
        return;
    };
    assert_eq!(answer.code, None);
    model.ticket = answer.raw(MOBILITY_TICKET);
    assert!(model.ticket.is_some() && model.ticket != known);
    for (_, expires) in &mut model.relayed {
        if *expires > now {
            *expires = now + Duration::from_secs(answer.lifetime());
        }
    }
}
