//! The invariants of the hub, which tests check after each input.

use std::collections::{BTreeMap, BTreeSet};

use callbox_base::clock::Now;

use super::{Hub, blocking, limits, presence};
use crate::{
    CallState, EnumCounts,
    call::{HasLifecycle, Involvement, Role},
    rooms::{MAX_DEVICES, MAX_PARTICIPANTS},
    watches::MAX_WATCHED,
};

/// Checks that the parts agree with each other, and that each thing that is due has one timer.
pub(super) fn check(hub: &Hub, now: Now) {
    check_limits(hub, now);
    check_users(hub);
    check_watchers(hub);
    let mut timers =
        hub.sessions.len() + hub.sessions.away_len() + usize::from(hub.ended.len() > 0);
    timers += hub.settling.len() + check_calls(hub) + check_rooms(hub);
    hub.settling.check_invariants();
    assert_eq!(hub.timers.len(), timers);
}

fn check_limits(hub: &Hub, now: Now) {
    let config = &hub.config;
    assert!(hub.sessions.len() <= config.max_sessions);
    hub.sessions.check_invariants();
    assert!(hub.calls.len() + hub.rooms.len() <= config.max_calls);
    assert!(hub.ended.len() <= config.ended_calls);
    let unanswered = hub.ended.iter().filter(|call| call.record().started_at.is_none()).count();
    assert!(unanswered <= config.ended_calls / 4);
    assert_eq!(hub.outbox.len(), 0);
    assert!(hub.next_timeout().is_none_or(|due| due >= now.instant) || hub.stopping);
}

fn check_users(hub: &Hub) {
    let config = &hub.config;
    let mut devices = 0;
    for (id, user) in hub.users.sorted() {
        assert!(!user.devices().is_empty() || !user.calls().is_empty(), "{id} is an empty entry");
        assert!(user.devices().len() <= config.max_sessions_per_user);
        assert!(limits::own_calls(hub, id) <= config.max_calls_per_user);
        let mut callers = BTreeMap::new();
        for call in limits::ringing_at(hub, id) {
            *callers.entry(call.party(Role::Caller).user()).or_insert(0) += 1;
        }
        assert!(callers.values().sum::<usize>() <= config.max_ringing_per_user);
        assert!(callers.values().all(|count| *count <= config.max_ringing_per_pair));
        let blocked = callers.keys().find(|caller| blocking::is_blocked(hub, caller, id));
        assert_eq!(blocked, None, "somebody rings at {id} who is blocked");
        devices += user.devices().len();
        for (device, session) in user.devices() {
            let session = hub.sessions.get(*session).unwrap();
            assert_eq!((session.user(), session.device()), (id, device));
        }
        for call in user.calls() {
            let is_side = hub.calls.get(*call).is_some_and(|call| call.role_of(id).is_some());
            assert!(is_side || hub.rooms.get(*call).is_some_and(|room| room.has(id)));
        }
    }
    assert_eq!(devices, hub.sessions.len());
}

fn check_watchers(hub: &Hub) {
    let mut watched_by = BTreeMap::new();
    for (session, list) in hub.users.watches().lists() {
        let grants = hub.sessions.get(session).unwrap().token().grants();
        assert!(!list.is_empty() && list.len() <= MAX_WATCHED);
        for user in list {
            assert!(grants.may_see(user), "{user} is seen by somebody who may not");
            watched_by.entry(user).or_insert_with(BTreeSet::new).insert(session);
        }
    }
    for (user, known, by) in hub.users.watches().known() {
        assert_eq!(known, presence::status(hub, user), "{user} changed, and nobody was told");
        assert_eq!(watched_by.remove(user).as_ref(), Some(by));
    }
    assert_eq!(watched_by.len(), 0);
}

/// Checks the calls of two. Returns the number of their timers.
fn check_calls(hub: &Hub) -> usize {
    let config = &hub.config;
    let mut timers = 0;
    let mut in_state = EnumCounts::default();
    for call in hub.calls.iter() {
        in_state.add(call.state());
        let accepted = call.state().is_accepted();
        let (own_timers, ringing) = call.timers_and_ringing();
        timers += own_timers;
        if let Some(transfer) = call.transfer() {
            assert!(accepted, "nobody has accepted what is handed on");
            let session = hub.sessions.get(transfer.session()).unwrap();
            let party = call.party(transfer.role());
            assert_eq!((session.user(), session.device()), (party.user(), transfer.device()));
            assert_ne!(party.device(), Some(transfer.device()));
        }
        assert!(!call.is_moved() || call.state() == CallState::Reconnecting);
        assert!(!call.state().is_over());
        assert_eq!(accepted, call.party(Role::Callee).device().is_some());
        assert!(!accepted || ringing == 0);
        assert!(ringing <= config.max_sessions_per_user);
        for member in call.members() {
            let session = hub.sessions.get(member).unwrap();
            assert!(call.role_of(session.user()).is_some(), "a member who is not in the call");
            if let Some(Involvement::Side(role)) = call.involvement_of(member) {
                assert_eq!(call.party(role).device(), Some(session.device()));
            }
        }
        for role in [Role::Caller, Role::Callee] {
            let (party, journal) = (call.party(role), call.journal(role));
            assert!(hub.users.calls(party.user()).contains(&call.id()));
            if party.device().is_some() {
                let is_here = party.session().is_some_and(|session| hub.sessions.is_here(session));
                assert_eq!(!is_here, party.is_in_grace());
            }
            assert!(journal.len() <= config.journal_candidates);
            assert!(journal.bytes() <= 3 * config.journal_bytes);
            // Whatever is kept waits for somebody, or for a moment only.
            let other = call.party(role.other());
            assert!(journal.bytes() == 0 || other.session().is_none() || journal.is_on_hold());
            timers += usize::from(party.is_in_grace());
            timers += usize::from(journal.is_on_hold());
        }
    }
    assert_eq!(hub.calls.by_state(), &in_state);
    timers
}

/// Checks the rooms. Returns the number of their timers.
fn check_rooms(hub: &Hub) -> usize {
    let config = &hub.config;
    let mut timers = 0;
    let mut in_state = EnumCounts::default();
    let mut names = BTreeSet::new();
    for room in hub.rooms.iter() {
        in_state.add(room.state());
        assert!(names.insert(room.name()), "two rooms have one name");
        assert_eq!(hub.rooms.by_name(room.name()).map(|room| room.id()), Some(room.id()));
        assert!((1..=MAX_PARTICIPANTS).contains(&room.len()));
        assert!(!room.state().is_over());
        assert_eq!(room.lifecycle().times().started().is_some(), room.state().is_accepted());
        timers += usize::from(room.lifecycle().has_credential_refresh());
        let mut devices = BTreeSet::new();
        for (_, party) in room.parties() {
            let device = party.device().unwrap();
            assert!(devices.insert((party.user(), device)), "one device is two participants");
            assert!(hub.users.calls(party.user()).contains(&room.id()));
            assert!(room.devices_of(party.user()).count() <= MAX_DEVICES);
            if let Some(session) = party.session() {
                let session = hub.sessions.get(session).unwrap();
                assert_eq!((session.user(), session.device()), (party.user(), device));
            }
            let is_here = party.session().is_some_and(|session| hub.sessions.is_here(session));
            assert_eq!(!is_here, party.is_in_grace());
            timers += usize::from(party.is_in_grace());
        }
        for ((from, to), journal) in room.journals() {
            assert!(from != to && room.party(from).is_some());
            let to = room.party(to).unwrap();
            assert!(journal.len() <= config.journal_candidates);
            assert!(journal.bytes() <= 3 * config.journal_bytes);
            let waits = to.session().is_none() || journal.is_on_hold();
            assert!(journal.bytes() == 0 || waits, "kept for somebody who is there");
            timers += usize::from(journal.is_on_hold());
        }
    }
    assert_eq!(hub.rooms.by_state(), &in_state);
    timers
}
