//! The options for the addresses of the server, and for the access to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use callbox_turn as turn;
use clap::Args;
use ipnet::IpNet;

use crate::{
    config::{
        ConfigError,
        ice_uri::IceUri,
        loopback::loopback_only,
        values::{PortRange, ip_address, network, socket_address},
    },
    http,
};

/// The default port of STUN and TURN (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;
/// The default port of plain HTTP.
const HTTP_PORT: u16 = 8080;

/// The addresses of the server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressOptions {
    /// Serve HTTP on this address: signaling, the REST API and metrics.
    ///
    /// Its traffic is not encrypted, tokens included. Behind a reverse proxy on this machine that
    /// terminates TLS, set it to a loopback address, and name the proxy with --trusted-proxy.
    /// `[::]:8080` accepts IPv4 as well. With a certificate, HTTP is served under TLS on all
    /// listeners, and this one is for this machine alone unless it is set.
    ///
    /// Default: `0.0.0.0:8080`, with a certificate or --dev `127.0.0.1:8080`
    #[arg(long, env = "CALLBOX_HTTP", value_name = "IP:PORT", value_parser = socket_address)]
    pub http: Option<SocketAddr>,

    /// Serve STUN and TURN on this address, over UDP and TCP; may be given more than once.
    ///
    /// A wildcard address listens on every address of the machine that it has at the start, `[::]`
    /// on those of IPv4 as well unless one with its port is named, too. Name addresses to exclude
    /// others.
    ///
    /// Default: `0.0.0.0:3478` and `[::]:3478`, with --dev `127.0.0.1:3478` and `[::1]:3478`; of
    /// the IPv6 ones only where the machine has IPv6
    #[arg(long, env = "CALLBOX_LISTEN", value_name = "IP:PORT", value_delimiter = ',',
          value_parser = socket_address)]
    pub listen: Vec<SocketAddr>,

    /// The public address of a machine behind 1:1 NAT, as PUBLIC or PUBLIC/PRIVATE; may be given
    /// more than once.
    ///
    /// Needed on most clouds, where the machine does not have its public address itself: PUBLIC is
    /// advertised to clients in place of PRIVATE, which must be an address of a listener.
    ///
    /// Example: `203.0.113.7/10.0.0.5`
    #[arg(long, env = "CALLBOX_EXTERNAL_IP", value_name = "IP", value_delimiter = ',')]
    pub external_ip: Vec<turn::ExternalIp>,

    /// A STUN or TURN URI that is advertised to clients; may be given more than once.
    ///
    /// Needed where clients connect to a name or port that the server cannot know: behind a load
    /// balancer that maps ports or terminates TLS, or with a wildcard certificate. The URIs of a
    /// scheme (`stun`, `turn`, `turns`) replace all derived ones of that scheme; without `stun`
    /// URIs, STUN is advertised at the `turn` URIs for UDP.
    ///
    /// Default: derived from the listeners, --external-ip and the certificate; those that clients
    /// could not use are omitted, with a line in the log
    ///
    /// Example: `turns:turn.example.com:443?transport=tcp`
    #[arg(long, env = "CALLBOX_PUBLIC_TURN_URI", value_name = "URI", value_delimiter = ',')]
    pub public_turn_uri: Vec<IceUri>,

    /// A second address of this machine, for NAT behaviour discovery (RFC 5780).
    ///
    /// With it, Binding requests may ask for an answer from another address or another port, by
    /// which a client finds out how the NAT in front of it behaves. It is the partner of the first
    /// --listen address of its family; both are then served on that port and on the next one, over
    /// UDP: 3478 and 3479. Behind a 1:1 NAT, give --external-ip for both.
    ///
    /// Default: none, and such requests are refused
    ///
    /// Example: `203.0.113.8`
    #[arg(long, env = "CALLBOX_ALTERNATE_IP", value_name = "IP", value_parser = ip_address)]
    pub alternate_ip: Option<IpAddr>,

    /// The address that relayed packets leave from and arrive at; may be given more than once.
    ///
    /// Needed only where relaying should use other addresses than listening does.
    ///
    /// Default: the addresses of --listen
    ///
    /// Example: `10.0.0.5`
    #[arg(long, env = "CALLBOX_RELAY_IP", value_name = "IP", value_delimiter = ',',
          value_parser = ip_address)]
    pub relay_ip: Vec<IpAddr>,

    /// The ports that allocations get: of UDP, and of TCP where peers are to be relayed over it.
    ///
    /// The firewall must let them in. One allocation takes one port, so the range also bounds how
    /// many there can be.
    #[arg(long, env = "CALLBOX_RELAY_PORTS", value_name = "LOW-HIGH",
          default_value_t = PortRange(turn::Config::default().relay_ports))]
    pub relay_ports: PortRange,

    /// A network of reverse proxies that report their clients' addresses in the header `Forwarded`
    /// or `X-Forwarded-For`; may be given more than once.
    ///
    /// Without it, all clients behind a proxy count as one address for the limits. Name only the
    /// addresses that the proxies connect from, since these headers are trusted; from other
    /// addresses they are ignored. Each proxy must set the header, or add to it.
    /// docs/behind-a-proxy.md has settings for nginx, Caddy, haproxy and Traefik. For a load
    /// balancer that forwards TCP connections, see --proxy-protocol.
    ///
    /// Default: none
    ///
    /// Example: `127.0.0.1`
    #[arg(long, env = "CALLBOX_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,

    /// The web pages that may connect, by origin; may be given more than once.
    ///
    /// Without it, pages of any origin may, since clients authenticate with a token, not with a
    /// cookie. Name your own origins so that other sites cannot use leaked tokens: then only those
    /// may connect, and pages of this server under one of its names (--server-name). Clients other
    /// than browsers send no origin and are not restricted. Pages with the origin `null` may
    /// connect only without this option.
    ///
    /// Default: any origin
    ///
    /// Example: `https://app.example.com`
    #[arg(long, env = "CALLBOX_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<http::Origin>,

    /// A name or address that browsers reach this server by; may be given more than once.
    ///
    /// With --allow-origin, pages of this server may connect as well, if the host in their address
    /// is known to be its own: one of these, one that the certificate names (a wildcard names
    /// none), or a loopback address or `localhost` on this machine. The header `Host` alone is not
    /// enough, since anybody can point a name to this server. Needed where a reverse proxy
    /// terminates TLS and serves pages under the same name.
    ///
    /// Default: none besides those
    ///
    /// Example: `calls.example.com`
    #[arg(long, env = "CALLBOX_SERVER_NAME", value_name = "NAME", value_delimiter = ',')]
    pub server_name: Vec<http::ServerName>,
}

impl AddressOptions {
    /// Returns the addresses of STUN and TURN: the configured ones, or the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Option`] if `--dev` would listen beyond loopback.
    pub fn stun_addresses(&self, dev: bool) -> Result<Vec<SocketAddr>, ConfigError> {
        let (v4, v6) = match dev {
            true => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            false => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        };
        if self.listen.is_empty() {
            // The server also starts on a machine without IPv6; binding a socket is the only way to
            // find out.
            let has_ipv6 = UdpSocket::bind((v6, 0)).is_ok();
            let v6 = has_ipv6.then_some(IpAddr::from(v6));
            let ips = [IpAddr::from(v4)].into_iter().chain(v6);
            return Ok(ips.map(|ip| SocketAddr::new(ip, STUN_PORT)).collect());
        }
        for address in &self.listen {
            loopback_only("listen", *address, dev)?;
        }
        Ok(self.listen.clone())
    }

    /// Returns the address of plain HTTP. With TLS, everything is served elsewhere, so that plain
    /// HTTP is for this machine only unless configured otherwise: tokens would be sent unencrypted.
    ///
    /// # Errors
    /// [`ConfigError::Option`] if `--dev` would listen beyond loopback.
    pub fn http_address(&self, dev: bool, has_tls: bool) -> Result<SocketAddr, ConfigError> {
        let default = match dev || has_tls {
            true => Ipv4Addr::LOCALHOST,
            false => Ipv4Addr::UNSPECIFIED,
        };
        let address = self.http.unwrap_or((default, HTTP_PORT).into());
        loopback_only("http", address, dev)
    }

    /// Returns a warning if names of the server have no effect, since every page may connect.
    pub fn useless_server_name(&self) -> Option<String> {
        let is_useless = !self.server_name.is_empty() && self.allow_origin.is_empty();
        let warning = "--server-name: it changes nothing without --allow-origin, since pages of \
                       every origin may connect";
        is_useless.then(|| warning.to_owned())
    }
}
