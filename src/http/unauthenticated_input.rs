//! The bytes that are read from a connection, counted until its client has authenticated: a
//! WebSocket reads whole messages, which anybody could send until then.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{exchange::Exchange, memory::Memory};

/// Counts the bytes that are read from one connection.
#[derive(Debug, Default)]
pub(super) struct InputCounter {
    stranger: Mutex<Option<Arc<Exchange>>>,
}

/// The input of the connection by which a request came, counted for the client's address.
#[derive(Debug, Clone)]
pub(super) struct ClientInput {
    /// The counter of the bytes.
    pub counter: Arc<InputCounter>,
    /// The address of the client.
    pub client: IpAddr,
}

impl ClientInput {
    /// Counts the bytes that are read from now on.
    pub(super) fn count(&self, memory: &Memory) {
        let exchange = Exchange::new(memory.clone());
        // Nothing is held yet, and nothing is refused.
        let _ = exchange.begin(self.client, 0);
        *self.counter.stranger() = Some(exchange);
    }

    /// Stops counting, since the client has authenticated: the limits of a user apply from now on.
    pub(super) fn trust(&self) {
        self.counter.stop();
    }
}

impl InputCounter {
    /// Counts the bytes that have been read.
    ///
    /// # Errors
    /// The client has not authenticated and holds too much.
    pub(super) fn add(&self, bytes: usize) -> io::Result<()> {
        let result = self.stranger().as_ref().map_or(Ok(()), |exchange| exchange.hold_more(bytes));
        result.map_err(|_| io::Error::other("a client that has not authenticated sends too much"))
    }

    fn stop(&self) {
        if let Some(exchange) = self.stranger().take() {
            exchange.release();
        }
    }

    fn stranger(&self) -> MutexGuard<'_, Option<Arc<Exchange>>> {
        self.stranger.lock().expect("counting does not panic")
    }
}

impl Drop for InputCounter {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_a_stranger_are_counted_and_those_of_a_user_are_not() {
        let memory = Memory::new(4000);
        let input = || ClientInput { counter: Arc::default(), client: [192, 0, 2, 1].into() };
        let [first, second, user] = [input(), input(), input()];
        user.counter.add(100_000).unwrap();
        first.count(&memory);
        second.count(&memory);
        first.counter.add(600).unwrap();
        second.counter.add(300).unwrap();
        second.counter.add(200).unwrap_err();
        assert_eq!(memory.used(), 900);
        first.trust();
        first.counter.add(100_000).unwrap();
        drop(second);
        assert_eq!(memory.used(), 0);
    }
}
