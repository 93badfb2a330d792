//! The settings of an operator.

use std::time::Duration;

use callbox_base::auth::TurnSecrets;

/// The hub's settings. [`Default`] has the documented defaults, with no TURN secret and no URIs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The time for which a call rings before it ends with `timeout`.
    pub ring_timeout: Duration,
    /// The longest time for which candidates wait for the description they belong to, once the
    /// other side could get them; zero sends them on at once.
    pub candidate_hold: Duration,
    /// The time for which a call waits for a side that lost its connection.
    pub reconnect_grace: Duration,
    /// The time for which a session that lost its connection can be resumed; zero turns it off.
    pub resume_window: Duration,
    /// The time before its token expires at which a session is told so; zero turns it off.
    pub token_warning: Duration,
    /// The largest number of live calls that one user takes part in; past it a callee is `busy`. A
    /// call that rings at the user's devices is not counted.
    pub max_calls_per_user: usize,
    /// True if a call that rings at a user's devices makes the user busy to others all the same.
    pub ringing_is_busy: bool,
    /// The largest number of calls that ring at one user's devices at a time; past it the user is
    /// `busy`.
    pub max_ringing_per_user: usize,
    /// The largest number of calls of one caller among these.
    pub max_ringing_per_pair: usize,
    /// The largest number of live calls in all, rooms included.
    pub max_calls: usize,
    /// The time for which a user who was kicked is given no relay credentials, unless the user
    /// brings a new token.
    pub kick_ttl: Duration,
    /// The largest number of sessions in all.
    pub max_sessions: usize,
    /// The largest number of sessions of one user, one for each device.
    pub max_sessions_per_user: usize,
    /// The events a second that one session may send in the long run; zero lifts the limit.
    pub events_per_second: u32,
    /// The number of events that one session may send at once.
    pub event_burst: u32,
    /// The calls a minute that one user may begin in the long run; zero lifts the limit.
    pub calls_per_minute: u32,
    /// The number of calls that one user may begin at once.
    pub call_burst: u32,
    /// The calls a minute from one user to another, in the long run and at once; zero lifts the
    /// limit.
    pub calls_per_pair: u32,
    /// The largest number of candidates kept for each direction of a call.
    pub journal_candidates: usize,
    /// The largest number of bytes of JSON kept for each direction of a call: for all candidates
    /// together, and for each description by itself (at most one offer and one answer are kept).
    pub journal_bytes: usize,
    /// The largest `metadata` of `call:initiate`, in bytes of JSON.
    pub max_metadata: usize,
    /// The number of calls that are over and still shown; at most a quarter of them are ones that
    /// nobody accepted.
    pub ended_calls: usize,
    /// The time for which a call that is over is still shown.
    pub ended_calls_for: Duration,
    /// True if calls go on after the server has stopped, in the one that is started in its place
    /// ([`Output::Keep`](crate::Output::Keep), [`Hub::restore`](crate::Hub::restore)).
    pub keep_calls: bool,
    /// True if the relay is to be told the addresses that the sides of a call announce
    /// ([`Output::PeersAnnounced`](crate::Output::PeersAnnounced)).
    pub announce_peers: bool,
    /// True if the steps of calls before their ends are reported
    /// ([`Output::Report`](super::Output::Report)).
    pub report_calls: bool,
    /// True if there is somebody to ask when a call reaches no device
    /// ([`Output::AskToHold`](crate::Output::AskToHold)).
    pub ask_to_hold: bool,
    /// The secrets that relay credentials are signed with, the first one for new ones. Without a
    /// secret there are none.
    pub turn_secrets: TurnSecrets,
    /// The time for which relay credentials open allocations.
    pub credential_ttl: Duration,
    /// True if clients are told to use the relay alone (`iceTransportPolicy`), for tests.
    pub force_relay: bool,
    /// The `stun:` URIs of the STUN service.
    pub stun_uris: Vec<String>,
    /// The `turn:` and `turns:` URIs of the relay.
    pub turn_uris: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ring_timeout: Duration::from_secs(45),
            candidate_hold: Duration::from_millis(300),
            reconnect_grace: Duration::from_secs(30),
            resume_window: Duration::from_secs(30),
            token_warning: Duration::from_secs(60),
            max_calls_per_user: 1,
            ringing_is_busy: false,
            max_ringing_per_user: 32,
            max_ringing_per_pair: 1,
            max_calls: 100_000,
            kick_ttl: Duration::from_secs(3600),
            max_sessions: 200_000,
            max_sessions_per_user: 16,
            events_per_second: 50,
            event_burst: 200,
            calls_per_minute: 60,
            call_burst: 20,
            calls_per_pair: 20,
            journal_candidates: 64,
            journal_bytes: 64 * 1024,
            max_metadata: 4 * 1024,
            ended_calls: 1000,
            ended_calls_for: Duration::from_secs(3600),
            keep_calls: false,
            announce_peers: false,
            report_calls: false,
            ask_to_hold: false,
            turn_secrets: TurnSecrets::default(),
            credential_ttl: Duration::from_secs(3600),
            force_relay: false,
            stun_uris: Vec::new(),
            turn_uris: Vec::new(),
        }
    }
}

/// The time for which a token is still good past its expiry, since clocks differ.
pub(super) const TOKEN_LEEWAY: Duration = Duration::from_secs(5);
