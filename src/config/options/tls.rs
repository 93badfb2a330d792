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
    /// The first bytes of a connection decide on its protocol. Give it `0.0.0.0:443`, which
    /// firewalls let through that let nothing else. With a certificate, the other listeners take
    /// TLS, too.
    ///
    /// Default: none
    ///
    /// Example: `0.0.0.0:443`
    #[arg(long, env = "CALLBOX_TLS_LISTEN", value_name = "IP:PORT", value_delimiter = ',',
          value_parser = socket_address)]
    pub tls_listen: Vec<SocketAddr>,

    /// A PEM file with the server's certificate and those between it and the root.
    ///
    /// It is read again on SIGHUP and within ten seconds when it changes; open connections stay.
    /// Clients are sent to the first name that it is for, wildcards aside, or else to the addresses
    /// that it is for; one for a wildcard needs --public-turn-uri. The log tells when it is about
    /// to expire.
    ///
    /// To have one ordered and renewed instead, see --acme-domain.
    ///
    /// Default: none; with --dev one is made that nobody trusts
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
    /// For a load balancer that hands connections on: the header says whose each is. Name the
    /// balancer's addresses and nothing else, since a header is believed. From there, a connection
    /// without one is closed; from elsewhere, one with a header is. Where the balancer, or what
    /// runs beside it, also asks for /healthz without a header, see --proxy-protocol-on. A proxy
    /// that speaks HTTP itself tells its clients' addresses in a header of HTTP: --trusted-proxy.
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
    /// Name those that the balancer hands connections to. The others then take connections from the
    /// same addresses as they come: with `tls-listen` and `listen`, a health check or Prometheus on
    /// the balancer's machine can ask --http.
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

    /// A PEM file with certificates to trust besides those that browsers trust, where the server
    /// itself asks over HTTPS.
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
    /// The names must lead to this server, since the CA connects to their port 443 and expects to
    /// find it there, behind a PROXY protocol header at most. Clients are sent to the first one, as
    /// soon as there is a certificate; until then a self-signed one is shown. Giving a name means
    /// agreeing to the terms of service of the CA.
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
    /// Begin with staging: its certificates are trusted by nobody, but its limits forgive mistakes.
    /// The state that is stored for one CA is not used with another.
    #[arg(long, env = "CALLBOX_ACME_DIRECTORY", value_name = "URL",
          default_value_t = CaDirectory::Production)]
    pub acme_directory: CaDirectory,

    /// The time before an order that failed is tried again.
    ///
    /// Each further pause is four times as long, up to six hours, or as long as the CA asks for.
    /// SIGHUP cuts it short. It is also the least time between two orders.
    #[arg(long, env = "CALLBOX_ACME_RETRY", value_name = "DURATION",
          default_value_t = Period(acme::RETRY), value_parser = at_least_a_second)]
    pub acme_retry: Period,
}
