//! The results of a measurement.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::kind::{Behavior, Ports};

/// The network of a side as it looks from inside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The properties of UDP, unless no answer arrives.
    pub(crate) udp: Option<Udp>,
    /// True if a server is reached over TCP on port 3478.
    pub(crate) tcp: bool,
    /// True if a server is reached over TCP on port 443.
    pub(crate) tls: bool,
    /// True if the same server is reached through the proxy; `None` if there is none.
    pub(crate) proxy: Option<bool>,
}

/// The properties of UDP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Udp {
    /// The address that a server sees.
    pub(crate) mapped: SocketAddr,
    /// True if it is another one than that of the host.
    pub(crate) is_translated: bool,
    /// The mapping (RFC 5780 §4.3).
    pub(crate) mapping: Behavior,
    /// The filtering (RFC 5780 §4.4).
    pub(crate) filtering: Behavior,
    /// The ports of mappings, by the ports inside.
    pub(crate) ports: Vec<(u16, u16)>,
    /// True if a packet to a mapped address comes back (RFC 5780 §4.5).
    pub(crate) hairpin: bool,
    /// True if a mapping is there after a part of its expected lifetime, and true if it is there
    /// after more than that (RFC 5780 §4.6); `None` if that takes too long.
    pub(crate) lifetime: Option<(Duration, bool, Duration, bool)>,
    /// The number of routers on the way, for IPv4.
    pub(crate) routers: Option<u32>,
}

impl Udp {
    /// Returns how ports are chosen, by the mappings that were seen.
    pub(crate) fn choice_of_ports(&self) -> Ports {
        if self.ports.iter().all(|(inside, outside)| inside == outside) {
            Ports::Preserved
        } else if self.ports.iter().all(|(inside, outside)| inside % 2 == outside % 2) {
            Ports::Parity
        } else {
            Ports::Random
        }
    }
}
