//! The reasons why the relay did not start.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use callbox_turn::ExternalIp;

/// The reason why the relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound.
    #[error("cannot listen on {address}/{protocol}: {source}{}", bind_hint(source))]
    Listen {
        /// The address of the listener.
        address: SocketAddr,
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// None of the addresses exists on this machine.
    #[error("none of the listen addresses ({0:?}) leads to an address of this machine")]
    NoAddress(Vec<SocketAddr>),
    /// There is no listener that this address could be the alternate address of.
    #[error(
        "--alternate-ip {0} needs a listener on another address of its family, with a free port \
         behind its own"
    )]
    Alternate(IpAddr),
    /// An outer address belongs to an inner one that the server does not have.
    #[error(
        "--external-ip {public}/{private}: no listener has the inner address {private}, so nobody \
         would be told {public}; the listeners have {own}: give one of those, or {public} alone"
    )]
    ExternalIp {
        /// The outer address.
        public: IpAddr,
        /// The inner one.
        private: IpAddr,
        /// The addresses that the listeners have.
        own: String,
    },
    /// Two outer addresses belong to one inner address.
    #[error(
        "--external-ip {second}: nobody would be told {}, since {first} is there before it; leave one \
         of the two out, or give each the inner address of its own, as PUBLIC/PRIVATE",
        second.public
    )]
    SecondExternalIp {
        /// The one that clients would be told.
        first: ExternalIp,
        /// The one behind it.
        second: ExternalIp,
    },
    /// An address for relayed addresses cannot be used.
    #[error("cannot open relayed addresses on {address}: {source}{}", bind_hint(source))]
    RelayIp {
        /// The address for relayed addresses.
        address: IpAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system gives no thread, no `epoll` or no list of its addresses.
    #[error("cannot start a relay worker: {0}")]
    System(#[from] io::Error),
}

/// Returns advice about an address that cannot be bound; it begins with a semicolon, or is empty.
pub fn bind_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program, or another callbox, listens there: stop it, or choose another port \
             (0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: `ip address` shows those it has, and behind a NAT \
             the outer one belongs into --external-ip"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE, or a higher port"
        }
        _ => "",
    }
}
