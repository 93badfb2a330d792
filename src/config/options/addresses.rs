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
    /// ends TLS, make it a loopback address, and name the proxy with --trusted-proxy. `[::]:8080`
    /// takes IPv4 as well. With a certificate, HTTP is served under TLS on all listeners, and this
    /// one is for this machine alone unless it is set.
    ///
    /// Default: `0.0.0.0:8080`, with a certificate or --dev `127.0.0.1:8080`
    #[arg(long, env = "CALLBOX_HTTP", value_name = "IP:PORT", value_parser = socket_address)]
    pub http: Option<SocketAddr>,

    /// Serve STUN and TURN on this address, over UDP and TCP; may be given more than once.
    ///
    /// A wildcard address listens on every address of the machine that it has at the start, `[::]`
    /// on those of IPv4 as well unless one with its port is named, too. Name addresses to leave
    /// some out.
    ///
    /// Default: `0.0.0.0:3478` and `[::]:3478`, with --dev `127.0.0.1:3478` and `[::1]:3478`; of
    /// the IPv6 ones only where the machine has IPv6
    #[arg(long, env = "CALLBOX_LISTEN", value_name = "IP:PORT", value_delimiter = ',',
          value_parser = socket_address)]
    pub listen: Vec<SocketAddr>,

    /// The public address of a machine behind 1:1 NAT, as PUBLIC or PUBLIC/PRIVATE; may be given
    /// more than once.
    ///
    /// Needed on most clouds, where the machine does not have its public address itself: clients
    /// are told PUBLIC wherever the server has PRIVATE, which must be an address of a listener.
    ///
    /// Example: `203.0.113.7/10.0.0.5`
    #[arg(long, env = "CALLBOX_EXTERNAL_IP", value_name = "IP", value_delimiter = ',')]
    pub external_ip: Vec<turn::ExternalIp>,

    /// A STUN or TURN URI that clients are told; may be given more than once.
    ///
    /// Needed where clients come by another name or port than the server can know: behind a
    /// balancer that maps ports or ends TLS, or with a certificate for a wildcard. Those of a
    /// scheme (`stun`, `turn`, `turns`) stand in place of all that would be told otherwise; without
    /// `stun` ones, STUN is where `turn` is over UDP.
    ///
    /// Default: what the listeners, --external-ip and the certificate come to; what clients could
    /// not use is left out, and the log says so
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

    /// A network of reverse proxies that tell their clients' addresses in the header `Forwarded` or
    /// `X-Forwarded-For`; may be given more than once.
    ///
    /// Without it a thousand clients behind a proxy are one address to the limits. Name the
    /// addresses that the proxies connect from and nothing else, since what they say is believed;
    /// from elsewhere these headers change nothing. Each proxy must set the header, or add to it.
    /// docs/behind-a-proxy.md has settings for nginx, Caddy, haproxy and Traefik. For a balancer
    /// that hands on connections as they are, see --proxy-protocol.
    ///
    /// Default: none
    ///
    /// Example: `127.0.0.1`
    #[arg(long, env = "CALLBOX_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,

    /// The web pages that may connect, by origin; may be given more than once.
    ///
    /// Without it, pages of any origin may, since a token and no cookie says who they are. Name
    /// your own to keep other sites from using tokens they got hold of: then only those may, and
    /// pages that come from the server itself by a name that is its own (--server-name). Clients
    /// that are no pages send no origin and are not concerned. Pages without an origin, which send
    /// `null`, may only without this option.
    ///
    /// Default: any origin
    ///
    /// Example: `https://app.example.com`
    #[arg(long, env = "CALLBOX_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<http::Origin>,

    /// A name or address that browsers reach this server by; may be given more than once.
    ///
    /// With --allow-origin, pages that come from this server itself may connect as well, if the
    /// host in their address is known to be its own: one of these, one that the certificate names
    /// (a wildcard names none), or a loopback address or `localhost` on this machine. What the
    /// header `Host` says is not enough, since anybody can make a name lead here. Needed where a
    /// reverse proxy ends TLS and serves pages under the same name.
    ///
    /// Default: none but those
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
