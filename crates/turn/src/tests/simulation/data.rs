//! Data of clients and peers, which passes exactly where the model lets it.

use std::net::SocketAddr;

use super::{Simulation, steps::*};

pub(super) fn send(sim: &mut Simulation, client: usize, peer: usize) {
    let now = sim.now();
    let to: SocketAddr = PEERS[peer].parse().unwrap();
    let sent = sim.clients[client].send(&mut sim.world, to, b"up");
    let reachable = sim.reachable(to);
    let may = sim.model(client).is_some_and(|m| m.permits(now, to.ip())) && reachable;
    assert_eq!(sent, may.then(|| (to, b"up".to_vec())));
    check_hand_over(sim, client, sent.map(|(to, _)| to));
}

pub(super) fn channel_data(sim: &mut Simulation, client: usize, number: u16) {
    let now = sim.now();
    let sent = sim.clients[client].channel_data(&mut sim.world, number, b"up");
    let to = sim.model(client).and_then(|model| {
        let to = model.channel(now, number)?;
        model.permits(now, to.ip()).then_some(to)
    });
    let to = to.filter(|to| sim.reachable(*to));
    assert_eq!(sent, to.map(|to| (to, b"up".to_vec())));
    check_hand_over(sim, client, to);
}

pub(super) fn peer_sends(sim: &mut Simulation, client: usize, peer: usize) {
    let now = sim.now();
    let from: SocketAddr = PEERS[peer].parse().unwrap();
    let Some(model) = sim.model(client).cloned() else { return };
    let Some(relayed) = model.address_for(now, from.ip()) else { return };
    let got = sim.world.peer_sends(from, relayed, b"five!");
    let may = model.permits(now, from.ip()) && sim.reachable(from);
    assert_eq!(got.is_some(), may);
    let channel = model.channels.iter().find(|(_, c)| c.0 == from && c.1 > now);
    if let Some(bytes) = got {
        assert_eq!(bytes.len() % 4 == 0, channel.is_none() || STREAMS.contains(&client));
        let expected = channel.map_or(0, |(number, _)| number >> 8);
        assert_eq!(u16::from(bytes[0]), expected);
    }
}

/// Fails unless a packet from one relayed address to another is judged as it is through the kernel.
fn check_hand_over(sim: &mut Simulation, client: usize, to: Option<SocketAddr>) {
    let now = sim.now();
    let handed_over = sim.world.handed_over.take();
    let receiver = to.and_then(|to| {
        sim.models.iter().flatten().find(|m| m.alive(now).any(|at| at == to)).cloned()
    });
    assert_eq!(handed_over.is_some(), receiver.is_some());
    let (Some((way, got)), Some(receiver), Some(sender)) =
        (handed_over, receiver, sim.model(client).cloned())
    else {
        return;
    };
    let from = sender.address_for(now, way.to.ip()).expect("it was sent from there");
    assert_eq!((way.from, Some(way.to)), (from, to));
    let permitted = receiver.permits(now, from.ip());
    assert_eq!(got.is_some(), permitted);
    let plain = sim.world.peer_sends(from, way.to, b"up");
    // A Data indication has a transaction of its own.
    assert_eq!(
        got.map(|bytes| (bytes.len(), bytes[0])),
        plain.map(|bytes| (bytes.len(), bytes[0]))
    );
}
