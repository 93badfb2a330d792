//! The latest Binding requests. They have no credentials: their user is known once the same address
//! of a client sends something that has, or is announced as a candidate.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use callbox_base::clock::Now;

use super::details::Transport;

/// The largest number of requests that are kept.
const MAX: usize = 1024;

/// The time for which a request is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The latest Binding request of each address, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Bindings(VecDeque<(Now, SocketAddr, Transport)>);

impl Bindings {
    /// Adds a request, unless there is one from the same address.
    pub(super) fn add(&mut self, now: Now, client: SocketAddr, transport: Transport) {
        let is_old = |at: &Now| now.instant.saturating_duration_since(at.instant) > KEPT_FOR;
        while self.0.front().is_some_and(|(at, ..)| is_old(at)) || self.0.len() == MAX {
            self.0.pop_front();
        }
        if !self.is_known(client) {
            self.0.push_back((now, client, transport));
        }
    }

    /// Returns true if there is a request from an address.
    pub(super) fn is_known(&self, client: SocketAddr) -> bool {
        self.0.iter().any(|(_, other, _)| *other == client)
    }

    /// Takes out the request from an address.
    pub(super) fn take(&mut self, client: SocketAddr) -> Option<(Now, Transport)> {
        let index = self.0.iter().position(|(_, other, _)| *other == client)?;
        self.0.remove(index).map(|(at, _, transport)| (at, transport))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn requests_are_kept_for_a_minute_and_their_number_is_bounded() {
        let (mut bindings, now) = (Bindings::default(), Now::read());
        bindings.add(now, client(1), Transport::Udp);
        bindings.add(now + KEPT_FOR, client(2), Transport::Tcp);
        assert!(bindings.is_known(client(1)));
        let later = now + KEPT_FOR + Duration::from_millis(1);
        bindings.add(later, client(3), Transport::Udp);
        assert!(!bindings.is_known(client(1)));
        assert_eq!(bindings.take(client(2)), Some((now + KEPT_FOR, Transport::Tcp)));
        assert_eq!(bindings.take(client(2)), None);
        (0..5000).for_each(|port| bindings.add(later, client(port), Transport::Udp));
        assert_eq!(bindings.0.len(), MAX);
    }
}
