//! Determines what a relay would do with its settings, without starting one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use callbox_turn::RelayAddresses;

use super::{Config, ListenerAddresses, StartError, advertised, external, listen, sockets};

/// The addresses of a relay that is not started.
#[derive(Debug)]
pub struct Plan {
    addresses: RelayAddresses,
    listeners: Vec<SocketAddr>,
    warnings: Vec<String>,
}

impl Plan {
    /// Determines the addresses, and checks that this machine has them. No listener's port is
    /// bound, so that a server may run meanwhile.
    ///
    /// # Errors
    /// [`StartError`], the same as [`Relay::start`](super::Relay::start) would return.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let mut turn = config.turn.clone();
        turn.tcp_listeners = listen::with_every_address(turn.tcp_listeners)?;
        for &address in &config.listen {
            let failed = |source| StartError::Listen { address, protocol: "udp", source };
            probe(address.ip()).map_err(failed)?;
        }
        let both = config.listen.iter().flat_map(|at| listen::with_ipv4(*at, &config.listen));
        let every = listen::with_every_address(both.collect())?;
        let listeners: Vec<_> = every.into_iter().filter(|at| !at.ip().is_unspecified()).collect();
        if listeners.is_empty() {
            return Err(StartError::NoAddress(config.listen.clone()));
        }
        if let Some(ip) = config.alternate_ip {
            let address = SocketAddr::new(ip, 0);
            let failed = |source| StartError::Listen { address, protocol: "udp", source };
            probe(ip).map_err(failed)?;
        }
        let mut own = listeners.clone();
        own.extend(config.alternate_ip.map(|ip| SocketAddr::new(ip, 0)));
        external::check(&turn, &own)?;
        let warnings = external::unused(&turn, &own);
        let addresses = RelayAddresses::new(&turn, own);
        for ip in addresses.relay_ips() {
            probe(ip.0).map_err(|source| StartError::RelayIp { address: ip.0, source })?;
        }
        Ok(Self { addresses, listeners, warnings })
    }

    /// Returns the addresses on which clients would be served.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Returns the warnings that a relay would log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the addresses at which clients would reach these listeners
    /// ([`Relay::listener_addresses`](super::Relay::listener_addresses)).
    ///
    /// # Errors
    /// The system's error, if it cannot list its addresses.
    pub fn listener_addresses(&self, listeners: &[SocketAddr]) -> io::Result<ListenerAddresses> {
        advertised::listener_addresses(&self.addresses, listeners)
    }
}

/// Checks that a socket can be opened on an address of this machine.
///
/// # Errors
/// The system's error.
pub fn probe(ip: IpAddr) -> io::Result<()> {
    sockets::open((ip, 0).into(), false).map(drop)
}
