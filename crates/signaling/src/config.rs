//! What an operator can set.

use std::time::Duration;

use callbox_base::auth::TurnSecrets;

/// The hub's settings. [`Default`] has the documented defaults, with no TURN secret and no URIs.
#[derive(Debug, Clone)]
pub struct Config {
    /// For how long a call rings before it ends with `timeout`.
    pub ring_timeout: Duration,
    /// For how long at most candidates wait for the description they belong to, once the other
    /// side could get them; zero sends them on at once.
    pub candidate_hold: Duration,
    /// For how long a call waits for a side that lost its connection.
    pub reconnect_grace: Duration,
    /// For how long a session that lost its connection can be resumed; zero turns it off.
    pub resume_window: Duration,
    /// How long before its token expires a session is told so; zero turns it off.
    pub token_warning: Duration,
    /// Live calls that one user may take part in; past it a callee is `busy`. One that rings at the
    /// user's devices is not among them.
    pub max_calls_per_user: usize,
    /// True if a call that rings at a user's devices makes the user busy to others all the same.
    pub ringing_is_busy: bool,
    /// Calls that may ring at one user's devices at a time; past it the user is `busy`.
    pub max_ringing_per_user: usize,
    /// Those of one caller among them.
    pub max_ringing_per_pair: usize,
    /// Live calls in all.
    pub max_calls: usize,
    /// For how long a user who was kicked is given no relay credentials, but with a new token.
    pub kick_ttl: Duration,
    /// Sessions in all.
    pub max_sessions: usize,
    /// Sessions of one user: one for each device.
    pub max_sessions_per_user: usize,
    /// Events a second that one session may send in the long run; zero lifts the limit.
    pub events_per_second: u32,
    /// Events that one session may send at once.
    pub event_burst: u32,
    /// Calls a minute that one user may begin in the long run; zero lifts the limit.
    pub calls_per_minute: u32,
    /// Calls that one user may begin at once.
    pub call_burst: u32,
    /// Calls a minute from one user to another, in the long run and at once; zero lifts the limit.
    pub calls_per_pair: u32,
    /// Candidates kept for each direction of a call.
    pub journal_candidates: usize,
    /// Bytes of JSON kept for each direction of a call: all candidates together, and each
    /// description by itself (at most one offer and one answer are kept).
    pub journal_bytes: usize,
    /// Bytes of JSON that `metadata` of `call:initiate` may have.
    pub max_metadata: usize,
    /// Calls that are over and still shown; a quarter of them may be ones that nobody accepted.
    pub ended_calls: usize,
    /// For how long a call that is over is still shown.
    pub ended_calls_for: Duration,
    /// Whether calls go on after the server has stopped, in the one that is started in its place.
    pub keep_calls: bool,
    /// Whether the relay is told which addresses the sides of a call announce
    /// ([`Output::PeersAnnounced`](super::Output::PeersAnnounced)).
    pub announce_peers: bool,
    /// True if the steps of calls before their ends are reported
    /// ([`Output::Report`](super::Output::Report)).
    pub report_calls: bool,
    /// Whether there is somebody to ask when a call reaches no device
    /// ([`Output::AskToHold`](super::Output::AskToHold)).
    pub ask_to_hold: bool,
    /// What relay credentials are minted with.
    pub turn_secrets: TurnSecrets,
    /// For how long relay credentials open allocations.
    pub credential_ttl: Duration,
    /// Where the STUN service is: `stun:` URIs.
    pub stun_uris: Vec<String>,
    /// Where the relay is: `turn:` and `turns:` URIs.
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
            stun_uris: Vec::new(),
            turn_uris: Vec::new(),
        }
    }
}

/// How far past its expiry a token is still good, since clocks differ.
pub(super) const TOKEN_LEEWAY: Duration = Duration::from_secs(5);
