//! The arguments of `callbox load`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, ensure};
use callbox_base::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::UserId,
};
use clap::{Args, ValueEnum};

use super::calls::CallsArgs;

/// The framing of data between a client and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// ChannelData messages.
    Channel,
    /// Send and Data indications.
    Indication,
    /// Nothing: the server is a plain UDP forwarder, to compare a relay with.
    None,
}

/// The direction of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    /// From the clients through the relay to a peer.
    Up,
    /// From a peer through the relay to the clients.
    Down,
    /// From each client through the relay, twice, to the next client.
    Clients,
}

/// Load a TURN server with many clients, or with --calls a signaling server, and report its
/// throughput and its costs.
///
/// TURN: the clients relay to a peer in this process or to each other. Give --pid to measure the
/// server's CPU time for each packet. A server on another machine needs --peer-ip, an address of
/// this machine that it can reach; peers on loopback need a server that allows them.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// The TURN server.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3478")]
    pub(crate) server: SocketAddr,

    /// The user name.
    #[arg(long, value_name = "NAME", default_value = "load")]
    pub(crate) user: String,

    /// The password of a static user.
    #[arg(
        long,
        value_name = "PASSWORD",
        hide_env_values = true,
        env = "CALLBOX_LOAD_PASSWORD",
        conflicts_with = "auth_secret"
    )]
    pub(crate) password: Option<String>,

    /// The secret to mint the credentials with, in place of a password.
    #[arg(long, value_name = "SECRET", hide_env_values = true, env = "CALLBOX_AUTH_SECRET")]
    pub(crate) auth_secret: Option<String>,

    /// Number of clients, each with a socket of its own.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) clients: usize,

    /// The direction of the packets.
    #[arg(long, value_enum, default_value = "up")]
    pub(crate) path: Path,

    /// The framing of data between clients and server. With `none` the server is a plain UDP
    /// forwarder without TURN: it forwards the packets of each client from a socket of its own to
    /// one configured peer.
    #[arg(long, value_enum, default_value = "channel")]
    pub(crate) framing: Framing,

    /// The payload of a packet, in bytes; at least 16.
    #[arg(long, value_name = "BYTES", default_value_t = 172)]
    pub(crate) size: usize,

    /// Number of packets that a sender sends at a time, before the next one has its turn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) burst: usize,

    /// Hand each burst to the system as one run (UDP_SEGMENT), and take in runs whole (UDP_GRO), as
    /// quick senders and receivers do.
    #[arg(long)]
    pub(crate) gso: bool,

    /// Packets (with --calls: calls) per second, sent at a fixed rate. Without it, as many packets
    /// are sent as come back, with --window on the way.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<u64>,

    /// Maximum number of packets on the way, if there is no --rate.
    #[arg(long, value_name = "PACKETS", default_value_t = 256, conflicts_with = "rate")]
    pub(crate) window: u64,

    /// The time for which packets are sent, calls are begun, or idle sessions are held.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,

    /// Number of clients that leave and reconnect per second, each with a new socket and
    /// allocation.
    #[arg(long, value_name = "CLIENTS", default_value_t = 0)]
    pub(crate) churn: u64,

    /// The interval at which each client renews its allocation, and its permissions or channels. A
    /// permission lives for five minutes.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    pub(crate) renew: Duration,

    /// The address of the peer, one of this machine. Without it, the address of the clients.
    #[arg(long, value_name = "IP")]
    pub(crate) peer_ip: Option<IpAddr>,

    /// The peer's port; 0 for any that is free. With --framing none it is the one that the
    /// forwarder is configured with.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) peer_port: u16,

    /// The address of the clients, one of this machine. Without it the system chooses.
    #[arg(long, value_name = "IP")]
    pub(crate) client_ip: Option<IpAddr>,

    /// The time for which Binding requests are sent and counted before the run; 0 turns it off.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) binding: Duration,

    /// The server's process, on this machine, to measure its CPU time and memory.
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Print one JSON object in place of a table.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) calls: CallsArgs,
}

impl LoadArgs {
    /// Returns the user name and the password to log in with.
    pub(crate) fn credentials(&self) -> anyhow::Result<(String, String)> {
        let Some(secret) = &self.auth_secret else {
            let password = self.password.clone();
            let password = password.context("give --password or --auth-secret to log in with")?;
            return Ok((self.user.clone(), password));
        };
        let secrets = TurnSecrets::new(&[Secret::new(secret.as_str())]);
        let user = UserId::new(&self.user).context("--user")?;
        let day = Duration::from_secs(24 * 3600);
        let minted = secrets.mint(Now::read(), day, &user, None, &[]);
        let minted = minted.context("--auth-secret is empty")?;
        Ok((minted.username, minted.password))
    }

    /// Refuses arguments that contradict each other.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.size >= 16,
            "--size {}: at least 16 bytes are needed to measure by",
            self.size
        );
        ensure!(self.size <= 8192, "--size {}: at most 8192", self.size);
        ensure!(self.clients > 0, "--clients 0: at least one client is needed");
        ensure!((1..=64).contains(&self.burst), "--burst {}: from 1 to 64", self.burst);
        ensure!(self.rate != Some(0), "--rate 0: nothing would be sent");
        let run = self.burst * (self.size + 64);
        ensure!(
            !self.gso || run <= 65_000,
            "--gso: {} packets of {} bytes are more than the system takes as one run; \
             lower --burst or --size",
            self.burst,
            self.size
        );
        let alone = self.path == Path::Clients && self.clients < 2;
        ensure!(!alone, "--path clients needs --clients 2 or more");
        ensure!(!self.renew.is_zero(), "--renew 0s: there would be nothing but renewals");
        ensure!(
            self.churn == 0 || self.path != Path::Clients,
            "--churn: clients that are joined to each other cannot leave alone; take --path up or \
             down"
        );
        if self.framing == Framing::None {
            self.check_forwarding()?;
        }
        Ok(())
    }

    /// Refuses arguments that only a TURN server can serve.
    fn check_forwarding(&self) -> anyhow::Result<()> {
        ensure!(
            self.path != Path::Clients,
            "--framing none: a plain forwarder cannot join clients; take --path up or down"
        );
        ensure!(
            self.peer_port != 0,
            "--framing none: give --peer-port, the port that the forwarder sends to"
        );
        ensure!(
            self.binding.is_zero(),
            "--framing none: a plain forwarder answers no --binding requests"
        );
        ensure!(
            self.churn == 0,
            "--framing none: a plain forwarder does not learn that a client leaves; leave out --churn"
        );
        Ok(())
    }
}
