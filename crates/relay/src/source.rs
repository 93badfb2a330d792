//! The sources that a worker reads from, and the tokens by which the system reports them.

use callbox_turn::{AllocationId, ConnectionId, StreamId};
use mio::Token;

/// A source that a worker reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A socket that clients send to, by its index.
    Listener(u16),
    /// The socket of an allocation.
    Relay(AllocationId),
    /// The connected socket of an allocation.
    Connected(AllocationId),
    /// The ring of another worker, by its index.
    Ring(usize),
    /// The stream of a client.
    Stream(StreamId),
    /// The listener of a TCP allocation.
    TcpRelay(AllocationId),
    /// A connection to a peer.
    Connection(ConnectionId),
}

/// The token of the waker, which announces commands and the packets of rings.
pub(super) const WAKER: Token = Token(usize::MAX);

/// The first tokens of streams, of connections and of listeners of TCP allocations, far above those
/// of sockets.
const STREAMS: usize = 1 << (usize::BITS - 2);
const CONNECTIONS: usize = STREAMS + (1 << (usize::BITS - 3));
const TCP_RELAYS: usize = STREAMS + (1 << (usize::BITS - 4));

impl Source {
    /// Returns the token of a source of a worker with this number of listeners.
    pub(crate) fn token(self, listeners: usize) -> Token {
        match self {
            Self::Listener(index) => Token(usize::from(index)),
            Self::Relay(AllocationId(id)) => Token(listeners + 2 * id as usize),
            Self::Connected(AllocationId(id)) => Token(listeners + 2 * id as usize + 1),
            Self::Ring(_) => WAKER,
            Self::Stream(StreamId(id)) => Token(STREAMS + id as usize),
            Self::TcpRelay(AllocationId(id)) => Token(TCP_RELAYS + id as usize),
            Self::Connection(ConnectionId(id)) => Token(CONNECTIONS + id as usize),
        }
    }

    /// Returns the source of a token other than [`WAKER`].
    pub(crate) fn of_token(Token(token): Token, listeners: usize) -> Self {
        if let Some(id) = token.checked_sub(CONNECTIONS) {
            Self::Connection(ConnectionId(id as u32))
        } else if let Some(id) = token.checked_sub(TCP_RELAYS) {
            Self::TcpRelay(AllocationId(id as u32))
        } else if let Some(id) = token.checked_sub(STREAMS) {
            Self::Stream(StreamId(id as u32))
        } else {
            match token.checked_sub(listeners) {
                Some(at) if at % 2 == 0 => Self::Relay(AllocationId((at / 2) as u32)),
                Some(at) => Self::Connected(AllocationId((at / 2) as u32)),
                None => Self::Listener(token as u16),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_source() {
        for n in [0, 1, 2, 77, u32::MAX] {
            let allocation = AllocationId(n);
            for source in [
                Source::Listener(n as u16 % 3),
                Source::Relay(allocation),
                Source::Connected(allocation),
                Source::Stream(StreamId(n)),
                Source::TcpRelay(allocation),
                Source::Connection(ConnectionId(n)),
            ] {
                assert_eq!(Source::of_token(source.token(3), 3), source);
                assert_ne!(source.token(3), WAKER);
            }
        }
    }
}
