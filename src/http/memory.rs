//! The memory that requests and answers take, by client address and in all.
//!
//! Counted is the memory that a client can make the server hold: the head of a request, an
//! incomplete body, an answer that has not been read. An address may have a part of the whole. When
//! the whole is used up, the largest request of the address that holds most is ended for one of an
//! address that holds less, so that the address that fills the memory pays for it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio_util::sync::CancellationToken;

use super::{counters::Curb, limits::group};

/// The part of the whole that one address may hold: a quarter.
const ADDRESS_PART: usize = 4;

/// The limit that a request has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The address holds as much as one may.
    Address,
    /// The requests hold as much as they may in all, and no other address holds more than this one.
    Total,
    /// The request was ended to make room for others.
    Ended,
}

impl From<Full> for Curb {
    fn from(full: Full) -> Self {
        match full {
            Full::Address => Self::AddressMemory,
            Full::Total => Self::Memory,
            Full::Ended => Self::Ended,
        }
    }
}

/// The accounts of all addresses.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    max: usize,
    accounts: Arc<Mutex<Accounts>>,
}

#[derive(Debug, Default)]
struct Accounts {
    used: usize,
    by_address: HashMap<IpAddr, Account>,
    /// The addresses in the order of the memory that they hold.
    by_size: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug, Default)]
struct Account {
    used: usize,
    /// The requests by their numbers.
    requests: HashMap<u64, Share>,
}

/// The part of the memory that a request holds.
#[derive(Debug)]
struct Share {
    bytes: usize,
    /// Ends the request, since others need its memory.
    eviction: CancellationToken,
}

impl Memory {
    /// Creates accounts for `max` bytes in all.
    pub(super) fn new(max: usize) -> Self {
        Self { max, accounts: Arc::default() }
    }

    /// Returns the number of bytes that requests hold now.
    pub(super) fn used(&self) -> usize {
        self.accounts().used
    }

    /// Begins to count a request. It holds `bytes` from now on, and is ended by `eviction` when
    /// others need them.
    ///
    /// # Errors
    /// The limit that was reached; nothing is counted then. A lone request is never refused.
    pub(super) fn enter(
        &self,
        address: IpAddr,
        number: u64,
        eviction: &CancellationToken,
        bytes: usize,
    ) -> Result<(), Full> {
        let address = group(address);
        let mut accounts = self.accounts();
        accounts.make_room(self.max, address, bytes)?;
        accounts.add(address, number, Share { bytes, eviction: eviction.clone() });
        Ok(())
    }

    /// Counts that a request holds `bytes` now.
    ///
    /// # Errors
    /// The limit that was reached; it holds what it held before then.
    pub(super) fn set(&self, address: IpAddr, number: u64, bytes: usize) -> Result<(), Full> {
        let address = group(address);
        let mut accounts = self.accounts();
        let Share { bytes: before, eviction } =
            accounts.remove(address, number).ok_or(Full::Ended)?;
        let room = accounts.make_room(self.max, address, bytes);
        let bytes = if room.is_ok() { bytes } else { before };
        accounts.add(address, number, Share { bytes, eviction });
        room
    }

    /// Stops counting a request.
    pub(super) fn leave(&self, address: IpAddr, number: u64) {
        self.accounts().remove(group(address), number);
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().expect("counting does not panic")
    }
}

impl Accounts {
    /// Ensures that there is room for this many more bytes of an address.
    fn make_room(&mut self, max: usize, address: IpAddr, bytes: usize) -> Result<(), Full> {
        let here = self.by_address.get(&address).map_or(0, |account| account.used);
        if here > 0 && here.saturating_add(bytes) > max / ADDRESS_PART {
            return Err(Full::Address);
        }
        while self.used > 0 && self.used.saturating_add(bytes) > max {
            let largest = self.by_size.last().copied();
            let Some((_, largest)) = largest.filter(|(used, _)| *used > here + bytes) else {
                return Err(Full::Total);
            };
            self.end_largest_of(largest);
        }
        Ok(())
    }

    /// Ends the largest request of an address.
    fn end_largest_of(&mut self, address: IpAddr) {
        let Some(account) = self.by_address.get(&address) else { return };
        let largest = account.requests.iter().max_by_key(|(_, share)| share.bytes);
        let Some(number) = largest.map(|(number, _)| *number) else { return };
        if let Some(share) = self.remove(address, number) {
            share.eviction.cancel();
        }
    }

    /// Adds the share of a request, which has none yet.
    fn add(&mut self, address: IpAddr, number: u64, share: Share) {
        let account = self.by_address.entry(address).or_default();
        let was = account.used;
        account.used += share.bytes;
        self.used += share.bytes;
        let previous = account.requests.insert(number, share);
        debug_assert!(previous.is_none(), "the request is counted already");
        let is = account.used;
        self.sort(address, was, is);
    }

    /// Removes the share of a request, if it has one.
    fn remove(&mut self, address: IpAddr, number: u64) -> Option<Share> {
        let account = self.by_address.get_mut(&address)?;
        let share = account.requests.remove(&number)?;
        let was = account.used;
        account.used -= share.bytes;
        self.used -= share.bytes;
        let is = account.used;
        if account.requests.is_empty() {
            self.by_address.remove(&address);
        }
        self.sort(address, was, is);
        Some(share)
    }

    /// Updates the order by size after a change of what an address holds.
    fn sort(&mut self, address: IpAddr, was: usize, is: usize) {
        self.by_size.remove(&(was, address));
        if is > 0 {
            self.by_size.insert((is, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Begins to count a request. The result is cancelled when it is ended.
    fn enter(
        memory: &Memory,
        address: u8,
        number: u64,
        bytes: usize,
    ) -> Result<CancellationToken, Full> {
        let eviction = CancellationToken::new();
        memory.enter(ip(address), number, &eviction, bytes).map(|()| eviction)
    }

    #[test]
    fn an_address_may_hold_a_quarter_and_releases_it() {
        let memory = Memory::new(4000);
        enter(&memory, 1, 1, 600).unwrap();
        assert_eq!(enter(&memory, 1, 2, 500).unwrap_err(), Full::Address);
        enter(&memory, 1, 2, 300).unwrap();
        assert_eq!(memory.set(ip(1), 2, 500), Err(Full::Address));
        assert_eq!(memory.used(), 900, "it holds what it held");
        memory.set(ip(1), 1, 100).unwrap();
        memory.set(ip(1), 2, 500).unwrap();
        memory.leave(ip(1), 1);
        memory.leave(ip(1), 2);
        let accounts = memory.accounts();
        assert_eq!((accounts.used, accounts.by_address.len(), accounts.by_size.len()), (0, 0, 0));
    }

    #[test]
    fn a_lone_request_may_be_of_any_size() {
        let memory = Memory::new(1000);
        enter(&memory, 1, 1, 5000).unwrap();
        assert_eq!(memory.used(), 5000);
    }

    #[test]
    fn the_address_that_holds_most_makes_room_for_others() {
        let memory = Memory::new(4000);
        let mut number = 0;
        let mut hold = |address, bytes| {
            number += 1;
            enter(&memory, address, number, bytes)
        };
        let greedy: Vec<_> = [400, 500, 100].map(|bytes| hold(1, bytes).unwrap()).into();
        (2..5).for_each(|address| drop(hold(address, 900).unwrap()));
        hold(5, 300).unwrap();
        assert_eq!(memory.used(), 4000);
        hold(5, 100).unwrap();
        assert_eq!(memory.used(), 3600, "the largest request of the largest address is over");
        let ended: Vec<_> = greedy.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(ended, [false, true, false]);
        assert_eq!(memory.set(ip(1), 2, 600), Err(Full::Ended));
        memory.set(ip(1), 1, 300).unwrap();
        hold(6, 500).unwrap();
        assert_eq!(hold(2, 100).unwrap_err(), Full::Total, "nobody holds more");
    }
}
