//! The model of what an allocation lets pass, by the requests that succeeded.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::testing::{Answer, MOBILITY_TICKET};

/// The model of an allocation.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// One address, or one of each family, each with the time at which it ends.
    pub relayed: Vec<(SocketAddr, Instant)>,
    pub permissions: HashMap<IpAddr, Instant>,
    /// The addresses whose permissions pass nothing, since they are announced no more.
    pub unannounced: HashSet<IpAddr>,
    pub channels: HashMap<u16, (SocketAddr, Instant)>,
    /// The ticket that its client shows when it has moved, if it may.
    pub ticket: Option<Vec<u8>>,
}

impl Model {
    pub(super) fn new(now: Instant, answer: &Answer) -> Self {
        let expires = now + Duration::from_secs(answer.lifetime());
        Self {
            relayed: answer.all_relayed().into_iter().map(|at| (at, expires)).collect(),
            permissions: HashMap::new(),
            unannounced: HashSet::new(),
            channels: HashMap::new(),
            ticket: answer.raw(MOBILITY_TICKET),
        }
    }

    /// Returns the address that packets to and from a peer pass through.
    pub(super) fn address_for(&self, now: Instant, peer: IpAddr) -> Option<SocketAddr> {
        self.alive(now).find(|at| at.is_ipv4() == peer.is_ipv4())
    }

    pub(super) fn alive(&self, now: Instant) -> impl Iterator<Item = SocketAddr> {
        self.relayed.iter().filter(move |(_, expires)| *expires > now).map(|(at, _)| *at)
    }

    /// Notes a permission, which lasts until the latest time that a request has given it.
    pub(super) fn permit(&mut self, ip: IpAddr, expires: Instant) {
        let known = self.permissions.entry(ip).or_insert(expires);
        *known = expires.max(*known);
        self.unannounced.remove(&ip);
    }

    pub(super) fn permits(&self, now: Instant, ip: IpAddr) -> bool {
        self.permissions.get(&ip).is_some_and(|expires| *expires > now)
            && !self.unannounced.contains(&ip)
            && self.address_for(now, ip).is_some()
    }

    pub(super) fn channel(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let (to, expires) = *self.channels.get(&number)?;
        (expires > now && self.address_for(now, to.ip()).is_some()).then_some(to)
    }
}
