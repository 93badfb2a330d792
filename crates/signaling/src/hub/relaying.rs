//! Relaying from one member of a call to another, through a journal while the receiver cannot get
//! it.
//!
//! The other side of a call has a session only once a device accepted, and only while that device
//! is connected; so a payload can be delivered exactly if there is a session. The same holds for a
//! participant of a room.

use std::net::IpAddr;

use callbox_base::clock::Now;

use super::{Hub, media, members};
use crate::{
    ErrorCode, EventName, JsonText, Output, RequestError,
    call::{DescriptionKind, JournalFull},
    member::{Lane, Member},
    payload::Fields,
    relayed_content::{Candidate, Description, Signed},
    sender::Sender,
    timer::Timer,
};

/// Relays the payload of an `ice:candidate`.
pub(super) fn relay_candidate(
    hub: &mut Hub,
    now: Now,
    lane: Lane,
    candidate: &Candidate<'_>,
    data: JsonText,
) -> Result<(), RequestError> {
    announce_addresses(hub, lane, || candidate.addresses());
    let to = members::session(hub, lane.to());
    let journal = members::journal_mut(&mut hub.calls, &mut hub.rooms, lane);
    let journal = journal.ok_or_else(RequestError::call_not_found)?;
    let Some(to) = to else {
        if journal.keep_candidate(&data, candidate, &hub.config) == Err(JournalFull) {
            hub.counters.candidates_refused += 1;
            return Err(RequestError::new(
                ErrorCode::TooManyCandidates,
                "The other side cannot get candidates yet, and no more of them are kept.",
            ));
        }
        hub.counters.candidates_kept += 1;
        return Ok(());
    };
    let hold = hub.config.candidate_hold;
    if !journal.is_described() && !hold.is_zero() {
        if journal.keep_candidate(&data, candidate, &hub.config).is_ok() {
            hub.counters.candidates_kept += 1;
            journal.start_hold(now.instant + hold, &mut hub.timers, Timer::Hold(lane));
            return Ok(());
        }
        // With this many candidates the description is not just a moment late.
        flush(hub, lane);
    }
    if let Some(journal) = members::journal_mut(&mut hub.calls, &mut hub.rooms, lane) {
        journal.remember_candidate(&data, &hub.config);
    }
    hub.outbox.relay(to, EventName::IceCandidate, data);
    hub.counters.candidates_relayed += 1;
    Ok(())
}

/// Relays the payload of a `signal:offer` or `signal:answer`.
pub(super) fn relay_description(
    hub: &mut Hub,
    now: Now,
    lane: Lane,
    kind: DescriptionKind,
    description: &Description<'_>,
    data: JsonText,
) -> Result<(), RequestError> {
    announce_addresses(hub, lane, || description.addresses());
    let to = members::session(hub, lane.to());
    let journal = members::journal_mut(&mut hub.calls, &mut hub.rooms, lane);
    let journal = journal.ok_or_else(RequestError::call_not_found)?;
    if to.is_none() && journal.keep_description(kind, &data, &hub.config) == Err(JournalFull) {
        return Err(RequestError::new(
            ErrorCode::PayloadTooLarge,
            format!(
                "The description has more than {} bytes, and the other side cannot get it yet.",
                hub.config.journal_bytes
            ),
        ));
    }
    hub.counters.candidates_dropped += journal.note_description(kind, description) as u64;
    if let Some(to) = to {
        journal.remember_description(kind, &data, &hub.config);
        hub.outbox.relay(to, event_name(kind), data);
        hub.counters.descriptions_relayed += 1;
        flush(hub, lane);
        if kind == DescriptionKind::Answer {
            media::connect(hub, now, lane.from().call());
        }
    }
    Ok(())
}

/// Tells the relay which addresses a payload names, if the relay wants to know. This comes before
/// the payload is kept, refused or sent on: once the other side has it, it asks the relay for
/// permissions, and browsers give up a path that they are refused.
fn announce_addresses(hub: &mut Hub, lane: Lane, addresses: impl Fn() -> Vec<IpAddr>) {
    if !hub.config.announce_peers {
        return;
    }
    let user = |member| members::find(hub, member).map(|party| party.user().clone());
    let (Some(by), Some(to)) = (user(lane.from()), user(lane.to())) else { return };
    let addresses = addresses();
    if !addresses.is_empty() {
        let call = lane.from().call();
        hub.outbox.push(Output::PeersAnnounced { call, by, to, addresses });
    }
}

/// Returns a payload as its receivers get it, with its sender.
pub(super) fn signed(hub: &Hub, fields: &Fields<'_>, from: Member, sender: &Sender) -> JsonText {
    let room = match from {
        Member::Side(..) => None,
        Member::Participant(call, id) => hub.rooms.get(call).map(|room| (room.name(), id)),
    };
    JsonText::of(&Signed { call: from.call(), sender, room, fields })
}

/// Delivers what was kept for a member that has come, or has come back.
pub(super) fn deliver_journal(hub: &mut Hub, now: Now, lane: Lane) {
    let Some(journal) = members::journal_mut(&mut hub.calls, &mut hub.rooms, lane) else { return };
    let hold = hub.config.candidate_hold;
    if journal.may_hand_over() || hold.is_zero() {
        if flush(hub, lane) {
            media::connect(hub, now, lane.from().call());
        }
    } else if journal.len() > 0 {
        journal.start_hold(now.instant + hold, &mut hub.timers, Timer::Hold(lane));
    }
}

/// Sends on candidates whose time to wait for a description is over.
pub(super) fn release(hub: &mut Hub, now: Now, lane: Lane) {
    let Some(journal) = members::journal_mut(&mut hub.calls, &mut hub.rooms, lane) else { return };
    journal.stop_hold(&mut hub.timers, Timer::Hold(lane));
    if flush(hub, lane) {
        media::connect(hub, now, lane.from().call());
    }
}

/// Sends everything that was kept, if there is a receiver. Returns true if an answer was in it.
fn flush(hub: &mut Hub, lane: Lane) -> bool {
    let Some(to) = members::session(hub, lane.to()) else {
        return false;
    };
    let Some(journal) = members::journal_mut(&mut hub.calls, &mut hub.rooms, lane) else {
        return false;
    };
    journal.stop_hold(&mut hub.timers, Timer::Hold(lane));
    let kept = journal.hand_over(&hub.config);
    hub.counters.descriptions_relayed += kept.descriptions.len() as u64;
    hub.counters.candidates_relayed += kept.candidates.len() as u64;
    let answered = kept.descriptions.iter().any(|(kind, _)| *kind == DescriptionKind::Answer);
    for (kind, data) in kept.descriptions {
        hub.outbox.relay(to, event_name(kind), data);
    }
    for data in kept.candidates {
        hub.outbox.relay(to, EventName::IceCandidate, data);
    }
    answered
}

fn event_name(kind: DescriptionKind) -> EventName {
    match kind {
        DescriptionKind::Offer => EventName::SignalOffer,
        DescriptionKind::Answer => EventName::SignalAnswer,
    }
}
