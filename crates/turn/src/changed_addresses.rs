//! The machine has got other addresses: what was granted before is judged again. A permission for an
//! address that is the machine's own by now passes nothing any more but to open relayed ports, and one
//! for an address that it has given up passes again.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Common, ConnectionId, Engine, allocation::Slot, own_addresses::Ports};

impl Common {
    /// Takes over the networks whose packets the machine takes for itself now: they are no peers,
    /// but for open relayed addresses. Returns true if they are others than before; then call
    /// [`Engine::addresses_changed`] on every worker.
    #[must_use]
    pub fn set_machine_addresses(&self, networks: Vec<IpNet>) -> bool {
        self.addresses.machine.replace(networks)
    }

    /// Whether an address may be reached as one of the server's own only, if at all.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        self.addresses.judge(&self.config.peers, ip) != Ok(Ports::Any)
    }
}

impl Engine {
    /// Judges permissions and connections again after [`Common::set_machine_addresses`] has
    /// returned true.
    pub fn addresses_changed(&mut self) {
        for (_, slot) in &mut self.slots {
            let Slot::Open(allocation) = slot else { continue };
            for (ip, permission) in allocation.permissions.iter_mut() {
                permission.own = self.common.is_own(*ip);
            }
        }
        let all = self.connections.all.iter().map(|(id, _)| ConnectionId(id as u32)).collect();
        self.end_connections(all, |common, _, ip| common.is_own(ip));
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

    /// Whether something passes to the peer by indication and by channel, and from it.
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
        assert_eq!(world.closed.len(), 2);
        assert_eq!(world.answers(alice.address)[0].code, Some(403));
        assert_eq!(world.workers[0].connections.all.len(), 1);
        let request = alice.signed(METHOD_CONNECT, &[peer("9.9.9.9:4")]);
        assert_eq!(alice.exchange(&mut world, &request).code, Some(403));
    }
}
