//! `callbox load`: many TURN clients at once, to see what a relay carries and what it costs.
//!
//! One thread drives every client through batched system calls, so that it takes less time for a
//! packet than the server does. It speaks to any TURN server.

mod client;
mod histogram;
mod process;
mod report;
mod traffic;

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use self::{client::Clients, process::Process, report::Report};
use crate::{
    auth::{Secret, TurnSecrets},
    clock::Now,
    ids::UserId,
};

/// How data is framed between a client and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Framing {
    /// ChannelData messages.
    Channel,
    /// Send and Data indications.
    Indication,
}

/// Which way the packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Path {
    /// From the clients through the relay to a peer.
    Up,
    /// From a peer through the relay to the clients.
    Down,
    /// From each client through the relay, twice, to the next client.
    Clients,
}

/// Load a TURN server with many clients, and say what it carries and what it costs.
///
/// The clients relay to a peer in this process or to each other. Give --pid to learn the server's
/// CPU time for each packet. A server that stands elsewhere needs --peer-ip, an address of this
/// machine that it can reach; peers on loopback need a server that allows them.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// The TURN server.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3478")]
    server: SocketAddr,

    /// The user name.
    #[arg(long, value_name = "NAME", default_value = "load")]
    user: String,

    /// The password of a static user.
    #[arg(
        long,
        value_name = "PASSWORD",
        hide_env_values = true,
        env = "CALLBOX_LOAD_PASSWORD",
        conflicts_with = "auth_secret",
        required_unless_present = "auth_secret"
    )]
    password: Option<String>,

    /// The secret to mint the credentials with, in place of a password.
    #[arg(long, value_name = "SECRET", hide_env_values = true, env = "CALLBOX_AUTH_SECRET")]
    auth_secret: Option<String>,

    /// How many clients, each with a socket of its own.
    #[arg(long, value_name = "N", default_value_t = 100)]
    clients: usize,

    /// Which way the packets go.
    #[arg(long, value_enum, default_value = "up")]
    path: Path,

    /// How data is framed between clients and server.
    #[arg(long, value_enum, default_value = "channel")]
    framing: Framing,

    /// The payload of a packet, in bytes; at least 16.
    #[arg(long, value_name = "BYTES", default_value_t = 172)]
    size: usize,

    /// How many packets a sender sends at a time, before the next one has its turn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    burst: usize,

    /// Hand each burst to the system as one run (UDP_SEGMENT), as quick senders do.
    #[arg(long)]
    gso: bool,

    /// How many packets a second to send, whatever comes back. Without it as many as come back,
    /// with --window on the way.
    #[arg(long, value_name = "PACKETS")]
    rate: Option<u64>,

    /// How many packets may be on the way, if there is no --rate.
    #[arg(long, value_name = "PACKETS", default_value_t = 256, conflicts_with = "rate")]
    window: u64,

    /// For how long to send.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Where the peer is: an address of this machine. Without it, where the clients are.
    #[arg(long, value_name = "IP")]
    peer_ip: Option<IpAddr>,

    /// For how long to send Binding requests before, to count them; 0 for not at all.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    binding: Duration,

    /// The server's process, on this machine, to learn what it costs.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,

    /// Print one JSON object in place of a table.
    #[arg(long)]
    json: bool,
}

impl LoadArgs {
    fn credentials(&self) -> anyhow::Result<(String, String)> {
        let Some(secret) = &self.auth_secret else {
            return Ok((self.user.clone(), self.password.clone().unwrap_or_default()));
        };
        let secrets = TurnSecrets::new(&[Secret::new(secret.as_str())]);
        let user = UserId::new(&self.user).context("--user")?;
        let day = Duration::from_secs(24 * 3600);
        let minted = secrets.mint(Now::read(), day, &user, None, &[]);
        let minted = minted.context("--auth-secret is empty")?;
        Ok((minted.username, minted.password))
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.size >= 16,
            "--size {}: at least 16 bytes are needed to measure by",
            self.size
        );
        ensure!(self.size <= 8192, "--size {}: at most 8192", self.size);
        ensure!(self.clients > 0, "--clients 0: there is nobody to send");
        ensure!((1..=64).contains(&self.burst), "--burst {}: from 1 to 64", self.burst);
        ensure!(self.rate != Some(0), "--rate 0: nothing would be sent");
        let alone = self.path == Path::Clients && self.clients < 2;
        ensure!(!alone, "--path clients needs --clients 2 or more");
        Ok(())
    }
}

/// Runs the load and prints what came of it. `false` if nothing came through.
pub(super) fn run(args: &LoadArgs) -> anyhow::Result<bool> {
    args.check()?;
    let process = args.pid.map(Process::new).transpose()?;
    let memory = |process: &Option<Process>| process.as_ref().map(Process::memory).transpose();
    let before = memory(&process)?;
    let (username, password) = args.credentials()?;

    let bindings = client::count_bindings(args.server, args.binding)?;
    let started = Instant::now();
    let mut clients = Clients::allocate(args, &username, &password)?;
    let allocating = started.elapsed();
    let bare = memory(&process)?;
    let peer = clients.open_ways(args)?;
    let ready = memory(&process)?;
    let traffic = traffic::run(args, &mut clients, peer, process.as_ref())?;
    clients.close();

    let each = |after: Option<u64>| {
        let grown = after?.saturating_sub(before?);
        Some(grown as f64 / args.clients as f64)
    };
    let report = Report {
        clients: args.clients,
        allocations_per_second: args.clients as f64 / allocating.as_secs_f64(),
        bindings_per_second: bindings,
        memory_per_allocation: each(bare),
        memory_per_allocation_with_channel: each(ready),
        traffic,
    };
    report.print(args.json);
    Ok(report.traffic.received > 0)
}
