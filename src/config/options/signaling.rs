//! The signaling side and its limits.

use callbox_cli::Period;
use callbox_signaling as signaling;
use clap::{ArgAction, Args, builder::BoolishValueParser};

use crate::{
    config::values::{Size, at_least_a_mebibyte, at_least_one},
    http,
};

/// The signaling side and its limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signaling")]
pub struct SignalingOptions {
    /// The longest message that a client may send.
    ///
    /// Past it, a plain WebSocket is closed with 1009 and `payload_too_large`. On Socket.IO the
    /// sender gets that error, and stays connected unless the message is four times as long.
    /// Descriptions of calls with many tracks come to some 20 KiB. A session with eight times as
    /// much unread data does not read, and is disconnected.
    #[arg(long, env = "CALLBOX_MAX_MESSAGE", value_name = "BYTES",
          default_value_t = Size(http::MAX_MESSAGE))]
    pub max_message: Size,

    /// Maximum number of TCP connections in all; a signaling session holds one, and so does a
    /// client of the relay over TCP or TLS.
    ///
    /// The process needs as many file descriptors (`ulimit -n`), and one more for each allocation
    /// and for each connection of one to a peer. Of those that it may have, connections get three
    /// quarters at most, and those for HTTP and TLS, and those for STUN and TURN, half each.
    #[arg(long, env = "CALLBOX_MAX_CONNECTIONS", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_sessions, value_parser = at_least_one)]
    pub max_connections: usize,

    /// Maximum number of TCP connections of one address.
    ///
    /// An office behind one address needs one for each of its people. Behind a proxy every
    /// connection comes from the proxy: let it report the clients' addresses (--trusted-proxy,
    /// --proxy-protocol). A trusted proxy may have any number of connections; each request on one
    /// counts for its client, and a WebSocket for as long as it lives.
    #[arg(long, env = "CALLBOX_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER",
          default_value_t = http::MAX_CONNECTIONS_PER_ADDRESS, value_parser = at_least_one)]
    pub max_connections_per_address: usize,

    /// Maximum memory that requests of HTTP may hold in all.
    ///
    /// Heads, incomplete bodies and answers that the client has not read count. One address may use
    /// a quarter of it, and gets 429 beyond that. Beyond the total, the largest requests of the
    /// address that uses most are ended. Raise it if many large requests come at once and clients
    /// get 429 or 503.
    #[arg(long, env = "CALLBOX_MAX_REQUEST_MEMORY", value_name = "BYTES",
          default_value_t = Size(http::MAX_REQUEST_MEMORY), value_parser = at_least_a_mebibyte)]
    pub max_request_memory: Size,

    /// Maximum number of signaling sessions of one user: one for each device.
    #[arg(long, env = "CALLBOX_MAX_CONNECTIONS_PER_USER", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_sessions_per_user,
          value_parser = at_least_one)]
    pub max_connections_per_user: usize,

    /// Maximum number of events that a session may send in a second in the long run; 0 means no
    /// limit.
    ///
    /// Past it, requests are answered with `rate_limited`; a session that continues is
    /// disconnected.
    #[arg(long, env = "CALLBOX_EVENTS_PER_SECOND", value_name = "NUMBER",
          default_value_t = signaling::Config::default().events_per_second)]
    pub events_per_second: u32,

    /// Maximum number of events that a session may send at once.
    ///
    /// A browser with many networks sends its candidates in one burst.
    #[arg(long, env = "CALLBOX_EVENT_BURST", value_name = "NUMBER",
          default_value_t = signaling::Config::default().event_burst)]
    pub event_burst: u32,

    /// Maximum number of calls that a user may begin in a minute in the long run; 0 means no limit.
    ///
    /// It counts over all devices of the user, calls that nobody takes included. Past it,
    /// `call:initiate` is answered with `rate_limited`. Raise it where a program calls many people.
    #[arg(long, env = "CALLBOX_CALLS_PER_MINUTE", value_name = "NUMBER",
          default_value_t = signaling::Config::default().calls_per_minute)]
    pub calls_per_minute: u32,

    /// Maximum number of calls that a user may begin at once.
    ///
    /// Raise it where a program calls many people at once.
    #[arg(long, env = "CALLBOX_CALL_BURST", value_name = "NUMBER",
          default_value_t = signaling::Config::default().call_burst)]
    pub call_burst: u32,

    /// Maximum number of calls that one user may make to another in a minute, in the long run and
    /// at once; 0 means no limit.
    ///
    /// Past it, `call:initiate` is answered with `rate_limited`. New connections of either of them
    /// do not reset it. Lower it where people are called who have not asked for it; raise it where
    /// a program calls one other.
    #[arg(long, env = "CALLBOX_CALLS_PER_PAIR", value_name = "NUMBER",
          default_value_t = signaling::Config::default().calls_per_pair)]
    pub calls_per_pair: u32,

    /// The time for which a call rings before it ends with `timeout`.
    #[arg(long, env = "CALLBOX_RING_TIMEOUT", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().ring_timeout))]
    pub ring_timeout: Period,

    /// The time for which a call waits for a side that lost its connection.
    ///
    /// Media may well go on meanwhile. After it, the call ends with `connection_lost`.
    #[arg(long, env = "CALLBOX_RECONNECT_GRACE", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().reconnect_grace))]
    pub reconnect_grace: Period,

    /// The time for which a session that lost its connection can be resumed; 0s turns it off.
    ///
    /// A client that comes back in this time gets every event that it missed, once and in order.
    /// The events that it missed are kept in memory meanwhile, up to 256KiB.
    #[arg(long, env = "CALLBOX_RESUME_WINDOW", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().resume_window))]
    pub resume_window: Period,

    /// The time before the expiry of its token at which a session is notified (`auth:expiring`); 0s
    /// turns it off.
    ///
    /// In this time its client can bring a new one (`auth:refresh`) and stay connected. Raise it
    /// where getting a token takes long. A token with less than twice this lifetime is warned about
    /// at half its lifetime.
    #[arg(long, env = "CALLBOX_TOKEN_WARNING", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().token_warning))]
    pub token_warning: Period,

    /// The time for which candidates wait for the description that they belong to.
    ///
    /// In browsers, a candidate before the description is an error. 0s relays them at once.
    #[arg(long, env = "CALLBOX_CANDIDATE_HOLD", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().candidate_hold))]
    pub candidate_hold: Period,

    /// Maximum number of candidates that are kept for a side that cannot get them yet.
    #[arg(long, env = "CALLBOX_JOURNAL_CANDIDATES", value_name = "NUMBER",
          default_value_t = signaling::Config::default().journal_candidates,
          value_parser = at_least_one)]
    pub journal_candidates: usize,

    /// Maximum number of bytes of candidates, and of a description, that are kept for a side that
    /// cannot get them yet.
    #[arg(long, env = "CALLBOX_JOURNAL_SIZE", value_name = "BYTES",
          default_value_t = Size(signaling::Config::default().journal_bytes))]
    pub journal_size: Size,

    /// Maximum number of bytes of `metadata` that a caller may attach to a call.
    #[arg(long, env = "CALLBOX_MAX_METADATA", value_name = "BYTES",
          default_value_t = Size(signaling::Config::default().max_metadata))]
    pub max_metadata: Size,

    /// Maximum number of live calls in all.
    #[arg(long, env = "CALLBOX_MAX_CALLS", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_calls, value_parser = at_least_one)]
    pub max_calls: usize,

    /// Maximum number of live calls of one user.
    ///
    /// Callers of a user past it get `busy`. Raise it where your clients can put a call on hold to
    /// take another. A token can lower it for its user (`callbox.maxCalls`). A call that only rings
    /// at the user's devices is not counted (--ringing-is-busy).
    #[arg(long, env = "CALLBOX_MAX_CALLS_PER_USER", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_calls_per_user,
          value_parser = at_least_one)]
    pub max_calls_per_user: usize,

    /// Tell clients to connect through the relay alone. For tests.
    ///
    /// `iceServers` then come with `iceTransportPolicy: "relay"`, which `@callbox/client` obeys, and
    /// other clients give to `RTCPeerConnection` beside them. It shows that an application works
    /// where nothing but the relay does. In production it costs bandwidth and delay: it is in the
    /// ready line and in a warning.
    #[arg(long, env = "CALLBOX_FORCE_RELAY", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub force_relay: bool,

    /// Let a call that rings at a user's devices make the user busy to others.
    ///
    /// Without it several calls may ring at a time, and a user stays reachable while somebody else
    /// calls. Set it where clients can show one call at a time only. It never keeps the user from
    /// beginning a call.
    #[arg(long, env = "CALLBOX_RINGING_IS_BUSY", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub ringing_is_busy: bool,

    /// Maximum number of calls that may ring at one user's devices at a time.
    ///
    /// Past it, callers get `busy`. Lower it where clients show few at a time.
    #[arg(long, env = "CALLBOX_MAX_RINGING_PER_USER", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_ringing_per_user,
          value_parser = at_least_one)]
    pub max_ringing_per_user: usize,

    /// Maximum number of calls of one caller that may ring at one user's devices at a time.
    ///
    /// Past it, `call:initiate` is answered with `too_many_calls`. Raise it where one user stands
    /// for many people, as a switchboard does, and may be in several calls (--max-calls-per-user).
    #[arg(long, env = "CALLBOX_MAX_RINGING_PER_PAIR", value_name = "NUMBER",
          default_value_t = signaling::Config::default().max_ringing_per_pair,
          value_parser = at_least_one)]
    pub max_ringing_per_pair: usize,

    /// The time for which a user who was kicked gets no relay credentials, unless with a new token.
    ///
    /// It begins with DELETE /api/v1/sessions; the relay refuses the user's earlier credentials
    /// until they would have expired. With 0s the user gets new ones at once. Set it to the
    /// lifetime of your tokens.
    #[arg(long, env = "CALLBOX_KICK_TTL", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().kick_ttl))]
    pub kick_ttl: Period,

    /// Maximum number of ended calls that GET /api/v1/calls still shows.
    ///
    /// A quarter of them may be calls that nobody accepted; those replace only one another.
    #[arg(long, env = "CALLBOX_ENDED_CALLS", value_name = "NUMBER",
          default_value_t = signaling::Config::default().ended_calls)]
    pub ended_calls: usize,

    /// The time for which that request shows ended calls.
    #[arg(long, env = "CALLBOX_ENDED_CALLS_FOR", value_name = "DURATION",
          default_value_t = Period(signaling::Config::default().ended_calls_for))]
    pub ended_calls_for: Period,
}

impl SignalingOptions {
    /// Returns a warning if clients are told to use the relay alone.
    pub(in crate::config) fn forced_relay(&self) -> Option<String> {
        self.force_relay.then(|| {
            "--force-relay: clients are told to connect through the relay alone, which is for tests; \
             leave it out to let them connect directly"
                .into()
        })
    }
}
