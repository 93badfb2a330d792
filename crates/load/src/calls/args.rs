//! The arguments of `callbox load --calls`.

use std::str::FromStr;

use anyhow::ensure;
use callbox_cli::TokenOptions;
use clap::Args;
use http::Uri;

use super::framing::Framing;

/// The arguments of `callbox load --calls`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Calls")]
pub(crate) struct CallsArgs {
    /// Make calls through a signaling server, in place of packets through a relay.
    ///
    /// ws://HOST:PORT/ws for callbox's plain WebSocket; http://HOST:PORT for Socket.IO, of callbox
    /// or of any server with the events of the call flow. Each call is the whole flow on both
    /// sides, from `call:initiate` to `call:ended`. --rate says how many begin a second, whatever
    /// their outcome (100, if it is not given), and latencies count from when a call was to begin.
    #[arg(long, value_name = "URL", conflicts_with_all = [
        "server", "user", "clients", "path", "framing", "size", "burst", "gso", "window", "churn",
        "renew", "peer_ip", "peer_port", "binding",
    ])]
    pub calls: Option<Target>,

    /// Number of pairs of users that call each other, by turns.
    ///
    /// A server that limits how many calls a user may begin (--calls-per-minute), and to whom
    /// (--calls-per-pair), needs enough of them: with callbox's defaults one and a half times as
    /// many as calls begin a second.
    #[arg(long, value_name = "N", default_value_t = 500, requires = "calls")]
    pub pairs: usize,

    /// Number of sessions that do nothing for --duration, in place of calls, to measure their
    /// memory; needs --pid.
    #[arg(long, value_name = "N", requires = "calls", requires = "pid", conflicts_with = "pairs")]
    pub idle: Option<usize>,

    #[command(flatten)]
    pub tokens: TokenOptions,
}

impl CallsArgs {
    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.pairs > 0, "--pairs 0: there is nobody to call");
        ensure!(self.idle != Some(0), "--idle 0: there would be no session");
        Ok(())
    }
}

/// A signaling server, with the framing that it expects.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The URL of the WebSocket.
    pub url: String,
    /// The host to connect to.
    pub host: String,
    pub port: u16,
    pub framing: Framing,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected ws://HOST:PORT/ws or http://HOST:PORT".to_owned();
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(expected());
        };
        let (url, framing) = match scheme {
            "ws" => (text.to_owned(), Framing::WebSocket),
            "http" => {
                let url = format!("ws://{authority}/socket.io/?EIO=4&transport=websocket");
                (url, Framing::SocketIo)
            }
            "wss" | "https" => {
                return Err("TLS is not spoken here: name the address behind what ends it".into());
            }
            _ => return Err(expected()),
        };
        // The brackets of an IPv6 address are no part of it.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { url, host, port: authority.port_u16().unwrap_or(80), framing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_an_address_selects_the_framing() {
        let target: Target = "ws://[::1]:8080/ws".parse().unwrap();
        assert_eq!(
            (target.framing, target.url.as_str()),
            (Framing::WebSocket, "ws://[::1]:8080/ws")
        );
        assert_eq!((target.host.as_str(), target.port), ("::1", 8080));
        let target: Target = "http://localhost".parse().unwrap();
        assert_eq!((target.framing, target.port), (Framing::SocketIo, 80));
        assert_eq!(target.url, "ws://localhost/socket.io/?EIO=4&transport=websocket");
        for (text, reason) in [
            ("wss://x/ws", "TLS"),
            ("https://x", "TLS"),
            ("x:80", "expected"),
            ("/ws", "expected"),
            ("ftp://x", "expected"),
        ] {
            assert!(text.parse::<Target>().unwrap_err().contains(reason), "{text}");
        }
    }
}
