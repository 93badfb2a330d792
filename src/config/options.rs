//! The one table of options. The flags, the environment variables, the keys of the file, the
//! `--help` texts, `docs/configuration.md` and `deploy/callbox.toml` all come from here.
//!
//! An option is a field with `env`; its key in the file is its flag without the dashes. The first
//! paragraph of its comment is the summary; the second says when to touch it. Where a default is
//! not a constant, the comment ends with a paragraph that begins with `Default:`; where there is
//! none, one with `Example:` gives the annotated file something to show.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use axum::http::Uri;
use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};
use ipnet::IpNet;

use super::{
    ice_uri::IceUri,
    values::{
        CaDirectory, Period, PortRange, Size, StaticUser, at_least_a_second, at_least_one, domain,
        email, https_url, ip_address, log_filter, network, secret, socket_address,
    },
};
use crate::{acceptor::acme, auth::Secret, http, relay, reports::webhook, signaling, turn};

/// Where options come from, and the mode for trying things out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "General")]
pub struct SourceOptions {
    /// Run for development: on loopback only, with generated secrets.
    ///
    /// Serves the demo page and POST /dev/token, which gives a token to whoever asks, and lets
    /// loopback addresses be relayed to. Listens on `127.0.0.1:8080` for HTTP and on
    /// `127.0.0.1:3478` and `[::1]:3478` for STUN and TURN; another loopback address or port may be
    /// chosen.
    #[arg(long, env = "CALLBOX_DEV", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub dev: bool,

    /// Read options from this TOML file.
    ///
    /// A key is a flag without the dashes. A flag wins over the environment, and the environment
    /// over the file. An annotated file with every option is in `deploy/callbox.toml`.
    ///
    /// Example: `/etc/callbox/callbox.toml`
    #[arg(long, env = "CALLBOX_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where the server is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressOptions {
    /// Where HTTP is served: signaling, the REST API and metrics.
    ///
    /// Behind a reverse proxy that ends TLS, make it a loopback address, and name the proxy with
    /// --trusted-proxy. `[::]:8080` takes IPv4 as well.
    ///
    /// Default: `0.0.0.0:8080`, with --dev `127.0.0.1:8080`
    #[arg(long, env = "CALLBOX_HTTP", value_name = "IP:PORT", value_parser = socket_address)]
    pub http: Option<SocketAddr>,

    /// Where STUN and TURN are served, over UDP and TCP; may be given more than once.
    ///
    /// A wildcard address listens on every address of the machine that it has at the start, `[::]`
    /// on those of IPv4 as well unless one with its port is named, too. Name addresses to leave some
    /// out.
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
    /// Needed where clients come by another name or port than the server can know: behind a balancer
    /// that maps ports or ends TLS, or with a certificate for a wildcard. Those of a scheme (`stun`,
    /// `turn`, `turns`) stand in place of all that would be told otherwise; without `stun` ones, STUN
    /// is where `turn` is over UDP.
    ///
    /// Default: what the listeners, --external-ip and the certificate come to; what clients could not
    /// use is left out, and the log says so
    ///
    /// Example: `turns:turn.example.com:443?transport=tcp`
    #[arg(long, env = "CALLBOX_PUBLIC_TURN_URI", value_name = "URI", value_delimiter = ',')]
    pub public_turn_uri: Vec<IceUri>,

    /// A second address of this machine, for NAT behaviour discovery (RFC 5780).
    ///
    /// With it, Binding requests may ask for an answer from another address or another port, by which
    /// a client finds out how the NAT in front of it behaves. It is the partner of the first --listen
    /// address of its family; both are then served on that port and on the next one, over UDP:
    /// 3478 and 3479. Behind a 1:1 NAT, give --external-ip for both.
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
    /// Without it a thousand clients behind a proxy are one address to the limits. Name the addresses
    /// that the proxies connect from and nothing else, since what they say is believed; from elsewhere
    /// these headers change nothing. Each proxy must set the header, or add to it. docs/behind-a-proxy.md
    /// has settings for nginx, Caddy, haproxy and Traefik. For a balancer that hands on connections as
    /// they are, see --proxy-protocol.
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
    /// your own to keep other sites from using tokens they got hold of. Clients that are no pages
    /// send no origin and are not concerned. The server's own pages may always connect; pages
    /// without an origin, which send `null`, only without this option.
    ///
    /// Default: any origin
    ///
    /// Example: `https://app.example.com`
    #[arg(long, env = "CALLBOX_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<http::Origin>,
}

/// A listener of TCP, by the option that says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TcpListener {
    /// `--http`
    Http,
    /// `--tls-listen`
    TlsListen,
    /// `--listen`
    Listen,
}

/// TLS, and what stands in front of the server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsOptions {
    /// Where TLS is served: HTTPS, WSS and TURN over TLS on one port; may be given more than once.
    ///
    /// What a connection is for is found out from its first bytes. Give it `0.0.0.0:443`, which
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
    /// Clients are sent to the first name that it is for, wildcards aside, or else to the addresses that
    /// it is for; one for a wildcard needs --public-turn-uri. The log tells when it is about to expire.
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
    /// without one is closed; from elsewhere, one with a header is. Where the balancer, or what runs
    /// beside it, also asks for /healthz without a header, see --proxy-protocol-on. A proxy that speaks
    /// HTTP itself tells its clients' addresses in a header of HTTP: --trusted-proxy.
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
    /// same addresses as they come: with `tls-listen` and `listen`, a health check or Prometheus on the
    /// balancer's machine can ask --http.
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
    /// For a CA of your own: with --acme-directory, --jwt-jwks-url and --webhook-url. It is read at the
    /// start.
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
    /// find it there, behind a PROXY protocol header at most. Clients are sent to the first one,
    /// as soon as there is a certificate; until then a self-signed one is shown. Giving a name means
    /// agreeing to the terms of service of the CA.
    ///
    /// Default: none
    ///
    /// Example: `turn.example.com`
    #[arg(long, env = "CALLBOX_ACME_DOMAIN", value_name = "NAME", value_delimiter = ',',
          value_parser = domain)]
    pub acme_domain: Vec<String>,

    /// Whom the CA may write to.
    ///
    /// Some CAs want one; Let's Encrypt makes no use of it.
    ///
    /// Example: `admin@example.com`
    #[arg(long, env = "CALLBOX_ACME_EMAIL", value_name = "ADDRESS", value_parser = email)]
    pub acme_email: Option<String>,

    /// Whose certificates: production and staging are Let's Encrypt's; any other CA is named by the
    /// URL of its directory.
    ///
    /// Begin with staging: its certificates are trusted by nobody, but its limits forgive mistakes.
    /// What is kept of one CA is not used with another.
    #[arg(long, env = "CALLBOX_ACME_DIRECTORY", value_name = "URL",
          default_value_t = CaDirectory::Production)]
    pub acme_directory: CaDirectory,

    /// How long to wait before an order that failed is tried again.
    ///
    /// Each further pause is four times as long, up to six hours, or as long as the CA asks for.
    /// SIGHUP cuts it short. It is also the least time between two orders.
    #[arg(long, env = "CALLBOX_ACME_RETRY", value_name = "DURATION",
          default_value_t = Period(acme::RETRY), value_parser = at_least_a_second)]
    pub acme_retry: Period,
}

/// The secrets behind TURN credentials.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TURN credentials")]
pub struct CredentialOptions {
    /// The secret that time-limited TURN credentials are made with; may be given more than once.
    ///
    /// The same as coturn's static-auth-secret: a back end that mints credentials shares it. The
    /// first one mints, all verify; to change it, put the new one in front and take the old one
    /// out after --credential-ttl. `openssl rand -base64 32` makes one. Prefer --auth-secret-file
    /// or the environment: other users of the machine can see a command line.
    ///
    /// Default: none; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_AUTH_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = secret)]
    pub auth_secret: Vec<Secret>,

    /// A file with such a secret in its first line; may be given more than once.
    ///
    /// Its secrets come after those of --auth-secret.
    ///
    /// Example: `/run/secrets/callbox-auth`
    #[arg(long, env = "CALLBOX_AUTH_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub auth_secret_file: Vec<PathBuf>,

    /// For how long minted TURN credentials open allocations.
    ///
    /// Live allocations of a live call outlast it. Shorten it where leaked credentials would be
    /// used by others; clients ask again.
    #[arg(long, env = "CALLBOX_CREDENTIAL_TTL", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().credential_ttl),
          value_parser = at_least_a_second)]
    pub credential_ttl: Period,
}

/// More about TURN users.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TURN credentials")]
pub struct TurnUserOptions {
    /// The realm of TURN credentials.
    ///
    /// Clients show or store it, no more. Static users' passwords are hashed with it.
    #[arg(long, env = "CALLBOX_REALM", value_name = "NAME", default_value = "callbox")]
    pub realm: String,

    /// A TURN user with a password that does not expire, as NAME:PASSWORD; may be given more than
    /// once.
    ///
    /// For devices that cannot fetch credentials. Give browsers time-limited ones instead.
    ///
    /// Example: `camera-1:change-me`
    #[arg(long, env = "CALLBOX_USER", value_name = "NAME:PASSWORD", hide_env_values = true)]
    pub user: Vec<StaticUser>,

    /// A key that an authorization server seals access tokens with (RFC 7635), as KID:KEY with KEY in
    /// base64: 16 bytes for A128GCM or 32 for A256GCM; may be given more than once.
    ///
    /// For an OAuth server that gives TURN clients tokens. They are made for the name that --realm
    /// says. All clients that come with tokens count as one user: raise
    /// --max-allocations-per-user.
    ///
    /// Default: none, and no tokens are taken
    ///
    /// Example: `2026-11:MDEyMzQ1Njc4OWFiY2RlZg==`
    #[arg(long, env = "CALLBOX_OAUTH_KEY", value_name = "KID:KEY", hide_env_values = true,
          value_parser = secret)]
    pub oauth_key: Vec<Secret>,
}

/// Who may use signaling.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens")]
pub struct TokenOptions {
    /// The shared secret of HS256 tokens; may be given more than once.
    ///
    /// Your back end signs a token for each of its users: sub is the user's id, exp the end. The
    /// first secret also signs what `callbox token` and POST /api/v1/tokens make.
    /// `openssl rand -base64 32` makes one.
    ///
    /// Default: none; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_JWT_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = secret)]
    pub jwt_secret: Vec<Secret>,

    /// A PEM file with the public key of tokens; may be given more than once.
    ///
    /// For back ends that keep their key to themselves: RS256 for an RSA key, ES256 for one on
    /// P-256, EdDSA for Ed25519.
    ///
    /// Example: `/etc/callbox/jwt.pub.pem`
    #[arg(long, env = "CALLBOX_JWT_PUBLIC_KEY", value_name = "FILE", value_delimiter = ',')]
    pub jwt_public_key: Vec<PathBuf>,

    /// Where the public keys of tokens are published, as a JSON Web Key Set (RFC 7517).
    ///
    /// For an identity provider that changes its keys by itself: those for RS256, ES256 and EdDSA
    /// are used, up to 32 in 64 KiB. They are fetched at the start, every hour, and when a token
    /// names one that is not known, but then at most every ten seconds. The server starts without
    /// them, too, and tries again; meanwhile it takes what other keys have signed. Set
    /// --jwt-audience as well, since such a provider signs for others. Plain HTTP goes to this machine
    /// only.
    ///
    /// Example: `https://login.example.com/.well-known/jwks.json`
    #[arg(long, env = "CALLBOX_JWT_JWKS_URL", value_name = "URL", value_parser = https_url)]
    pub jwt_jwks_url: Option<Uri>,

    /// The iss that a token must carry.
    ///
    /// Set it where the issuer signs for others with the same key.
    ///
    /// Default: any, or none
    ///
    /// Example: `https://login.example.com`
    #[arg(long, env = "CALLBOX_JWT_ISSUER", value_name = "TEXT")]
    pub jwt_issuer: Option<String>,

    /// The aud that a token must carry, alone or among others.
    ///
    /// Set it where tokens for other services are signed with the same key.
    ///
    /// Default: any, or none
    ///
    /// Example: `callbox`
    #[arg(long, env = "CALLBOX_JWT_AUDIENCE", value_name = "TEXT")]
    pub jwt_audience: Option<String>,
}

/// Who may use the REST API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens")]
pub struct ApiOptions {
    /// A key that opens the operators' part of the REST API to your back end; may be given more than
    /// once.
    ///
    /// Whoever has it sees and ends calls and sessions, and gets a token for any user.
    ///
    /// `openssl rand -base64 32` makes one.
    ///
    /// Default: none, and these pages stay closed; with --dev a generated one
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_API_KEY", value_name = "KEY", hide_env_values = true,
          value_parser = secret)]
    pub api_key: Vec<Secret>,
}

/// What the relay does and how much of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Relay")]
pub struct RelayOptions {
    /// A network that may be relayed to although it is denied by default; may be given more than
    /// once.
    ///
    /// Private, loopback, link-local and other special networks are denied, so that nobody reaches
    /// your inner network through the relay. Open those in which your clients really are.
    ///
    /// Default: none; with --dev loopback
    ///
    /// Example: `10.20.0.0/16`
    #[arg(long, env = "CALLBOX_ALLOW_PEER", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub allow_peer: Vec<IpNet>,

    /// A network that is never relayed to; may be given more than once.
    ///
    /// It wins over --allow-peer.
    ///
    /// Example: `198.51.100.0/24`
    #[arg(long, env = "CALLBOX_DENY_PEER", value_name = "NETWORK", value_delimiter = ',',
          value_parser = network)]
    pub deny_peer: Vec<IpNet>,

    /// Which peers the credentials of a call reach: open, or only the signaled ones.
    ///
    /// With `signaled`, an allocation that was opened with a call's credentials may send only to
    /// addresses that the call's other side has announced, in its candidates and descriptions, and
    /// to the relay's own allocations. So whoever gets hold of such credentials reaches nothing
    /// else with them. It needs clients that trickle their candidates through this server, or have
    /// them in their descriptions; credentials that name no call are not bound by it.
    #[arg(long, env = "CALLBOX_RELAY_POLICY", value_name = "POLICY", default_value = "open")]
    pub relay_policy: RelayPolicy,

    /// How many allocations there may be in all.
    ///
    /// Each takes a port, a socket and some memory; one with an address of each family counts twice.
    /// Past it, clients get error 508. There may be as many connections to peers of TCP allocations
    /// (RFC 6062) besides.
    #[arg(long, env = "CALLBOX_MAX_ALLOCATIONS", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_allocations, value_parser = at_least_one)]
    pub max_allocations: usize,

    /// How many allocations one user may have.
    ///
    /// A browser opens one for each of its networks and each TURN URI, and twice as many while a
    /// call is being set up again. Past it, clients get error 486.
    #[arg(long, env = "CALLBOX_MAX_ALLOCATIONS_PER_USER", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_allocations_per_user,
          value_parser = at_least_one)]
    pub max_allocations_per_user: usize,

    /// How many peers' addresses one allocation may have permissions for.
    ///
    /// Past it, clients get error 508.
    #[arg(long, env = "CALLBOX_MAX_PERMISSIONS", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_permissions, value_parser = at_least_one)]
    pub max_permissions: usize,

    /// How many channels one allocation may have; of one that relays TCP, how many connections.
    ///
    /// Past it, clients get error 508.
    #[arg(long, env = "CALLBOX_MAX_CHANNELS", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_channels, value_parser = at_least_one)]
    pub max_channels: usize,

    /// How many bytes a second one allocation may relay; 0 lifts the limit.
    ///
    /// It counts payload, in each direction by itself. After a silence a second's worth may pass
    /// at once; what is past that is dropped and counted (`bandwidth` among the drops), or waits
    /// where the peer is relayed to over TCP. A video call of good quality takes 400KiB.
    #[arg(long, env = "CALLBOX_MAX_BANDWIDTH", value_name = "BYTES",
          default_value_t = Size(turn::Config::default().max_bandwidth as usize))]
    pub max_bandwidth: Size,

    /// How many bytes a second all allocations of one user may relay together; 0 lifts the limit.
    ///
    /// It counts as --max-bandwidth does, and either may be set without the other.
    #[arg(long, env = "CALLBOX_MAX_BANDWIDTH_PER_USER", value_name = "BYTES",
          default_value_t = Size(turn::Config::default().max_bandwidth_per_user as usize))]
    pub max_bandwidth_per_user: Size,

    /// How many packets a second one allocation may relay; 0 lifts the limit.
    ///
    /// A packet costs the server much the same however short it is, so this bounds what one
    /// allocation takes of its processor, as --max-bandwidth does of its link. It counts as that
    /// does; what is past it is dropped and counted (`packet_rate` among the drops). A video call of
    /// good quality takes 500.
    #[arg(long, env = "CALLBOX_MAX_PACKET_RATE", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_packet_rate)]
    pub max_packet_rate: u64,

    /// How many packets a second all allocations of one user may relay together; 0 lifts the limit.
    ///
    /// It counts as --max-packet-rate does, and either may be set without the other.
    #[arg(long, env = "CALLBOX_MAX_PACKET_RATE_PER_USER", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_packet_rate_per_user)]
    pub max_packet_rate_per_user: u64,

    /// Lets clients keep their allocations when they come from another address (RFC 8016).
    ///
    /// A phone that leaves the Wi-Fi goes on without a new allocation, if its client knows how:
    /// browsers do not. An allocation over TCP that may move outlives its connection, up to its
    /// lifetime.
    #[arg(long, env = "CALLBOX_MOBILITY", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub mobility: bool,

    /// The longest lifetime that an allocation is granted at a time.
    ///
    /// Clients refresh in good time; a shorter one frees the ports of vanished clients sooner.
    #[arg(long, env = "CALLBOX_MAX_LIFETIME", value_name = "DURATION",
          default_value_t = Period(turn::Config::default().max_lifetime))]
    pub max_lifetime: Period,

    /// How many error answers a second one address is sent before it has proved who it is.
    ///
    /// Further requests of it are dropped, so that the relay cannot be made to flood somebody whose
    /// address was forged.
    #[arg(long, env = "CALLBOX_MAX_UNAUTHENTICATED_REPLIES", value_name = "NUMBER",
          default_value_t = turn::Config::default().max_unauthenticated_replies)]
    pub max_unauthenticated_replies: u32,

    /// How many threads serve STUN and TURN.
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

    /// For how long packets may gather at most before a worker reads them, at a high rate.
    ///
    /// It holds only while a worker sees more than 20,000 packets a second; below that, each is
    /// read as soon as it is there. Waking up less often costs less CPU time. The worker measures
    /// what a pause costs and waits no longer than pays: 80 µs at 50,000 packets a second where
    /// timers are cheap, one or two milliseconds where a virtual machine makes them dear. 0s never
    /// waits.
    #[arg(long, env = "CALLBOX_GATHER", value_name = "DURATION",
          default_value_t = Period(relay::GATHER))]
    pub gather: Period,
}

/// The signaling side and its limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signaling")]
pub struct SignalingOptions {
    /// The longest message that a client may send.
    ///
    /// Past it, a plain WebSocket is closed with 1009 and `payload_too_large`; a Socket.IO transport
    /// is closed without a reason. Descriptions of calls with many tracks come to some 20 KiB. A
    /// session that has eight times as much waiting for it does not read, and is cut off.
    #[arg(long, env = "CALLBOX_MAX_MESSAGE", value_name = "BYTES",
          default_value_t = Size(http::MAX_MESSAGE))]
    pub max_message: Size,

    /// How many TCP connections there may be in all; a signaling session holds one, and so does a
    /// client of the relay over TCP or TLS.
    ///
    /// The process needs as many file descriptors (`ulimit -n`), and one more for each allocation and
    /// for each connection of one to a peer. Of those that it may have, connections get three quarters
    /// at most, and those for HTTP and TLS, and those for STUN and TURN, half each.
    #[arg(long, env = "CALLBOX_MAX_CONNECTIONS", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_sessions, value_parser = at_least_one)]
    pub max_connections: usize,

    /// How many TCP connections one address may have.
    ///
    /// An office behind one address needs one for each of its people. Behind a proxy every connection
    /// comes from the proxy: let it tell whose each is (--trusted-proxy, --proxy-protocol). A trusted
    /// proxy may have any number of connections; each request on one counts for its client, and a
    /// WebSocket for as long as it lives.
    #[arg(long, env = "CALLBOX_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER",
          default_value_t = http::MAX_CONNECTIONS_PER_ADDRESS, value_parser = at_least_one)]
    pub max_connections_per_address: usize,

    /// How much memory requests of HTTP may hold in all.
    ///
    /// Counted are heads, bodies that are not complete, and answers that are not taken; an address may
    /// hold a quarter of it. Past that it is answered with 429. Past the whole, the largest requests of
    /// the address that holds most are ended. Raise it where many large requests come at once, and
    /// clients are answered with 429 or 503.
    #[arg(long, env = "CALLBOX_MAX_REQUEST_MEMORY", value_name = "BYTES",
          default_value_t = Size(http::MAX_REQUEST_MEMORY))]
    pub max_request_memory: Size,

    /// How many signaling sessions one user may have: one for each device.
    #[arg(long, env = "CALLBOX_MAX_CONNECTIONS_PER_USER", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_sessions_per_user,
          value_parser = at_least_one)]
    pub max_connections_per_user: usize,

    /// How many events a session may send in a second in the long run; 0 lifts the limit.
    ///
    /// Past it, requests are answered with `rate_limited`; whoever goes on is disconnected.
    #[arg(long, env = "CALLBOX_EVENTS_PER_SECOND", value_name = "NUMBER",
          default_value_t = signaling::Config::default().events_per_second)]
    pub events_per_second: u32,

    /// How many events a session may send at once.
    ///
    /// A browser with many networks sends its candidates in one burst.
    #[arg(long, env = "CALLBOX_EVENT_BURST", value_name = "NUMBER",
          default_value_t = signaling::Config::default().event_burst)]
    pub event_burst: u32,

    /// How many calls a user may begin in a minute in the long run; 0 lifts the limit.
    ///
    /// It counts over all devices of the user, calls that nobody takes included. Past it,
    /// `call:initiate` is answered with `rate_limited`. Raise it where a program calls many people.
    #[arg(long, env = "CALLBOX_CALLS_PER_MINUTE", value_name = "NUMBER",
          default_value_t = signaling::Config::default().calls_per_minute)]
    pub calls_per_minute: u32,

    /// How many calls a user may begin at once.
    ///
    /// Raise it where a program rings many people in one go.
    #[arg(long, env = "CALLBOX_CALL_BURST", value_name = "NUMBER",
          default_value_t = signaling::Config::default().call_burst)]
    pub call_burst: u32,

    /// For how long a call rings before it ends with `timeout`.
    #[arg(long, env = "CALLBOX_RING_TIMEOUT", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().ring_timeout))]
    pub ring_timeout: Period,

    /// For how long a call waits for a side that lost its connection.
    ///
    /// Media may well go on meanwhile. After it, the call ends with `connection_lost`.
    #[arg(long, env = "CALLBOX_RECONNECT_GRACE", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().reconnect_grace))]
    pub reconnect_grace: Period,

    /// For how long a session that lost its connection can be resumed; 0s turns it off.
    ///
    /// A client that comes back in this time gets every event that it missed, once and in order.
    /// What it missed is kept in memory meanwhile, up to 256KiB.
    #[arg(long, env = "CALLBOX_RESUME_WINDOW", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().resume_window))]
    pub resume_window: Period,

    /// How long before its token expires a session is told so (`auth:expiring`); 0s turns it off.
    ///
    /// In this time its client can bring a new one (`auth:refresh`) and stay connected. Raise it
    /// where getting a token takes long. Whose token lives less than twice as long is told after half
    /// of its time.
    #[arg(long, env = "CALLBOX_TOKEN_WARNING", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().token_warning))]
    pub token_warning: Period,

    /// For how long candidates wait for the description that they belong to.
    ///
    /// Browsers that get a candidate before the description throw. 0s relays them at once.
    #[arg(long, env = "CALLBOX_CANDIDATE_HOLD", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().candidate_hold))]
    pub candidate_hold: Period,

    /// How many candidates are kept for a side that cannot get them yet.
    #[arg(long, env = "CALLBOX_JOURNAL_CANDIDATES", value_name = "NUMBER",
          default_value_t = signaling::Config::default().journal_candidates,
          value_parser = at_least_one)]
    pub journal_candidates: usize,

    /// How many bytes of candidates are kept for a side that cannot get them yet, and how large a
    /// description may be to be kept.
    #[arg(long, env = "CALLBOX_JOURNAL_SIZE", value_name = "BYTES",
          default_value_t = Size(signaling::Config::default().journal_bytes))]
    pub journal_size: Size,

    /// How many bytes of `metadata` a caller may attach to a call.
    #[arg(long, env = "CALLBOX_MAX_METADATA", value_name = "BYTES",
          default_value_t = Size(signaling::Config::default().max_metadata))]
    pub max_metadata: Size,

    /// How many live calls there may be in all.
    #[arg(long, env = "CALLBOX_MAX_CALLS", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_calls, value_parser = at_least_one)]
    pub max_calls: usize,

    /// How many live calls one user may be in.
    ///
    /// Whoever calls a user past it gets `busy`. Raise it where your clients can put a call on
    /// hold to take another. A token can lower it for its user (`callbox.maxCalls`).
    #[arg(long, env = "CALLBOX_MAX_CALLS_PER_USER", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_calls_per_user,
          value_parser = at_least_one)]
    pub max_calls_per_user: usize,

    /// How many calls that are over GET /api/v1/calls still shows.
    ///
    /// A quarter of them may be calls that nobody accepted; those push out one another only.
    #[arg(long, env = "CALLBOX_ENDED_CALLS", value_name = "NUMBER",
          default_value_t = signaling::Config::default().ended_calls)]
    pub ended_calls: usize,

    /// For how long it shows them.
    #[arg(long, env = "CALLBOX_ENDED_CALLS_FOR", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().ended_calls_for))]
    pub ended_calls_for: Period,
}

/// Who is told of calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call records and webhook")]
pub struct ReportOptions {
    /// Append a line of JSON to this file for each call that is over; - stands for stdout.
    ///
    /// For billing and statistics: who called whom, when, for how long, why it ended, and what was
    /// relayed for it. The file is opened again on SIGHUP, so that it can be rotated. Records that
    /// the disk does not take in time are dropped and counted; they never hold up calls.
    ///
    /// Default: none
    ///
    /// Example: `/var/log/callbox/calls.jsonl`
    #[arg(long, env = "CALLBOX_CALL_RECORDS", value_name = "FILE")]
    pub call_records: Option<PathBuf>,

    /// Where each step of a call is sent to, as an HTTP POST of JSON.
    ///
    /// For a back end that wants to know at once who calls whom, and when a call is over. Events are
    /// signed with --webhook-secret, come in order for each call, and wait while the receiver is
    /// down; `docs/webhooks.md` has them all. Before a call ends with `offline`, the receiver may have
    /// it held until it has woken a device. Plain HTTP goes to this machine only.
    ///
    /// Default: none
    ///
    /// Example: `https://app.example.com/callbox`
    #[arg(long, env = "CALLBOX_WEBHOOK_URL", value_name = "URL", value_parser = https_url)]
    pub webhook_url: Option<Uri>,

    /// The secret that events are signed with; may be given more than once.
    ///
    /// The receiver knows by it that an event is from here. To change it, give both for a while: each
    /// event is then signed with both. `openssl rand -base64 32` makes one.
    ///
    /// Default: none
    ///
    /// Example: `change-me`
    #[arg(long, env = "CALLBOX_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = secret)]
    pub webhook_secret: Vec<Secret>,

    /// A file with such a secret in its first line; may be given more than once.
    ///
    /// Its secrets come after those of --webhook-secret.
    ///
    /// Example: `/run/secrets/callbox-webhook`
    #[arg(long, env = "CALLBOX_WEBHOOK_SECRET_FILE", value_name = "FILE", value_delimiter = ',')]
    pub webhook_secret_file: Vec<PathBuf>,

    /// How many bytes of events may wait for the receiver.
    ///
    /// An event takes about 700 bytes, a call five of them or more. Past it the oldest calls lose what
    /// waits of them, which is counted. Raise it where many calls must outlast a long outage of the
    /// receiver.
    #[arg(long, env = "CALLBOX_WEBHOOK_QUEUE", value_name = "BYTES",
          default_value_t = Size(webhook::QUEUE_BYTES))]
    pub webhook_queue: Size,
}

/// How the process runs and what it writes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct RunOptions {
    /// Print one line of JSON on stdout once every listener is up.
    ///
    /// For tests and supervisors: it names the addresses with their real ports and, with --dev,
    /// the generated secrets. Logs go to stderr.
    #[arg(long, env = "CALLBOX_READY_JSON", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub ready_json: bool,

    /// A directory for what must outlast the process: live calls while the server is restarted, and with
    /// --acme-domain the account at the CA and the certificate with its key.
    ///
    /// Without it, calls end with `server_shutdown` when the server stops. With it they go on in the
    /// server that is started next: their sides have --reconnect-grace to come back, and media that
    /// does not go through the relay never stops. For that, tokens and relay credentials must outlast
    /// the restart, too: set --jwt-secret and --auth-secret. What the sides of a call have yet to get
    /// from each other is kept with it.
    ///
    /// It is made where it is missing. Its files are readable by their owner alone. Two servers
    /// need one each.
    ///
    /// Default: none
    ///
    /// Example: `/var/lib/callbox`
    #[arg(long, env = "CALLBOX_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Stop by itself after this time.
    ///
    /// So that a test that dies leaves nothing behind.
    ///
    /// Default: never
    ///
    /// Example: `10m`
    #[arg(long, env = "CALLBOX_LIFETIME", value_name = "DURATION")]
    pub lifetime: Option<Period>,

    /// How log lines look.
    #[arg(long, env = "CALLBOX_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// How much is logged: off, error, warn, info, debug or trace.
    ///
    /// Single modules may be named, as in info,callbox::http=debug. Secrets, tokens, descriptions
    /// and candidates are logged at no level.
    #[arg(long, env = "CALLBOX_LOG_LEVEL", value_name = "LEVEL", default_value = "info",
          value_parser = log_filter)]
    pub log_level: String,
}

/// Which peers the credentials of a call reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RelayPolicy {
    /// Any that is not denied.
    Open,
    /// Those that the call's other side has announced, and the relay's own allocations.
    Signaled,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Every option of the server.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where options come from.
    #[command(flatten)]
    pub source: SourceOptions,
    /// Where the server is reached.
    #[command(flatten)]
    pub addresses: AddressOptions,
    /// TLS, and what stands in front of the server.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// A certificate that is ordered and renewed.
    #[command(flatten)]
    pub acme: AcmeOptions,
    /// The secrets behind TURN credentials.
    #[command(flatten)]
    pub credentials: CredentialOptions,
    /// More about TURN users.
    #[command(flatten)]
    pub turn_users: TurnUserOptions,
    /// Who may use signaling.
    #[command(flatten)]
    pub tokens: TokenOptions,
    /// Who may use the REST API.
    #[command(flatten)]
    pub api: ApiOptions,
    /// What the relay does and how much of it.
    #[command(flatten)]
    pub relay: RelayOptions,
    /// The signaling side and its limits.
    #[command(flatten)]
    pub signaling: SignalingOptions,
    /// Who is told of calls.
    #[command(flatten)]
    pub reports: ReportOptions,
    /// How the process runs and what it writes.
    #[command(flatten)]
    pub run: RunOptions,
}
