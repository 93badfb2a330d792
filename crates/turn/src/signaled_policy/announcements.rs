//! The addresses that the sides of live calls have announced to each other, where `--relay-policy
//! signaled` asks for them.
//!
//! The hub adds to it before it sends a candidate on, and a worker looks before it installs a
//! permission, which is why all share one: a copy in each worker would be a moment late, and a
//! client whose first permission is refused may give the path up. The lock is taken for a request,
//! never for a packet.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use callbox_base::ids::{CallId, UserId};

/// The number of addresses of a side that are remembered. Past it the one that was announced
/// longest ago is forgotten, so that a side that moves between networks all day can still be
/// reached.
pub(crate) const MAX_ADDRESSES: usize = 64;

/// The largest number of sides of a call: a room has as many participants, who may be as many
/// users.
const SIDES: usize = 8;

/// The addresses that each side of each live call has announced.
#[derive(Debug, Default)]
pub(crate) struct Announcements(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    calls: HashMap<CallId, Vec<Side>>,
    /// The calls above that each user is a side of.
    calls_of: HashMap<String, Vec<CallId>>,
}

#[derive(Debug)]
struct Side {
    user: UserId,
    /// The announced addresses, the latest last.
    ips: Vec<IpAddr>,
}

impl Announcements {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // Each change below is whole before anything in it can panic.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds addresses that a side of a call has announced to another one, `to`.
    pub(crate) fn add(&self, call: CallId, by: &UserId, to: &UserId, ips: &[IpAddr]) {
        let mut table = self.write();
        // The other side need not have said anything yet.
        table.side_mut(call, to);
        let Some(side) = table.side_mut(call, by) else { return };
        for ip in ips.iter().map(IpAddr::to_canonical) {
            side.ips.retain(|known| *known != ip);
            if side.ips.len() == MAX_ADDRESSES {
                side.ips.remove(0);
            }
            side.ips.push(ip);
        }
    }

    /// Forgets what a user has announced, who is in the call no more. Returns the users of all
    /// sides of the call, the one who has left included: what they were granted is to be judged
    /// again.
    pub(crate) fn forget(&self, call: CallId, user: &UserId) -> Arc<[UserId]> {
        let mut table = self.write();
        let Some(sides) = table.calls.get_mut(&call) else { return Arc::default() };
        let users = sides.iter().map(|side| side.user.clone()).collect();
        sides.retain(|side| side.user != *user);
        table.leave(call, user);
        users
    }

    /// Forgets a call that is over. Returns the users of its sides: what they were granted is to be
    /// judged again.
    pub(crate) fn end(&self, call: CallId) -> Arc<[UserId]> {
        let mut table = self.write();
        let sides = table.calls.remove(&call).unwrap_or_default();
        sides.iter().for_each(|side| table.leave(call, &side.user));
        sides.into_iter().map(|side| side.user).collect()
    }

    /// Returns true if another side of the call than `user` has announced `ip`.
    pub(crate) fn is_known_to(&self, call: CallId, user: &str, ip: IpAddr) -> bool {
        self.read().is_known_to(call, user, ip)
    }

    /// Returns true if another side of any call that `user` is in has announced `ip`.
    pub(crate) fn is_known_in_any_call_of(&self, user: &str, ip: IpAddr) -> bool {
        let table = self.read();
        let mut calls = table.calls_of.get(user).into_iter().flatten();
        calls.any(|call| table.is_known_to(*call, user, ip))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let table = self.read();
        table.calls.is_empty() && table.calls_of.is_empty()
    }
}

impl Table {
    /// Returns a user's side of a call. `None` if the call has too many: the hub knows of no more,
    /// and were there another, its addresses would not be reached.
    fn side_mut(&mut self, call: CallId, user: &UserId) -> Option<&mut Side> {
        let sides = self.calls.entry(call).or_default();
        let at = match sides.iter().position(|side| side.user == *user) {
            Some(at) => at,
            None if sides.len() == SIDES => return None,
            None => {
                sides.push(Side { user: user.clone(), ips: Vec::new() });
                self.calls_of.entry(user.as_str().to_owned()).or_default().push(call);
                sides.len() - 1
            }
        };
        sides.get_mut(at)
    }

    fn leave(&mut self, call: CallId, user: &UserId) {
        if let Some(calls) = self.calls_of.get_mut(user.as_str()) {
            calls.retain(|of| *of != call);
            if calls.is_empty() {
                self.calls_of.remove(user.as_str());
            }
        }
    }

    fn is_known_to(&self, call: CallId, user: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.calls.get(&call).is_some_and(|sides| {
            sides.iter().any(|side| side.user.as_str() != user && side.ips.contains(&ip))
        })
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
    fn an_announcement_applies_to_the_other_side_of_its_call() {
        let announced = Announcements::default();
        announced.add(call(1), &user("alice"), &user("bob"), &[ip(1)]);
        announced.add(call(1), &user("bob"), &user("alice"), &[ip(2)]);
        let known = |n, to, at| announced.is_known_to(call(n), to, ip(at));
        assert!(known(1, "bob", 1) && known(1, "alice", 2));
        assert!(!known(1, "alice", 1) && !known(1, "bob", 2));
        assert!(!known(2, "bob", 1));
        // The same address, IPv4-mapped.
        let mapped = "::ffff:10.0.0.2".parse().unwrap();
        assert!(announced.is_known_to(call(1), "alice", mapped));
        announced.end(call(1));
        assert!(!known(1, "bob", 1) && announced.is_empty());
    }

    #[test]
    fn announcements_in_each_call_of_a_user_are_known_to_the_user() {
        let announced = Announcements::default();
        let (alice, bob, carol) = (user("alice"), user("bob"), user("carol"));
        let known = |to, n| announced.is_known_in_any_call_of(to, ip(n));
        // Alice has said nothing herself yet.
        announced.add(call(1), &bob, &alice, &[ip(1)]);
        announced.add(call(2), &carol, &alice, &[ip(2)]);
        announced.add(call(3), &bob, &carol, &[ip(3)]);
        assert!(known("alice", 1) && known("alice", 2) && !known("alice", 3));
        assert!(!known("bob", 1) && !known("bob", 2) && !known("eve", 1));
        announced.forget(call(1), &alice);
        assert!(!known("alice", 1) && known("alice", 2));
        announced.end(call(2));
        assert!(!known("alice", 2));
        announced.end(call(1));
        announced.end(call(3));
        assert!(announced.is_empty());
    }

    #[test]
    fn the_latest_addresses_of_a_limited_number_of_sides_are_kept() {
        let announced = Announcements::default();
        let known = |to, n| announced.is_known_to(call(1), to, ip(n));
        for n in 0..1000 {
            announced.add(call(1), &user("alice"), &user("bob"), &[ip(0), ip(n)]);
            announced.add(call(1), &user("bob"), &user("alice"), &[]);
            announced.add(call(1), &user("eve"), &user("alice"), &[ip(2000)]);
            // The one that is announced again and again stays.
            assert!(known("bob", 0), "after {n}");
        }
        assert_eq!((1..1000).filter(|n| known("bob", *n)).count(), MAX_ADDRESSES - 1);
        assert!(known("bob", 999) && !known("bob", 1000 - MAX_ADDRESSES));
        assert!(known("bob", 2000));
        announced.forget(call(1), &user("eve"));
        assert!(!known("bob", 2000) && known("bob", 999));
        for n in 0..100 {
            announced.add(call(1), &user(&format!("user {n}")), &user("bob"), &[ip(3000 + n)]);
        }
        let known_sides = (0..100).filter(|n| known("bob", 3000 + n)).count();
        assert_eq!(known_sides, SIDES - 2);
    }
}
