//! The owners of the server's relayed addresses at this moment.
//!
//! Two clients of one server must be able to talk, so its relayed addresses are peers; whatever
//! else listens on this machine must not be, not even on a port of the relay's range. So a packet
//! to one of our own addresses asks here: one load, no lock. Since it learns whose the address is,
//! it can go straight to that allocation, without a trip through the kernel.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{AllocationId, RelayIp, transport::Transport};

/// The bit of an owner that relays TCP: the same port of UDP is somebody else's then, and the other
/// way round.
const TCP: u64 = 1 << 63;

/// The number of ports of an address.
const PORTS: usize = u16::MAX as usize + 1;

/// The owner of a relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The worker's index in the list of workers.
    pub worker: u16,
    /// The allocation within that worker.
    pub allocation: AllocationId,
}

impl Owner {
    /// Returns a number that is never 0, which stands for nobody.
    fn to_bits(self) -> u64 {
        (u64::from(self.worker) + 1) << 32 | u64::from(self.allocation.0)
    }

    fn from_bits(bits: u64) -> Option<Self> {
        let worker = ((bits >> 32) as u16).checked_sub(1)?;
        Some(Self { worker, allocation: AllocationId(bits as u32) })
    }
}

/// The owner of each port of each relay address. Workers write what is theirs; any worker reads.
#[derive(Debug)]
pub(super) struct Relayed {
    /// A server has a handful of addresses: looking through them is quicker than hashing.
    by_ip: Vec<(IpAddr, Box<[AtomicU64]>)>,
}

impl Relayed {
    pub(crate) fn new(ips: &[RelayIp]) -> Self {
        let nobody = || (0..PORTS).map(|_| AtomicU64::new(0)).collect();
        Self { by_ip: ips.iter().map(|ip| (ip.0, nobody())).collect() }
    }

    /// Notes that an allocation's socket is open on this address.
    pub(crate) fn open(&self, ip: RelayIp, port: u16, owner: Owner, transport: Transport) {
        if let Some(owner_bits) = self.slot((ip.0, port).into()) {
            let tcp = if transport == Transport::Tcp { TCP } else { 0 };
            owner_bits.store(owner.to_bits() | tcp, Ordering::Relaxed);
        }
    }

    /// Notes that it is closed.
    pub(crate) fn close(&self, ip: RelayIp, port: u16) {
        if let Some(owner_bits) = self.slot((ip.0, port).into()) {
            owner_bits.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the owner of this address, if it is a relayed one of UDP. By the time that the
    /// answer is used the allocation may be gone, and another under its name: whoever follows it
    /// looks again.
    #[inline]
    pub(crate) fn find(&self, address: SocketAddr) -> Option<Owner> {
        let bits = self.slot(address)?.load(Ordering::Relaxed);
        if bits & TCP == 0 { Owner::from_bits(bits) } else { None }
    }

    /// Returns true if an allocation's socket of this protocol is open on this address.
    #[inline]
    pub(crate) fn contains(&self, address: SocketAddr, transport: Transport) -> bool {
        match transport {
            Transport::Udp => self.find(address).is_some(),
            Transport::Tcp => {
                self.slot(address).is_some_and(|bits| bits.load(Ordering::Relaxed) & TCP != 0)
            }
        }
    }

    #[inline]
    fn slot(&self, address: SocketAddr) -> Option<&AtomicU64> {
        let (_, ports) = self.by_ip.iter().find(|(ip, _)| *ip == address.ip())?;
        ports.get(usize::from(address.port()))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_ip.iter().flat_map(|(_, ports)| ports).all(|p| p.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_an_owner_from_its_opening_to_its_close() {
        let ip = RelayIp("192.0.2.1".parse().unwrap());
        let relayed = Relayed::new(&[ip]);
        let find = |port| relayed.find(SocketAddr::new(ip.0, port));
        for (n, port) in [0, 63, 64, 49152, 65535].into_iter().enumerate() {
            let owner =
                Owner { worker: n as u16, allocation: AllocationId(u32::MAX * (n as u32 % 2)) };
            relayed.open(ip, port, owner, Transport::Udp);
            assert_eq!((find(port), find(port ^ 1)), (Some(owner), None));
            relayed.close(ip, port);
            assert_eq!(find(port), None);
        }
        assert!(relayed.is_empty());
        assert!(!relayed.contains("192.0.2.2:49152".parse().unwrap(), Transport::Udp));
    }

    /// A socket on the other protocol's port may be anybody's.
    #[test]
    fn a_port_is_relayed_for_one_protocol() {
        let ip = RelayIp("192.0.2.1".parse().unwrap());
        let owner = Owner { worker: 1, allocation: AllocationId(u32::MAX) };
        let at = SocketAddr::new(ip.0, 50_000);
        for (ours, other) in [(Transport::Udp, Transport::Tcp), (Transport::Tcp, Transport::Udp)] {
            let relayed = Relayed::new(&[ip]);
            relayed.open(ip, at.port(), owner, ours);
            assert!(relayed.contains(at, ours) && !relayed.contains(at, other));
            assert_eq!(relayed.find(at), (ours == Transport::Udp).then_some(owner));
        }
    }
}
