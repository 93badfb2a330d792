//! The server that is looked at, and what a case begins with: a client, a client with an
//! allocation, one with a permission, one with a channel.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use callbox_turn::auth::AccessTokenKey;

use super::{
    client::{CHANNEL, Client},
    link::Way,
    login::User,
    peer::Peer,
    request::{IPV6, Request, TCP},
    tcp_peer::TcpPeer,
    verdict::{Fault, Verdict},
};

/// A server, and how to go about it.
pub(super) struct Target {
    /// Where it is.
    pub server: SocketAddr,
    /// How it is talked to.
    pub way: Way,
    /// Who may use it; the second is for what two users do to each other.
    pub users: Vec<User>,
    /// What access tokens for the server are sealed with.
    pub oauth_key: Option<AccessTokenKey>,
    /// Where peers are.
    pub here: IpAddr,
    /// How long an answer, or data, is waited for.
    pub patience: Duration,
    /// How long nothing must come for it to count as nothing.
    pub silence: Duration,
}

impl Target {
    /// A client, which the server does not know.
    pub fn client(&self) -> Verdict<Client<'_>> {
        Client::connect(self)
    }

    /// Who the clients are.
    pub fn user(&self) -> Verdict<&User> {
        self.users.first().ok_or_else(|| {
            Fault::skipped("needs credentials: give --user or --auth-secret to go on to TURN")
        })
    }

    /// Somebody else.
    pub fn other_user(&self) -> Verdict<&User> {
        self.user()?;
        let missing = || Fault::skipped("needs a second user: give --user twice");
        self.users.get(1).ok_or_else(missing)
    }

    /// A client that knows realm and nonce.
    pub fn challenged(&self) -> Verdict<Client<'_>> {
        let user = self.user()?;
        let mut client = self.client()?;
        client.learn(user)?;
        Ok(client)
    }

    /// An Allocate request for a relayed address of the peers' family. Without
    /// REQUESTED-ADDRESS-FAMILY it would be an IPv4 one (RFC 8656 §7.2).
    pub fn allocate(&self) -> Request {
        match self.here {
            IpAddr::V4(_) => Request::allocate(),
            IpAddr::V6(_) => Request::allocate().family(IPV6),
        }
    }

    /// The same for one that is relayed over TCP (RFC 6062).
    pub fn allocate_tcp(&self) -> Request {
        match self.here {
            IpAddr::V4(_) => Request::bare_allocate().transport(TCP),
            IpAddr::V6(_) => Request::bare_allocate().transport(TCP).family(IPV6),
        }
    }

    /// A client with an allocation.
    pub fn allocated(&self) -> Verdict<Client<'_>> {
        let mut client = self.challenged()?;
        client.allocate()?;
        Ok(client)
    }

    /// A client with an allocation and a permission, and the peer that it is for.
    pub fn permitted(&self) -> Verdict<(Client<'_>, Peer)> {
        let (mut client, peer) = (self.allocated()?, self.peer()?);
        client.permit(&peer)?;
        Ok((client, peer))
    }

    /// A client with an allocation and a channel, and the peer that it leads to.
    pub fn bound(&self) -> Verdict<(Client<'_>, Peer)> {
        let (mut client, peer) = (self.allocated()?, self.peer()?);
        client.bind(CHANNEL, &peer)?;
        Ok((client, peer))
    }

    /// A peer.
    pub fn peer(&self) -> Verdict<Peer> {
        Peer::open(self.here)
    }

    /// A peer over TCP.
    pub fn tcp_peer(&self) -> Verdict<TcpPeer> {
        TcpPeer::open(self.here)
    }

    /// A peer at another address. Only loopback surely has another one that the server reaches.
    pub fn other_peer(&self) -> Verdict<Peer> {
        match self.here {
            IpAddr::V4(here) if here.is_loopback() => {
                let [a, b, c, d] = here.octets();
                Peer::open(Ipv4Addr::new(a, b, c, d.wrapping_add(1)).into())
            }
            _ => Err(Fault::skipped("needs peers at two addresses: run it on IPv4 loopback")),
        }
    }

    /// An address of the other family, which nothing is ever sent to: those of public resolvers,
    /// since servers deny others for other reasons.
    pub fn other_family(&self) -> SocketAddr {
        match self.here {
            IpAddr::V4(_) => ([0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888], 9).into(),
            IpAddr::V6(_) => ([8, 8, 8, 8], 9).into(),
        }
    }
}
