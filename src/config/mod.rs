//! The typed configuration, made from flags, environment and file.
//!
//! [`parse`] reads the three into [`Options`], whose table is also the source of
//! `docs/configuration.md` and `deploy/callbox.toml`; [`Config::new`] converts those to the
//! configurations of the other modules.

mod error;
mod exit_with_parent;
mod exposure_warnings;
mod file;
mod https;
mod ice_uri;
mod layers;
mod loopback;
mod options;
mod reference;
mod secrets;
#[cfg(test)]
mod tests;
mod tls;
mod values;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    thread,
    time::Duration,
};

use callbox_base::{
    addresses::Networks,
    auth::{Secret, TurnSecrets},
};
use callbox_relay as relay;
use callbox_signaling::{
    self as signaling,
    jwt::{TokenMinter, TokenVerifier},
};
use callbox_turn::{self as turn, PeerPolicy, auth::TurnAuth};
use ipnet::IpNet;

use self::exposure_warnings::ExposureWarnings;
pub use self::{
    error::ConfigError,
    exit_with_parent::ExitWithParent,
    ice_uri::{IceScheme, IceTransport, IceUri},
    layers::{Environment, Given, given, parse, unknown_variables},
    options::{
        AcmeOptions, AddressOptions, ApiOptions, CredentialOptions, DiskSync, FaultOptions,
        LogFormat, Options, RelayOptions, RelayPolicy, ReportOptions, RunOptions, SignalingOptions,
        SourceOptions, TcpListener, TlsOptions, TraceOptions, TurnUserOptions,
    },
    reference::{annotated_file, limits, markdown},
    values::{CaDirectory, PortRange, Size},
};
use crate::{
    acceptor,
    faults::FaultDocument,
    http::{self, ApiKeys},
    reports::Config as ReportsConfig,
    trace,
};

/// Everything the server needs to start.
pub struct Config {
    /// The address of plain HTTP.
    pub http_listen: SocketAddr,
    /// The other TCP listeners.
    pub acceptor: acceptor::Config,
    /// The settings of the HTTP side.
    pub http: http::Config,
    /// The faults to begin with, if any are allowed.
    pub faults: Option<FaultDocument>,
    /// The settings of the relay, without the addresses of the other listeners, which are not known
    /// yet.
    pub relay: relay::Config,
    /// The URIs that clients are told in place of those that the server derives.
    pub public_uris: Vec<IceUri>,
    /// The settings of the hub. Its URIs are empty: they are known once the relay listens.
    pub signaling: signaling::Config,
    /// The receivers of reports about calls.
    pub reports: ReportsConfig,
    /// The settings of traces, if there are any.
    pub trace: Option<trace::Config>,
    /// The directory in which live calls are stored while the server is restarted.
    pub state_dir: Option<PathBuf>,
    /// The realm of TURN credentials.
    pub realm: String,
    /// The secrets to print, in `--dev`.
    pub dev: Option<DevSecrets>,
    /// True if the ready line is printed.
    pub ready_json: bool,
    /// The time after which the server stops, if it does.
    pub lifetime: Option<Duration>,
    /// The process with which the server ends, if it does.
    pub exit_with_parent: ExitWithParent,
    /// The warnings about permitted but questionable settings, for the log.
    pub warnings: Vec<String>,
}

/// The secrets that `--dev` prints, so that a test can mint tokens and credentials.
#[derive(Debug, Clone)]
pub struct DevSecrets {
    /// The secret of TURN credentials.
    pub auth: Secret,
    /// The secret of tokens.
    pub jwt: Secret,
    /// The key of the REST API.
    pub api: Secret,
}

impl Config {
    /// Makes a configuration from the options.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, a secret is missing or options contradict each
    /// other.
    pub fn new(options: Options) -> Result<Self, ConfigError> {
        let dev = options.source.dev;
        let auth = options.credentials.secrets(dev)?;
        let jwt = options.tokens.secrets(dev)?;
        let api = options.api.keys(dev)?;
        let https = https::client(&options)?;
        let key_source = secrets::key_source(&options.tokens, &https);
        let tokens = secrets::token_verifier(&options.tokens, &jwt, key_source.as_ref())?;
        let dev_secrets = match (dev, &auth[..], &jwt[..], &api[..]) {
            (true, [auth, ..], [jwt, ..], [api, ..]) => {
                Some(DevSecrets { auth: auth.clone(), jwt: jwt.clone(), api: api.clone() })
            }
            _ => None,
        };
        let minter = jwt.first().map(|secret| options.tokens.minter_with(secret));
        let turn_secrets = TurnSecrets::new(&auth);
        let realm = options.turn_users.realm.clone();
        let users = options.turn_users.users()?;
        let access_token_keys = options.turn_users.access_token_keys()?;
        let turn_auth = TurnAuth::new(realm.clone(), turn_secrets.clone(), users)
            .with_access_tokens(access_token_keys);
        let mut exposed = ExposureWarnings::default();
        exposed.secrets(&options, &jwt, &auth);
        let mut more_warnings: Vec<_> =
            options.addresses.useless_server_name().into_iter().collect();
        more_warnings.extend(options.signaling.forced_relay());
        let acceptor = tls::acceptor_config(&options, &https, &mut more_warnings)?;
        let http_listen = options.addresses.http_address(dev, acceptor.certificate.is_some())?;
        if acceptor.certificate.is_some() {
            exposed.plain_http(http_listen);
        }
        exposed.files(&options)?;
        exposed.faults(&options);
        let faults = options.faults.document()?;
        let warnings = exposed.warnings(options.run.strict)?;
        let warnings = warnings.into_iter().chain(more_warnings).collect();
        Ok(Self {
            http_listen,
            acceptor,
            http: http_config(&options, tokens, key_source, ApiKeys::new(api), minter),
            faults,
            relay: relay_config(&options, turn_auth)?,
            public_uris: options.addresses.public_turn_uri.clone(),
            signaling: signaling_config(&options, turn_secrets),
            reports: options.reports.config(&https)?,
            trace: options.trace.config(),
            state_dir: options.run.state_dir.clone(),
            realm,
            dev: dev_secrets,
            ready_json: options.run.ready_json,
            lifetime: options.run.lifetime.map(|period| period.0),
            exit_with_parent: options.run.exit_with_parent,
            warnings,
        })
    }
}

fn http_config(
    options: &Options,
    tokens: TokenVerifier,
    key_source: Option<http::KeySource>,
    api_keys: ApiKeys,
    minter: Option<TokenMinter>,
) -> http::Config {
    let limits = &options.signaling;
    http::Config {
        tokens,
        key_source,
        api_keys,
        allow_origins: options.addresses.allow_origin.clone(),
        server_names: options.addresses.server_name.clone(),
        max_message: limits.max_message.0,
        max_connections: limits.max_connections,
        max_connections_per_address: limits.max_connections_per_address,
        open_files: usize::MAX,
        max_request_memory: limits.max_request_memory.0,
        trusted_proxies: Networks::new(options.addresses.trusted_proxy.clone()),
        minter,
        dev: options.source.dev,
    }
}

fn relay_config(options: &Options, auth: TurnAuth) -> Result<relay::Config, ConfigError> {
    let relay = &options.relay;
    let mut allow = relay.allow_peer.clone();
    if options.source.dev {
        allow.push(IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8));
        allow.push(IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)));
    }
    let workers = match relay.workers {
        0 => thread::available_parallelism().map_or(1, usize::from).min(turn::MAX_WORKERS),
        workers if workers > turn::MAX_WORKERS => {
            let reason = format!(
                "{workers} is more than the {} that there can be; leave it out to have one for \
                 each core",
                turn::MAX_WORKERS
            );
            return Err(ConfigError::Option { option: "workers", reason });
        }
        workers => workers,
    };
    let turn = turn::Config {
        external_ips: options.addresses.external_ip.clone(),
        relay_ips: options.addresses.relay_ip.clone(),
        relay_ports: options.addresses.relay_ports.0.clone(),
        peers: PeerPolicy::new(allow, relay.deny_peer.clone()),
        // Known once they are bound.
        tcp_listeners: Vec::new(),
        signaled_peers: relay.relay_policy == RelayPolicy::Signaled,
        max_allocations: relay.max_allocations,
        max_allocations_per_user: relay.max_allocations_per_user,
        max_permissions: relay.max_permissions,
        max_channels: relay.max_channels,
        max_bandwidth: relay.max_bandwidth.0 as u64,
        max_bandwidth_per_user: relay.max_bandwidth_per_user.0 as u64,
        max_packet_rate: relay.max_packet_rate,
        max_packet_rate_per_user: relay.max_packet_rate_per_user,
        max_lifetime: relay.max_lifetime.0,
        max_unauthenticated_replies: relay.max_unauthenticated_replies,
        mobility: relay.mobility,
        trace: options.trace.config().is_some(),
        dont_fragment: callbox_sys::CAN_FORBID_FRAGMENTS,
    };
    let listen = options.addresses.stun_addresses(options.source.dev)?;
    let credential_ttl = options.credentials.credential_ttl.0;
    let gather = relay.gather.0;
    let alternate_ip = options.addresses.alternate_ip;
    let kick_ttl = options.signaling.kick_ttl.0;
    Ok(relay::Config {
        listen,
        alternate_ip,
        workers,
        credential_ttl,
        kick_ttl,
        gather,
        turn,
        auth,
    })
}

fn signaling_config(options: &Options, turn_secrets: TurnSecrets) -> signaling::Config {
    let set = &options.signaling;
    signaling::Config {
        ring_timeout: set.ring_timeout.0,
        candidate_hold: set.candidate_hold.0,
        resume_window: set.resume_window.0,
        reconnect_grace: set.reconnect_grace.0,
        token_warning: set.token_warning.0,
        max_calls_per_user: set.max_calls_per_user,
        ringing_is_busy: set.ringing_is_busy,
        max_ringing_per_user: set.max_ringing_per_user,
        max_ringing_per_pair: set.max_ringing_per_pair,
        kick_ttl: set.kick_ttl.0,
        max_calls: set.max_calls,
        max_sessions: set.max_connections,
        max_sessions_per_user: set.max_connections_per_user,
        events_per_second: set.events_per_second,
        event_burst: set.event_burst,
        calls_per_minute: set.calls_per_minute,
        call_burst: set.call_burst,
        calls_per_pair: set.calls_per_pair,
        journal_candidates: set.journal_candidates,
        journal_bytes: set.journal_size.0,
        max_metadata: set.max_metadata.0,
        ended_calls: set.ended_calls,
        ended_calls_for: set.ended_calls_for.0,
        keep_calls: options.run.state_dir.is_some(),
        announce_peers: options.relay.relay_policy == RelayPolicy::Signaled,
        report_calls: options.reports.is_wanted(),
        ask_to_hold: options.reports.webhook_url.is_some(),
        turn_secrets,
        credential_ttl: options.credentials.credential_ttl.0,
        force_relay: set.force_relay,
        stun_uris: Vec::new(),
        turn_uris: Vec::new(),
    }
}
