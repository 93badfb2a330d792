//! The addresses that the sides of live calls have announced to each other, where `--relay-policy
//! signaled` asks for them.
//!
//! The hub adds to it before it sends a candidate on, and a worker looks before it installs a
//! permission, which is why all share one: a copy in each worker would be a moment late, and a client
//! whose first permission is refused may give the path up. The lock is taken for a request, never for
//! a packet.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::ids::{CallId, UserId};

/// How many addresses of a side are remembered. Past it the one that was announced longest ago is
/// forgotten, so that a side that moves between networks all day can still be reached.
pub(super) const MAX_ADDRESSES: usize = 64;

/// How many sides a call has at most: a room has as many participants, who may be as many users.
const SIDES: usize = 8;

/// What each side of each live call has announced.
#[derive(Debug, Default)]
pub(super) struct Announced {
    calls: RwLock<HashMap<CallId, Vec<Side>>>,
}

#[derive(Debug)]
struct Side {
    user: UserId,
    /// The latest last.
    ips: Vec<IpAddr>,
}

impl Announced {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<CallId, Vec<Side>>> {
        // Each change below is whole before anything in it can panic.
        self.calls.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<CallId, Vec<Side>>> {
        self.calls.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A side of a call says where it is.
    pub fn add(&self, call: CallId, by: &UserId, ips: &[IpAddr]) {
        let mut calls = self.write();
        let sides = calls.entry(call).or_default();
        let at = sides.iter().position(|side| side.user == *by).unwrap_or_else(|| {
            sides.push(Side { user: by.clone(), ips: Vec::new() });
            sides.len() - 1
        });
        // The hub knows of no more. Were there another, it would find no place, and no way.
        sides.truncate(SIDES);
        let Some(side) = sides.get_mut(at) else { return };
        for ip in ips.iter().map(IpAddr::to_canonical) {
            side.ips.retain(|known| *known != ip);
            if side.ips.len() == MAX_ADDRESSES {
                side.ips.remove(0);
            }
            side.ips.push(ip);
        }
    }

    /// The user is in the call no more.
    pub fn forget(&self, call: CallId, user: &UserId) {
        if let Some(sides) = self.write().get_mut(&call) {
            sides.retain(|side| side.user != *user);
        }
    }

    /// The call is over.
    pub fn end(&self, call: CallId) {
        self.write().remove(&call);
    }

    /// Whether another side of the call than `user` has announced `ip`.
    pub fn is_known_to(&self, call: CallId, user: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.read().get(&call).is_some_and(|sides| {
            sides.iter().any(|side| side.user.as_str() != user && side.ips.contains(&ip))
        })
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn call(n: u64) -> CallId {
        CallId::generate(n, &mut StdRng::seed_from_u64(n))
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn ip(n: usize) -> IpAddr {
        IpAddr::from([10, 0, (n / 256) as u8, n as u8])
    }

    #[test]
    fn what_a_side_announces_is_for_the_other_side_of_that_call() {
        let announced = Announced::default();
        announced.add(call(1), &user("alice"), &[ip(1)]);
        announced.add(call(1), &user("bob"), &[ip(2)]);
        let known = |n, to, at| announced.is_known_to(call(n), to, ip(at));
        assert!(known(1, "bob", 1) && known(1, "alice", 2));
        assert!(!known(1, "alice", 1) && !known(1, "bob", 2));
        assert!(!known(2, "bob", 1));
        // The same address in another dress.
        let mapped = "::ffff:10.0.0.2".parse().unwrap();
        assert!(announced.is_known_to(call(1), "alice", mapped));
        announced.end(call(1));
        assert!(!known(1, "bob", 1) && announced.is_empty());
    }

    #[test]
    fn it_remembers_the_latest_addresses_and_no_side_too_many() {
        let announced = Announced::default();
        let known = |to, n| announced.is_known_to(call(1), to, ip(n));
        for n in 0..1000 {
            announced.add(call(1), &user("alice"), &[ip(0), ip(n)]);
            announced.add(call(1), &user("bob"), &[]);
            announced.add(call(1), &user("eve"), &[ip(2000)]);
            // The one that is announced again and again stays.
            assert!(known("bob", 0), "after {n}");
        }
        assert_eq!((1..1000).filter(|n| known("bob", *n)).count(), MAX_ADDRESSES - 1);
        assert!(known("bob", 999) && !known("bob", 1000 - MAX_ADDRESSES));
        assert!(known("bob", 2000));
        announced.forget(call(1), &user("eve"));
        assert!(!known("bob", 2000) && known("bob", 999));
        for n in 0..100 {
            announced.add(call(1), &user(&format!("user {n}")), &[ip(3000 + n)]);
        }
        let places = (0..100).filter(|n| known("bob", 3000 + n)).count();
        assert_eq!(places, SIDES - 2);
    }
}
