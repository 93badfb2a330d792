//! Which ports of the server's own addresses are relayed ones at this moment.
//!
//! Two clients of one server must be able to talk, so its relayed addresses are peers; whatever else
//! listens on this machine must not be, not even on a port of the relay's range. So a packet to one
//! of our own addresses asks here: one load, no lock.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::RelayIp;

/// How many words hold a bit for each port.
const WORDS: usize = (u16::MAX as usize + 1) / 64;

/// A bit for each port of each relay address. Workers set and clear; any worker reads.
#[derive(Debug)]
pub(super) struct OpenPorts {
    by_ip: HashMap<RelayIp, Box<[AtomicU64]>>,
}

impl OpenPorts {
    pub fn new(ips: &[RelayIp]) -> Self {
        let none = || (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        Self { by_ip: ips.iter().map(|ip| (*ip, none())).collect() }
    }

    /// An allocation's socket is open on this address.
    pub fn open(&self, ip: RelayIp, port: u16) {
        if let Some((word, bit)) = self.place(ip, port) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// It is closed.
    pub fn close(&self, ip: RelayIp, port: u16) {
        if let Some((word, bit)) = self.place(ip, port) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Whether an allocation's socket is open on this address.
    #[inline]
    pub fn contains(&self, address: SocketAddr) -> bool {
        let place = self.place(RelayIp(address.ip()), address.port());
        place.is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    #[inline]
    fn place(&self, ip: RelayIp, port: u16) -> Option<(&AtomicU64, u64)> {
        let words = self.by_ip.get(&ip)?;
        Some((&words[usize::from(port / 64)], 1 << (port % 64)))
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_ip.values().flatten().all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_open_from_its_opening_to_its_close() {
        let ip = RelayIp("192.0.2.1".parse().unwrap());
        let ports = OpenPorts::new(&[ip]);
        let contains = |port| ports.contains(SocketAddr::new(ip.0, port));
        for port in [0, 63, 64, 49152, 65535] {
            ports.open(ip, port);
            assert!(contains(port) && !contains(port ^ 1), "{port}");
            ports.close(ip, port);
            assert!(!contains(port));
        }
        assert!(ports.is_empty());
        assert!(!ports.contains("192.0.2.2:49152".parse().unwrap()));
    }
}
