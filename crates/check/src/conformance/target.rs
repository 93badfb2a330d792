//! The server that is judged, and the users and peers of its clients.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use callbox_base::auth::AccessTokenKey;

use super::{
    link::Transport,
    login::User,
    peer::Peer,
    request::{IPV6, Request, TCP},
    tcp_peer::{ClosedPort, TcpPeer},
    verdict::{Fault, Verdict},
};

/// A server, and the settings of its cases.
pub(super) struct Target {
    /// Its address.
    pub server: SocketAddr,
    /// The transport to it.
    pub transport: Transport,
    /// The users; the second is for cases with two of them.
    pub users: Vec<User>,
    /// The key that access tokens for the server are sealed with.
    pub oauth_key: Option<AccessTokenKey>,
    /// The address of the peers.
    pub peer_ip: IpAddr,
    /// The longest time until an answer, or data.
    pub timeout: Duration,
    /// The time without a message that counts as no answer.
    pub silence: Duration,
}

impl Target {
    /// Returns the user of the clients.
    pub(super) fn user(&self) -> Verdict<&User> {
        self.users.first().ok_or_else(|| {
            Fault::skipped("needs credentials: give --user or --auth-secret to go on to TURN")
        })
    }

    /// Returns another user.
    pub(super) fn other_user(&self) -> Verdict<&User> {
        self.user()?;
        let missing = || Fault::skipped("needs a second user: give --user twice");
        self.users.get(1).ok_or_else(missing)
    }

    /// Creates an Allocate request for a relayed address of the peers' family. Without
    /// REQUESTED-ADDRESS-FAMILY it would be an IPv4 one (RFC 8656 §7.2).
    pub(super) fn allocate(&self) -> Request {
        match self.peer_ip {
            IpAddr::V4(_) => Request::allocate(),
            IpAddr::V6(_) => Request::allocate().family(IPV6),
        }
    }

    /// Creates an Allocate request for a relayed address of TCP (RFC 6062).
    pub(super) fn allocate_tcp(&self) -> Request {
        match self.peer_ip {
            IpAddr::V4(_) => Request::bare_allocate().transport(TCP),
            IpAddr::V6(_) => Request::bare_allocate().transport(TCP).family(IPV6),
        }
    }

    /// Opens a peer.
    pub(super) fn peer(&self) -> Verdict<Peer> {
        Peer::open(self.peer_ip)
    }

    /// Opens a peer over TCP.
    pub(super) fn tcp_peer(&self) -> Verdict<TcpPeer> {
        TcpPeer::open(self.peer_ip)
    }

    /// Takes a TCP port at the peers' address at which nobody listens.
    pub(super) fn closed_port(&self) -> Verdict<ClosedPort> {
        ClosedPort::open(self.peer_ip)
    }

    /// Opens a peer at another address. Only loopback surely has another one that the server
    /// reaches.
    pub(super) fn other_peer(&self) -> Verdict<Peer> {
        match self.peer_ip {
            IpAddr::V4(ip) if ip.is_loopback() => {
                let [a, b, c, d] = ip.octets();
                Peer::open(Ipv4Addr::new(a, b, c, d.wrapping_add(1)).into())
            }
            _ => Err(Fault::skipped("needs peers at two addresses: run it on IPv4 loopback")),
        }
    }

    /// Returns an address of the other family, which nothing is ever sent to: that of a public
    /// resolver, since servers deny others for other reasons.
    pub(super) fn other_family(&self) -> SocketAddr {
        match self.peer_ip {
            IpAddr::V4(_) => ([0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888], 9).into(),
            IpAddr::V6(_) => ([8, 8, 8, 8], 9).into(),
        }
    }
}
