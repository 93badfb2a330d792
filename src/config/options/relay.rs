//! The relay and its limits.

use callbox_cli::Period;
use callbox_relay as relay;
use callbox_turn as turn;
use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};
use ipnet::IpNet;

use crate::config::values::{Size, at_least_one, network};

/// The relay and its limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Relay")]
pub struct RelayOptions {
    /// A network that may be relayed to although it is denied by default; may be given more than
    /// once.
    ///
    /// Private, loopback, link-local and other special networks are denied, so that nobody reaches
    /// your inner network through the relay. Allow only those in which your clients are. The
    /// addresses of this machine stay denied even inside an allowed network, except for the ports
    /// of allocations; loopback addresses are allowed only by a network that contains no others.
    ///
    /// Default: none; with --dev loopback
    ///
    /// Example: `10.20.0.0/16`
    #[arg(long, env = "CALLBOX_ALLOW_PEER", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub allow_peer: Vec<IpNet>,

    /// A network that is never relayed to; may be given more than once.
    ///
    /// It takes precedence over --allow-peer.
    ///
    /// Example: `198.51.100.0/24`
    #[arg(long, env = "CALLBOX_DENY_PEER", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub deny_peer: Vec<IpNet>,

    /// The peers that users may reach: open, or only the signaled ones.
    ///
    /// With `signaled`, an allocation that was opened with a call's credentials may send only to
    /// addresses that the call's other side has announced, in its candidates and descriptions, and
    /// to the relay's own allocations. With other credentials, such as those of the welcome and of
    /// --user, the other sides of all calls of the user count. So leaked credentials reach no other
    /// addresses. It requires clients that send their candidates through this server (trickle ICE),
    /// or have them in their descriptions.
    #[arg(long, env = "CALLBOX_RELAY_POLICY", value_name = "POLICY", default_value = "open")]
    pub relay_policy: RelayPolicy,

    /// Maximum number of allocations in all.
    ///
    /// Each takes a port, a socket and some memory; one with an address of each family counts
    /// twice. Past it, clients get error 508. There may be as many connections to peers of TCP
    /// allocations (RFC 6062) besides.
    #[arg(long, env = "CALLBOX_MAX_ALLOCATIONS", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_allocations, value_parser = at_least_one)]
    pub max_allocations: usize,

    /// Maximum number of allocations of one user.
    ///
    /// A browser opens one for each of its networks and each TURN URI, and twice as many while a
    /// call is being set up again. Past it, clients get error 486.
    #[arg(long, env = "CALLBOX_MAX_ALLOCATIONS_PER_USER", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_allocations_per_user,
          value_parser = at_least_one)]
    pub max_allocations_per_user: usize,

    /// Maximum number of peers' addresses that one allocation may have permissions for.
    ///
    /// Past it, clients get error 508.
    #[arg(long, env = "CALLBOX_MAX_PERMISSIONS", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_permissions, value_parser = at_least_one)]
    pub max_permissions: usize,

    /// Maximum number of channels of one allocation; of one that relays TCP, of connections.
    ///
    /// Past it, clients get error 508.
    #[arg(long, env = "CALLBOX_MAX_CHANNELS", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_channels, value_parser = at_least_one)]
    pub max_channels: usize,

    /// Maximum number of bytes a second that one allocation may relay; 0 means no limit.
    ///
    /// Only payload counts, in each direction separately. The largest burst is the volume of one
    /// second; packets beyond it are dropped and counted (drop reason `bandwidth`), or delayed if
    /// the peer is relayed to over TCP. A video call of good quality takes 400KiB.
    #[arg(long, env = "CALLBOX_MAX_BANDWIDTH", value_name = "BYTES",
          default_value_t = Size(turn::Config::default().max_bandwidth as usize))]
    pub max_bandwidth: Size,

    /// Maximum number of bytes a second that all allocations of one user may relay together; 0
    /// means no limit.
    ///
    /// It counts as --max-bandwidth does, and either may be set without the other.
    #[arg(long, env = "CALLBOX_MAX_BANDWIDTH_PER_USER", value_name = "BYTES",
          default_value_t = Size(turn::Config::default().max_bandwidth_per_user as usize))]
    pub max_bandwidth_per_user: Size,

    /// Maximum number of packets a second that one allocation may relay; 0 means no limit.
    ///
    /// The cost of a packet hardly depends on its length, so this limits the CPU time of one
    /// allocation, as --max-bandwidth limits its share of the link. It counts in the same way;
    /// packets beyond it are dropped and counted (drop reason `packet_rate`). A video call of good
    /// quality takes 500.
    #[arg(long, env = "CALLBOX_MAX_PACKET_RATE", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_packet_rate)]
    pub max_packet_rate: u64,

    /// Maximum number of packets a second that all allocations of one user may relay together; 0
    /// means no limit.
    ///
    /// It counts as --max-packet-rate does, and either may be set without the other.
    #[arg(long, env = "CALLBOX_MAX_PACKET_RATE_PER_USER", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_packet_rate_per_user)]
    pub max_packet_rate_per_user: u64,

    /// Let clients keep their allocations when they come from another address (RFC 8016).
    ///
    /// A phone that leaves the Wi-Fi keeps its allocation, if its client supports this: browsers do
    /// not. An allocation over TCP that may move outlives its connection, up to its lifetime.
    #[arg(long, env = "CALLBOX_MOBILITY", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub mobility: bool,

    /// The longest lifetime that an allocation is granted at a time.
    ///
    /// Clients refresh in time; a shorter one frees the ports of vanished clients sooner.
    #[arg(long, env = "CALLBOX_MAX_LIFETIME", value_name = "DURATION",
          default_value_t = Period(turn::Config::default().max_lifetime))]
    pub max_lifetime: Period,

    /// Maximum number of error answers a second that are sent to one address before it is verified.
    ///
    /// Further requests from it are dropped, so that the relay cannot be used to flood the owner of
    /// a forged address; retransmissions have priority over new requests. An address that is
    /// verified, by a connection or by a nonce that was sent to it, gets as many in addition.
    #[arg(long, env = "CALLBOX_MAX_UNAUTHENTICATED_REPLIES", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_unauthenticated_replies)]
    pub max_unauthenticated_replies: u32,

    /// The number of threads that serve STUN and TURN.
    ///
    /// Each has its own sockets and shares nothing with the others.
    ///
    /// Default: `0`, which is one for each core
    #[arg(
        long,
        env = "CALLBOX_WORKERS",
        value_name = "NUMBER",
        default_value = "0",
        hide_default_value = true
    )]
    pub workers: usize,

    /// The longest time that packets may gather before a worker reads them, at a high rate.
    ///
    /// It holds only while a worker sees more than 20,000 packets a second; below that, each is
    /// read as soon as it is there. Waking up less often costs less CPU time. The worker measures
    /// the cost of a pause and waits no longer than is worth it: 80 µs at 50,000 packets a second
    /// where timers are cheap, one or two milliseconds where a virtual machine makes them
    /// expensive. 0s never waits.
    #[arg(long, env = "CALLBOX_GATHER", value_name = "DURATION",
          default_value_t = Period(relay::GATHER))]
    pub gather: Period,
}

/// The peers that users may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RelayPolicy {
    /// Any that is not denied.
    Open,
    /// Those that the other side of a call has announced, and the relay's own allocations.
    Signaled,
}
