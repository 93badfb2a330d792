//! The options of a peer. The environment of a lab sets most of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

/// Be one peer of an ICE connection, and print its selected pair of candidates.
///
/// Lines on stdout are for stdin of the other peer, up to the last one.
#[derive(Debug, Clone, Args)]
pub struct PeerArgs {
    /// The controlling agent (RFC 8445 §6.1.1): one of the two.
    #[arg(long)]
    controlling: bool,

    /// A program of Chromium's kind that is the peer, instead of the built-in agent.
    #[arg(long, value_name = "PATH")]
    browser: Option<PathBuf>,

    /// An empty directory for the browser's files.
    #[arg(long, value_name = "DIRECTORY", requires = "browser")]
    user_data_dir: Option<PathBuf>,

    /// The STUN server.
    #[arg(long, value_name = "URI", env = "NATLAB_STUN")]
    stun: Option<String>,

    /// The URIs of the TURN server, the preferred one first.
    #[arg(long, value_name = "URI", env = "NATLAB_TURN", value_delimiter = ',')]
    turn: Vec<String>,

    /// The user at the TURN server.
    #[arg(long, value_name = "NAME", env = "NATLAB_TURN_USERNAME", default_value = "")]
    username: String,

    /// The password at the TURN server.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "NATLAB_TURN_PASSWORD",
        default_value = "",
        hide_env_values = true
    )]
    password: String,

    /// A PEM file with the certificate of the TURN server, or of its CA.
    #[arg(long, value_name = "FILE", env = "NATLAB_CA")]
    ca: Option<PathBuf>,

    /// A forward proxy for TCP, as http://IP:PORT.
    #[arg(long, value_name = "URL", env = "NATLAB_PROXY")]
    proxy: Option<String>,

    /// The seconds in which a path has to be found.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    timeout: u64,

    /// The number of packets that are sent over the path, 20 ms apart.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    packets: u32,

    /// Gather candidates of loopback interfaces, too.
    #[arg(long)]
    loopback: bool,
}

impl PeerArgs {
    pub(crate) fn is_controlling(&self) -> bool {
        self.controlling
    }

    /// Returns true if the peer is a browser.
    pub fn has_browser(&self) -> bool {
        self.browser.is_some()
    }

    pub(crate) fn browser(&self) -> Option<&Path> {
        self.browser.as_deref()
    }

    pub(crate) fn user_data_dir(&self) -> Option<&Path> {
        self.user_data_dir.as_deref()
    }

    pub(crate) fn stun(&self) -> Option<&str> {
        self.stun.as_deref().filter(|uri| !uri.is_empty())
    }

    pub(crate) fn turn(&self) -> impl Iterator<Item = &str> {
        self.turn.iter().map(String::as_str).filter(|uri| !uri.is_empty())
    }

    pub(crate) fn username(&self) -> &str {
        &self.username
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    pub(crate) fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref().filter(|url| !url.is_empty())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(crate) fn packets(&self) -> u32 {
        self.packets
    }

    pub(crate) fn has_loopback(&self) -> bool {
        self.loopback
    }
}
