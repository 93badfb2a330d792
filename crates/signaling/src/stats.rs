//! Numbers for the metrics page.

use super::{CallState, CloseReason, EndReason, EnumCounts, ErrorCode, RequestName};

/// The numbers of things that the hub holds now, and of those that it has counted since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions open now, those without a connection included.
    pub sessions: usize,
    /// Sessions that lost their connection and can be resumed, now.
    pub sessions_away: usize,
    /// Bytes that these and the others have not acknowledged.
    pub unacknowledged_bytes: usize,
    /// Users with a session or a live call now.
    pub users: usize,
    /// Live calls now, by state, rooms included.
    pub calls: EnumCounts<CallState>,
    /// Rooms now.
    pub rooms: usize,
    /// Participants of these.
    pub room_participants: usize,
    /// Calls that are over and still shown.
    pub ended_calls: usize,
    /// Users whose presence a session hears of, over all sessions, now.
    pub watches: usize,
    /// Timers running now.
    pub timers: usize,
    /// Candidates kept in journals now.
    pub journal_candidates: usize,
    /// Bytes kept in journals now, descriptions included.
    pub journal_bytes: usize,
    /// Bytes of what was relayed, kept for devices that come back without their session.
    pub remembered_bytes: usize,
    /// Everything that is only ever counted up.
    pub counters: Counters,
}

/// The counts since the hub began. They never go down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions resumed over another connection.
    pub sessions_resumed: u64,
    /// Sessions that the hub closed or refused, by reason.
    pub sessions_closed: EnumCounts<CloseReason>,
    /// Calls begun.
    pub calls_started: u64,
    /// Calls ended, by reason.
    pub calls_ended: EnumCounts<EndReason>,
    /// Events received whose name is known, by name; refused ones included.
    pub events: EnumCounts<RequestName>,
    /// Events received with any other name.
    pub unknown_events: u64,
    /// Events refused, by code. Past a limit there is one code for each limit, but for the two
    /// rates, of events and of calls, which share one.
    pub errors: EnumCounts<ErrorCode>,
    /// Candidates sent on, kept ones included.
    pub candidates_relayed: u64,
    /// Candidates that were kept for a while.
    pub candidates_kept: u64,
    /// Candidates refused because the journal was full.
    pub candidates_refused: u64,
    /// Candidates dropped because a newer ICE generation or the end of the call overtook them.
    pub candidates_dropped: u64,
    /// Offers and answers sent on.
    pub descriptions_relayed: u64,
}
