//! The renewed check of permissions and connections, once the policy has changed: after a change of
//! the machine's addresses, and after the end of calls or of sides of them, with some of their
//! announcements. A permission for an address that may not be reached any more then passes
//! nothing except to open relayed ports, and one for an address that may be reached again passes
//! again.

use std::net::IpAddr;

use callbox_base::ids::{CallId, UserId};
use callbox_stun::ErrorCode;

use super::{Engine, connections};
use crate::{AllocationId, Common, ConnectionId, auth::TurnIdentity, transport::Transport};

/// Checks every permission and connection against the machine's present addresses.
pub(super) fn reapply_own_addresses(engine: &mut Engine) {
    let common = &engine.common;
    for allocation in engine.allocations.iter_mut() {
        allocation.permissions_mut().update_own(|ip| common.is_own(ip));
    }
    let all = engine.connections.ids();
    end_restricted_connections(engine, all, |common, _, ip| common.is_own(ip));
}

/// Checks the permissions and connections of a call and of its sides against the present
/// announcements.
pub(super) fn reapply_signaled(engine: &mut Engine, call: CallId, sides: &[UserId]) {
    let of_call = engine.allocations.of_call(call).iter();
    let of_sides = sides.iter().flat_map(|user| engine.allocations.of_user(user.as_str()));
    let allocations: Vec<_> = of_call.chain(of_sides).copied().collect();
    allocations.into_iter().for_each(|id| reapply_announced(engine, id));
}

fn reapply_announced(engine: &mut Engine, id: AllocationId) {
    let Engine { common, allocations, .. } = engine;
    let Ok(allocation) = allocations.open_mut(id) else { return };
    allocation.update_announcements(|owner, ip| common.lacks_announcement(owner, ip));
    let connections = allocation.connections().to_vec();
    end_restricted_connections(engine, connections, Common::lacks_announcement);
}

/// Ends those of the connections whose peers may by now be reached on open relayed ports alone, as
/// `is_restricted` decides for an allocation's owner and a peer's address, and are at none.
fn end_restricted_connections(
    engine: &mut Engine,
    connections: Vec<ConnectionId>,
    is_restricted: impl Fn(&Common, &TurnIdentity, IpAddr) -> bool,
) {
    for id in connections {
        let Some(connection) = engine.connections.get(id) else { continue };
        let Some(allocation) = engine.allocations.get(connection.allocation()) else { continue };
        let (common, peer) = (&engine.common, connection.peer());
        if is_restricted(common, allocation.owner(), peer.0.ip())
            && !common.relayed.contains(common.addresses.to_wire(peer), Transport::Tcp)
        {
            connections::refuse(engine, id, ErrorCode::Forbidden);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ::stun::message::METHOD_CONNECT;
    use ::turn::proto::{PROTO_TCP, reqtrans::RequestedTransport};

    use crate::{testing::*, *};

    const ALICE: &str = "198.51.100.1:4000";
    const PEER: &str = "9.9.9.9:7000";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Returns true for each way on which something passes: to the peer by indication and by
    /// channel, and from it.
    fn ways(world: &mut World, alice: &mut Client, relayed: SocketAddr) -> [bool; 3] {
        [
            alice.send(world, at(PEER), b"x").is_some(),
            alice.channel_data(world, 0x4000, b"x").is_some(),
            world.peer_sends(at(PEER), relayed, b"x").is_some(),
        ]
    }

    #[test]
    fn a_permission_stops_while_its_address_is_the_machine_s() {
        for workers in [1, 2] {
            let mut world = World::new(Config::default(), workers);
            let mut alice = Client::new(ALICE, "alice");
            let relayed = alice.allocate(&mut world);
            assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, None);
            assert_eq!(ways(&mut world, &mut alice, relayed), [true; 3]);
            world.machine_has(&["9.9.9.9/32"]);
            assert_eq!(ways(&mut world, &mut alice, relayed), [false; 3]);
            assert_eq!(alice.permit(&mut world, "9.9.9.9").code, Some(403));
            assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, Some(403));
            world.machine_has(&[]);
            assert_eq!(ways(&mut world, &mut alice, relayed), [true; 3]);
        }
    }

    #[test]
    fn a_connection_ends_when_its_peer_becomes_the_machine_s() {
        let mut world = World::default();
        let mut alice = Client::new(ALICE, "alice");
        world.connect(alice.address);
        let tcp: Box<dyn ::stun::message::Setter> =
            Box::new(RequestedTransport { protocol: PROTO_TCP });
        alice.request(&mut world, ::stun::message::METHOD_ALLOCATE, &[tcp]);
        for (n, to) in ["9.9.9.9:1", "9.9.9.9:2", "8.8.8.8:3"].into_iter().enumerate() {
            let request = alice.signed(METHOD_CONNECT, &[peer(to)]);
            world.client_sends(alice.address, &request);
            // The second one is still being made when the address comes.
            if n != 1 {
                world.connected(0, true);
                assert_eq!(world.answers(alice.address)[0].code, None);
            }
        }
        world.machine_has(&["9.9.9.9/32"]);
        assert_eq!(world.network.closed.len(), 2);
        assert_eq!(world.answers(alice.address)[0].code, Some(403));
        assert_eq!(world.connections(0), 1);
        let request = alice.signed(METHOD_CONNECT, &[peer("9.9.9.9:4")]);
        assert_eq!(alice.exchange(&mut world, &request).code, Some(403));
    }
}
