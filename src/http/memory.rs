//! The memory that requests and answers take, by client address and in all.
//!
//! Counted is the memory that a client can make the server hold: the head of a request, an
//! incomplete body, an answer that has not been read. An address may have a part of the whole. When
//! the whole is used up, the largest request of the address that holds most is ended for one of an
//! address that holds less, so that the address that fills the memory pays for it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use super::{exchange::Exchange, limits::group};

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

/// The accounts of all addresses.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    max: usize,
    accounts: Arc<Mutex<Accounts>>,
}

#[derive(Debug, Default)]
struct Accounts {
    held: usize,
    by_address: HashMap<IpAddr, Account>,
    /// The addresses in the order of the memory that they hold.
    by_size: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug, Default)]
struct Account {
    held: usize,
    /// The memory of each request, by the number of its exchange.
    requests: HashMap<u64, (usize, Weak<Exchange>)>,
}

impl Memory {
    /// Creates accounts for `max` bytes in all.
    pub fn new(max: usize) -> Self {
        Self { max, accounts: Arc::default() }
    }

    /// Returns the number of bytes that requests hold now.
    pub fn held(&self) -> usize {
        self.accounts().held
    }

    /// Begins to count a request. It holds `bytes` from now on.
    ///
    /// # Errors
    /// The limit that was reached; nothing is counted then. A lone request is never refused.
    pub fn enter(
        &self,
        address: IpAddr,
        exchange: &Arc<Exchange>,
        bytes: usize,
    ) -> Result<(), Full> {
        let address = group(address);
        let mut accounts = self.accounts();
        accounts.make_room(self.max, address, bytes)?;
        accounts.change(address, exchange.number(), bytes, || Arc::downgrade(exchange));
        Ok(())
    }

    /// Counts that a request holds `bytes` now.
    ///
    /// # Errors
    /// The limit that was reached; it holds what it held before then.
    pub fn set(&self, address: IpAddr, number: u64, bytes: usize) -> Result<(), Full> {
        let address = group(address);
        let mut accounts = self.accounts();
        let requests = accounts.by_address.get(&address).map(|account| &account.requests);
        let (before, exchange) = requests
            .and_then(|requests| requests.get(&number))
            .map(|(before, exchange)| (*before, exchange.clone()))
            .ok_or(Full::Ended)?;
        accounts.change(address, number, 0, Weak::new);
        let room = accounts.make_room(self.max, address, bytes);
        let bytes = if room.is_ok() { bytes } else { before };
        accounts.change(address, number, bytes, || exchange);
        room
    }

    /// Stops counting a request.
    pub fn leave(&self, address: IpAddr, number: u64) {
        self.accounts().change(group(address), number, 0, Weak::new);
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().expect("counting does not panic")
    }
}

impl Accounts {
    /// Ensures that there is room for this many more bytes of an address.
    fn make_room(&mut self, max: usize, address: IpAddr, bytes: usize) -> Result<(), Full> {
        let here = self.by_address.get(&address).map_or(0, |account| account.held);
        if here > 0 && here.saturating_add(bytes) > max / ADDRESS_PART {
            return Err(Full::Address);
        }
        while self.held > 0 && self.held.saturating_add(bytes) > max {
            let largest = self.by_size.last().copied();
            let Some((_, largest)) = largest.filter(|(held, _)| *held > here + bytes) else {
                return Err(Full::Total);
            };
            self.end_largest_of(largest);
        }
        Ok(())
    }

    /// Ends the largest request of an address.
    fn end_largest_of(&mut self, address: IpAddr) {
        let Some(account) = self.by_address.get(&address) else { return };
        let largest = account.requests.iter().max_by_key(|(_, (held, _))| *held);
        let Some((number, exchange)) = largest.map(|(n, (_, exchange))| (*n, exchange.clone()))
        else {
            return;
        };
        self.change(address, number, 0, Weak::new);
        if let Some(exchange) = exchange.upgrade() {
            exchange.end();
        }
    }

    /// Sets the number of bytes that a request of an address holds; 0 removes it.
    fn change(
        &mut self,
        address: IpAddr,
        number: u64,
        bytes: usize,
        exchange: impl FnOnce() -> Weak<Exchange>,
    ) {
        let account = self.by_address.entry(address).or_default();
        let was = account.held;
        if let Some((before, _)) = account.requests.remove(&number) {
            account.held -= before;
            self.held -= before;
        }
        if bytes > 0 {
            account.requests.insert(number, (bytes, exchange()));
            account.held += bytes;
            self.held += bytes;
        }
        let is = account.held;
        self.by_size.remove(&(was, address));
        if is > 0 {
            self.by_size.insert((is, address));
        } else {
            self.by_address.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_address_may_hold_a_quarter_and_releases_it() {
        let memory = Memory::new(4000);
        let [first, second] = [(); 2].map(|()| Exchange::new(memory.clone()));
        memory.enter(ip(1), &first, 600).unwrap();
        assert_eq!(memory.enter(ip(1), &second, 500), Err(Full::Address));
        memory.enter(ip(1), &second, 300).unwrap();
        assert_eq!(memory.set(ip(1), second.number(), 500), Err(Full::Address));
        assert_eq!(memory.held(), 900, "it holds what it held");
        memory.set(ip(1), first.number(), 100).unwrap();
        memory.set(ip(1), second.number(), 500).unwrap();
        memory.leave(ip(1), first.number());
        memory.leave(ip(1), second.number());
        let accounts = memory.accounts();
        assert_eq!((accounts.held, accounts.by_address.len(), accounts.by_size.len()), (0, 0, 0));
    }

    #[test]
    fn a_lone_request_may_be_of_any_size() {
        let memory = Memory::new(1000);
        let large = Exchange::new(memory.clone());
        memory.enter(ip(1), &large, 5000).unwrap();
        assert_eq!(memory.held(), 5000);
    }

    #[test]
    fn the_address_that_holds_most_makes_room_for_others() {
        let memory = Memory::new(4000);
        let hold = |address, bytes| {
            let exchange = Exchange::new(memory.clone());
            memory.enter(address, &exchange, bytes).map(|()| exchange)
        };
        let greedy: Vec<_> = [400, 500, 100].map(|bytes| hold(ip(1), bytes).unwrap()).into();
        let _others: Vec<_> = (2..5).map(|n| hold(ip(n), 900).unwrap()).collect();
        let _small = hold(ip(5), 300).unwrap();
        assert_eq!(memory.held(), 4000);
        let small = hold(ip(5), 100).unwrap();
        assert_eq!(memory.held(), 3600, "the largest request of the largest address is over");
        assert_eq!(memory.set(ip(1), greedy[1].number(), 600), Err(Full::Ended));
        memory.set(ip(1), greedy[0].number(), 300).unwrap();
        drop(small);
        let _fill = hold(ip(6), 500).unwrap();
        assert_eq!(hold(ip(2), 100).unwrap_err(), Full::Total, "nobody holds more");
    }
}
