//! The settings that the relay is started with.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use callbox_turn::{self as turn, auth::TurnAuth};

/// The default for the longest time that datagrams are coalesced at a high rate.
pub const GATHER: Duration = Duration::from_millis(2);

/// The settings that the relay is started with.
#[derive(Debug)]
pub struct Config {
    /// The addresses that clients are served on, over UDP, and over TCP by
    /// [`Relay::take_listeners`](crate::Relay::take_listeners). A port of 0 takes any free one; an
    /// unspecified address means every address of the machine.
    pub listen: Vec<SocketAddr>,
    /// The number of relaying threads, at most [`turn::MAX_WORKERS`]. More than one needs an
    /// operating system that spreads the datagrams of one port over several sockets: Linux does.
    pub workers: usize,
    /// A second address for NAT behaviour discovery (RFC 5780), if that is to be served.
    pub alternate_ip: Option<IpAddr>,
    /// The lifetime of the credentials that are minted: calls that are over are remembered for as
    /// long.
    pub credential_ttl: Duration,
    /// The time for which a user who was kicked is refused, unless the user has a new token.
    pub kick_ttl: Duration,
    /// The longest time for which datagrams may be coalesced, where tens of thousands arrive in a
    /// second.
    pub gather: Duration,
    /// The settings of the engines.
    pub turn: turn::Config,
    /// The checks of the credentials of clients.
    pub auth: TurnAuth,
}
