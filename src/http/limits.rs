//! The limits of the number of connections: in all, of one address, and for one purpose.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard},
};

use super::counters::Refusal;

/// The use of a connection, as far as it is known. It is that of the listener at first, since most
/// clients send nothing for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// HTTP, WebSockets and handshakes of TLS.
    Http,
    /// STUN and TURN.
    Relay,
}

/// The connections by address.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    max: usize,
    /// The largest number for one purpose.
    max_per_purpose: usize,
    max_per_address: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_purpose: [usize; 2],
    by_address: HashMap<IpAddr, usize>,
}

/// A slot among the connections; it is freed when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    /// The slot of its address; `None` as long as a proxy has not named the client.
    share: Option<Share>,
    purpose: Purpose,
    connections: ConnectionLimits,
}

/// One of the connections that an address may have; it is freed when dropped.
#[derive(Debug)]
pub(super) struct Share {
    address: IpAddr,
    connections: ConnectionLimits,
}

impl ConnectionLimits {
    /// Sets the limits in all and for one address. A quarter of the files that the process may have
    /// open is reserved for allocations and their peers; and connections for one purpose get no
    /// more than half of them, so that neither purpose can use up the files of the other.
    pub(super) fn new(max: usize, max_per_address: usize, files: usize) -> Self {
        let (max, max_per_purpose) = (max.min(files - files / 4), files / 2);
        Self { max, max_per_purpose, max_per_address, open: Arc::default() }
    }

    /// Takes a slot for a connection whose client is not known yet, if there is one.
    pub(super) fn enter_unnamed(&self, purpose: Purpose) -> Result<Slot, Refusal> {
        let mut open = self.open();
        if open.total >= self.max {
            return Err(Refusal::Total);
        }
        open.enter(purpose, self.max_per_purpose)?;
        open.total += 1;
        Ok(Slot { share: None, purpose, connections: self.clone() })
    }

    /// Takes a slot of `address`, if it may have one more, for a connection that has a slot
    /// already.
    pub(super) fn share(&self, address: IpAddr) -> Result<Share, Refusal> {
        let address = group(address);
        let mut open = self.open();
        let here = open.by_address.entry(address).or_default();
        if *here >= self.max_per_address {
            return Err(Refusal::Address);
        }
        *here += 1;
        Ok(Share { address, connections: self.clone() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("counting does not panic")
    }
}

impl Open {
    fn enter(&mut self, purpose: Purpose, max: usize) -> Result<(), Refusal> {
        let here = &mut self.by_purpose[purpose as usize];
        if *here >= max {
            return Err(Refusal::Files);
        }
        *here += 1;
        Ok(())
    }
}

impl Slot {
    /// Changes the purpose of the slot, if there is room for the other.
    pub(super) fn take_for(&mut self, purpose: Purpose) -> Result<(), Refusal> {
        if self.purpose == purpose {
            return Ok(());
        }
        let mut open = self.connections.open();
        open.enter(purpose, self.connections.max_per_purpose)?;
        open.by_purpose[self.purpose as usize] -= 1;
        drop(open);
        self.purpose = purpose;
        Ok(())
    }

    /// Assigns the slot to an address, now that it is known, if there is room for that address.
    pub(super) fn name(mut self, address: IpAddr) -> Result<Self, Refusal> {
        self.share = Some(self.connections.share(address)?);
        Ok(self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.total -= 1;
        open.by_purpose[self.purpose as usize] -= 1;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        if let Entry::Occupied(mut here) = open.by_address.entry(self.address) {
            *here.get_mut() -= 1;
            if *here.get() == 0 {
                here.remove();
            }
        }
    }
}

/// Returns the address under which connections are counted: for IPv6 the /64 network, since the
/// holder of one of its addresses has them all.
pub(super) fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl ConnectionLimits {
        fn enter(&self, address: IpAddr) -> Result<Slot, Refusal> {
            self.enter_unnamed(Purpose::Http)?.name(address)
        }
    }

    #[test]
    fn slots_are_freed_when_dropped() {
        let connections = ConnectionLimits::new(3, 2, usize::MAX);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = connections.enter(ip("192.0.2.1")).unwrap();
        let _second = connections.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(connections.enter(ip("192.0.2.1")).unwrap_err(), Refusal::Address);
        let _third = connections.enter(ip("192.0.2.2")).unwrap();
        assert_eq!(connections.enter(ip("192.0.2.3")).unwrap_err(), Refusal::Total);
        drop(first);
        assert!(connections.enter(ip("192.0.2.1")).is_ok());
        assert_eq!(connections.open().by_address.len(), 2);
    }

    #[test]
    fn a_slot_counts_before_its_client_is_known() {
        let connections = ConnectionLimits::new(3, 1, usize::MAX);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let [first, second, third] =
            [(); 3].map(|()| connections.enter_unnamed(Purpose::Http).unwrap());
        assert_eq!(connections.enter_unnamed(Purpose::Http).unwrap_err(), Refusal::Total);
        let _first = first.name(ip("192.0.2.1")).unwrap();
        // A connection over the limit of its address loses its slot.
        assert_eq!(second.name(ip("192.0.2.1")).unwrap_err(), Refusal::Address);
        let _third = third.name(ip("192.0.2.2")).unwrap();
        assert_eq!(connections.open().total, 2);
    }

    #[test]
    fn one_purpose_leaves_files_for_the_other_and_both_for_the_rest() {
        let connections = ConnectionLimits::new(1000, 1000, 16);
        let enter = |purpose| connections.enter_unnamed(purpose);
        let mut relay: Vec<_> = (0..8).map(|_| enter(Purpose::Relay).unwrap()).collect();
        assert_eq!(enter(Purpose::Relay).unwrap_err(), Refusal::Files);
        let mut http: Vec<_> = (0..4).map(|_| enter(Purpose::Http).unwrap()).collect();
        assert_eq!(enter(Purpose::Http).unwrap_err(), Refusal::Total);
        assert_eq!(http[0].take_for(Purpose::Relay), Err(Refusal::Files));
        relay.pop();
        http[0].take_for(Purpose::Relay).unwrap();
        assert_eq!(connections.open().by_purpose, [3, 8]);
        drop((relay, http));
        assert_eq!(connections.open().by_purpose, [0, 0]);
    }

    /// On a proxy's connection, a client counts for the limit of its address, and for no other.
    #[test]
    fn a_share_counts_for_its_address_alone() {
        let connections = ConnectionLimits::new(1, 2, usize::MAX);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let _proxy = connections.enter_unnamed(Purpose::Http).unwrap();
        let first = connections.share(ip("192.0.2.1")).unwrap();
        let _second = connections.share(ip("192.0.2.1")).unwrap();
        assert_eq!(connections.share(ip("192.0.2.1")).unwrap_err(), Refusal::Address);
        let _other = connections.share(ip("192.0.2.2")).unwrap();
        drop(first);
        assert!(connections.share(ip("192.0.2.1")).is_ok());
        let open = connections.open();
        assert_eq!((open.total, open.by_address.len()), (1, 2));
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let ip = |text: &str| group(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1:2:3"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
    }
}
