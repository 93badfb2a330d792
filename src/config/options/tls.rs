//! The options for TLS, for the proxies in front of the server, and for certificates by ACME.

use std::net::SocketAddr;
use std::path::PathBuf;

use callbox_cli::Period;
use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::{
    acceptor::acme,
    config::values::{CaDirectory, at_least_a_second, domain, email, network, socket_address},
};

/// A TCP listener, named by the option with its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TcpListener {
    /// `--http`
    Http,
    /// `--tls-listen`
    TlsListen,
    /// `--listen`
    Listen,
}

/// TLS, and the proxies in front of the server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsOptions {
    /// Serve TLS on this address: HTTPS, WSS and TURN over TLS on one port; may be given more than
    /// once.
    ///
    /// The first bytes of a connection decide on its protocol. Give it `0.0.0.0:443`: strict
    /// firewalls permit only this port. With a certificate, the other listeners accept TLS, too.
    ///
    /// Default: none
    ///
    /// Example: `0.0.0.0:443`
    #[arg(long, env = "CALLBOX_TLS_LISTEN", value_name = "IP:PORT", value_delimiter = ',',
          value_parser = socket_address)]
    pub tls_listen: Vec<SocketAddr>,

    /// A PEM file with the server's certificate and the intermediate certificates.
    ///
    /// It is read again on SIGHUP and within ten seconds when it changes; open connections stay.
    /// Its first DNS name that is no wildcard is advertised to clients, or else its IP addresses; a
    /// wildcard certificate needs --public-turn-uri. A warning is logged when it is about to
    /// expire.
    ///
    /// To have one ordered and renewed instead, see --acme-domain.
    ///
    /// Default: none; with --dev a self-signed one
    ///
    /// Example: `/etc/letsencrypt/live/turn.example.com/fullchain.pem`
    #[arg(long, env = "CALLBOX_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with the key of the certificate.
    ///
    /// Example: `/etc/letsencrypt/live/turn.example.com/privkey.pem`
    #[arg(long, env = "CALLBOX_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// A network whose TCP connections begin with a PROXY protocol header, of version 1 or 2; may
    /// be given more than once.
    ///
    /// For a load balancer that forwards TCP connections: the header has the client's address. Name
    /// only the balancer's addresses, since the header is trusted. From there, a connection without
    /// a header is closed; from other addresses, one with a header is. If the balancer or another
    /// program on its machine also requests /healthz without a header, see --proxy-protocol-on. An
    /// HTTP proxy reports its clients' addresses in an HTTP header: --trusted-proxy.
    ///
    /// Default: none
    ///
    /// Example: `10.0.0.2`
    #[arg(long, env = "CALLBOX_PROXY_PROTOCOL", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub proxy_protocol: Vec<IpNet>,

    /// The listeners on which connections from --proxy-protocol begin with a header, named by their
    /// options; may be given more than once.
    ///
    /// Name those to which the balancer forwards connections. The others then accept connections
    /// from the same addresses without a header: with `tls-listen` and `listen`, a health check or
    /// Prometheus on the balancer's machine can use --http.
    ///
    /// Default: all of them
    ///
    /// Example: `tls-listen`
    #[arg(
        long,
        env = "CALLBOX_PROXY_PROTOCOL_ON",
        value_name = "LISTENER",
        value_delimiter = ',',
        value_enum
    )]
    pub proxy_protocol_on: Vec<TcpListener>,

    /// A PEM file with certificates to trust besides those that browsers trust, in the server's own
    /// requests over HTTPS.
    ///
    /// For a CA of your own: with --acme-directory, --jwt-jwks-url and --webhook-url. It is read at
    /// the start.
    ///
    /// Default: none
    ///
    /// Example: `/etc/callbox/our-ca.pem`
    #[arg(long, env = "CALLBOX_TRUST_CA", value_name = "FILE")]
    pub trust_ca: Option<PathBuf>,
}

/// A certificate that is ordered and renewed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Certificates by ACME")]
pub struct AcmeOptions {
    /// A name to order and renew a certificate for; may be given more than once.
    ///
    /// The names must resolve to this server, since the CA connects to it on their port 443; a
    /// PROXY protocol header may precede the connection. The first name is advertised to clients as
    /// soon as there is a certificate; until then the server has a self-signed one. Giving a name
    /// means agreeing to the terms of service of the CA.
    ///
    /// Default: none
    ///
    /// Example: `turn.example.com`
    #[arg(long, env = "CALLBOX_ACME_DOMAIN", value_name = "NAME", value_delimiter = ',',
          value_parser = domain)]
    pub acme_domain: Vec<String>,

    /// The contact address for the CA.
    ///
    /// Some CAs want one; Let's Encrypt makes no use of it.
    ///
    /// Example: `admin@example.com`
    #[arg(long, env = "CALLBOX_ACME_EMAIL", value_name = "ADDRESS", value_parser = email)]
    pub acme_email: Option<String>,

    /// The CA: production and staging are Let's Encrypt's; any other one is named by the URL of its
    /// directory.
    ///
    /// Begin with staging: its certificates are not trusted, but its rate limits are wide. The
    /// state that is stored for one CA is not used with another.
    #[arg(long, env = "CALLBOX_ACME_DIRECTORY", value_name = "URL",
          default_value_t = CaDirectory::Production)]
    pub acme_directory: CaDirectory,

    /// The time before an order that failed is tried again.
    ///
    /// Each further pause is four times as long, up to six hours, or as long as the CA asks for.
    /// SIGHUP ends the pause. It is also the least time between two orders.
    #[arg(long, env = "CALLBOX_ACME_RETRY", value_name = "DURATION",
          default_value_t = Period(acme::RETRY), value_parser = at_least_a_second)]
    pub acme_retry: Period,
}
