//! The arguments of the suite.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use callbox_base::{
    auth::{AccessTokenKey, Secret, TurnSecrets},
    clock::Now,
    ids::UserId,
};
use callbox_cli::{Period, StaticUser};
use clap::{Args, ValueEnum};

use super::{
    link::{self, any_port},
    login::User,
    target::Target,
};
use crate::tls::Tls;

/// The arguments of `callbox check --conformance`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conformance")]
pub(crate) struct ConformanceArgs {
    /// Check the behaviour of a STUN or TURN server against RFC 8489 and RFC 8656, and against RFC
    /// 6062, 5780 and 7635 if it supports those, in place of the steps above.
    ///
    /// Any server will do: callbox, coturn, pion and others. Each case is one line, with the
    /// section that it is about. A case of an optional feature is skipped if the server declares
    /// that it lacks the feature.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "url")]
    pub conformance: Option<String>,

    /// A TURN user, as NAME:PASSWORD; give it twice for the cases with two users.
    ///
    /// For a server with static users (coturn: --user with --lt-cred-mech). Without it and without
    /// --auth-secret only STUN is checked.
    #[arg(long, value_name = "NAME:PASSWORD", requires = "conformance")]
    user: Vec<StaticUser>,

    /// The secret to mint the credentials of two users with.
    ///
    /// For a server with time-limited credentials (coturn: --use-auth-secret). --user takes
    /// precedence over it.
    #[arg(long, value_name = "SECRET", hide_env_values = true, env = "CALLBOX_AUTH_SECRET")]
    auth_secret: Option<String>,

    /// The key that access tokens are sealed with, as KID:KEY with KEY in base64.
    ///
    /// For a server that takes the tokens of an OAuth server (RFC 7635), to try good ones, too.
    #[arg(long, value_name = "KID:KEY", hide_env_values = true, env = "CALLBOX_OAUTH_KEY")]
    oauth_key: Option<AccessTokenKey>,

    /// The transport between this command and the server.
    ///
    /// Over tcp and tls, cases about streams replace those about datagrams; run each transport that
    /// the server has. With tls, --ca-cert names the trusted certificates.
    #[arg(long, value_enum, value_name = "TRANSPORT", default_value = "udp")]
    transport: Transport,

    /// The address of this machine at which peers are opened.
    ///
    /// Needed if the server cannot reach the address of this machine on the route to it, or denies
    /// it as a peer. There must be no NAT between it and the server.
    #[arg(long, value_name = "IP", requires = "conformance")]
    peer_ip: Option<IpAddr>,

    /// The time without an answer after which a request counts as unanswered.
    ///
    /// It must be at least the round-trip time, or late answers count as missing.
    #[arg(long, value_name = "DURATION", default_value = "300ms")]
    silence: Period,

    /// Run only the cases with this in their name, such as `channel/`; may be given more than once.
    ///
    /// To examine a single failure.
    #[arg(long, value_name = "PATTERN", requires = "conformance")]
    only: Vec<String>,
}

/// The transport of messages, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// Datagrams, which any server has.
    Udp,
    /// A stream.
    Tcp,
    /// A stream within TLS, as `turns:` has it.
    Tls,
}

/// The number of users that the cases need.
const USERS: usize = 2;

impl ConformanceArgs {
    /// Returns true if a case is to be run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| name.contains(pattern.as_str()))
    }

    /// Resolves the addresses, and mints credentials.
    pub(super) fn target(
        &self,
        server: &str,
        timeout: Duration,
        ca_cert: Option<&Path>,
    ) -> anyhow::Result<Target> {
        let transport = match self.transport {
            Transport::Udp => link::Transport::Udp,
            Transport::Tcp => link::Transport::Tcp,
            Transport::Tls => link::Transport::Tls(Tls::new(server, ca_cert)?),
        };
        let server = resolve(server)?;
        let peer_ip = match self.peer_ip {
            Some(ip) => ip,
            None => towards(server).with_context(|| format!("there is no way to {server}"))?,
        };
        ensure!(
            peer_ip.is_ipv4() == server.is_ipv4(),
            "--peer-ip {peer_ip}: give one of the server's address family"
        );
        let users = self.users()?;
        let (silence, oauth_key) = (self.silence.0, self.oauth_key.clone());
        Ok(Target { server, transport, users, oauth_key, peer_ip, timeout, silence })
    }

    fn users(&self) -> anyhow::Result<Vec<User>> {
        if self.user.is_empty() {
            return self.minted();
        }
        let split = |user: &StaticUser| {
            let (name, password) = user.split().context("--user: expected NAME:PASSWORD")?;
            let password = password.expose_text().unwrap_or_default().to_owned();
            Ok(User { name, password })
        };
        self.user.iter().map(split).collect()
    }

    fn minted(&self) -> anyhow::Result<Vec<User>> {
        let Some(secret) = &self.auth_secret else { return Ok(Vec::new()) };
        let secrets = TurnSecrets::new(&[Secret::new(secret.as_str())]);
        let day = Duration::from_secs(24 * 3600);
        let mint = |number| {
            let user = UserId::new(&format!("conformance-{number}")).context("a user's name")?;
            let minted = secrets.mint(Now::read(), day, &user, None, &[]);
            let minted = minted.context("--auth-secret is empty")?;
            Ok(User { name: minted.username, password: minted.password })
        };
        (1..=USERS).map(mint).collect()
    }
}

fn resolve(server: &str) -> anyhow::Result<SocketAddr> {
    let found = server.to_socket_addrs().with_context(|| {
        format!("--conformance {server}: expected HOST:PORT, of a host that can be resolved")
    });
    match found?.next() {
        Some(address) => Ok(address),
        None => bail!("--conformance {server}: the host has no address"),
    }
}

/// Returns the address of this machine on the interface towards the server. Nothing is sent.
fn towards(server: SocketAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind(any_port(server))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}
