//! The observer looks at everything that comes out, in order.

use std::time::Duration;

use callbox_base::ids::CallId;
use serde_json::Value;

use super::{super::keep, Sim, schemas};
use crate::{CallEvent, CallReport, CloseReason, Output};

impl Sim {
    /// The observer looks at everything that comes out.
    pub(super) fn drain(&mut self) {
        // The senders and receivers of descriptions and candidates in this batch, in order.
        let mut batch: Vec<(CallId, Value, bool)> = Vec::new();
        // The session that goes on with what it missed.
        let mut late = None;
        while let Some(output) = self.hub.poll_output() {
            self.log.push(format!("    {output:?}"));
            match output {
                Output::Welcome { session, data } => {
                    assert!(self.sessions.contains_key(&session));
                    let data = data.value();
                    schemas::check_welcome(&data);
                    self.check_ice(session, &data);
                }
                Output::Close { session, reason } => {
                    assert!(self.sessions.remove(&session).is_some(), "closed twice");
                    let expires = self.tokens[&session].expires;
                    let is_over = self.now.unix >= Duration::from_secs(expires.saturating_add(5));
                    if reason == CloseReason::TokenExpired {
                        assert!(is_over, "closed before its time");
                        self.expired += 1;
                    }
                    self.calls.values_mut().for_each(|call| {
                        call.audience.remove(&session);
                    });
                }
                Output::Answer { session, id, answer } => {
                    // The outputs before the answer were due before the request.
                    batch.clear();
                    self.answered(session, id, &answer.0.value());
                }
                Output::Resumed { connection, session } => {
                    assert!(self.sessions.remove(&connection).is_some());
                    self.readers.remove(&connection);
                    assert!(self.sessions.contains_key(&session), "back from nowhere");
                    self.away.remove(&session);
                    let token = self.tokens[&connection].clone();
                    self.hold(session, token);
                    let reader = self.readers.get_mut(&session).expect("it can be resumed");
                    assert_eq!(self.claim, reader.has, "it said something wrong");
                    late = Some(session);
                    self.resumed += 1;
                }
                Output::Send { session, seq, event } => {
                    let seat = self.sessions.get(&session).expect("sent to a session that is gone");
                    assert!(self.is_here(session), "sent where nobody is");
                    let seat = seat.clone();
                    let late = late == Some(session);
                    if let Some(seq) = seq {
                        let reader = self.readers.get_mut(&session).expect("it can be resumed");
                        assert_eq!(seq, reader.has + 1, "an event was lost, or came twice");
                        reader.has = seq;
                        if seq <= reader.seen {
                            continue;
                        }
                        reader.seen = seq;
                    } else {
                        assert!(!self.readers.contains_key(&session));
                    }
                    let data = event.data.value();
                    schemas::check_event(event.name, &data);
                    self.receive_event(session, seat, event.name, &data, late);
                    if late {
                        continue;
                    }
                    if event.name == "ice:candidate" || event.name.starts_with("signal:") {
                        let call = data["callId"].as_str().unwrap().parse().unwrap();
                        let keys = ["from", "fromParticipant", "to"];
                        let from = keys.map(|key| data[key].clone()).into();
                        batch.push((call, from, event.name.starts_with("signal:")));
                    }
                }
                Output::PeersAnnounced { call, by, addresses, .. } => {
                    let Some(call) = self.calls.get_mut(&call) else {
                        self.announced_in_room(call, &by, addresses);
                        continue;
                    };
                    assert!(!call.ended, "an address of a call that is over");
                    let winner = call.winner.as_ref().map(|seat| &seat.0);
                    assert!(by == call.caller.0 || Some(&by) == winner, "a stranger's address");
                    call.announced.extend(addresses.into_iter().map(|ip| (by.clone(), ip)));
                }
                Output::CallEnded { call } => {
                    let ended = match self.calls.get_mut(&call) {
                        Some(call) => &mut call.ended,
                        None => &mut self.rooms.get_mut(&call).expect("it has no beginning").ended,
                    };
                    assert!(!std::mem::replace(ended, true), "a call ended twice");
                }
                Output::ReadmitUser { call, user } => self.moved(call, user, true),
                Output::RevokeUser { call, user } => self.moved(call, user, false),
                Output::LiftKick { user } => self.readmitted(&user),
                Output::Report(report) => self.reported(*report),
                Output::AskToHold(report) => self.asked_to_hold.push(report.call.id),
                Output::Keep(change) => keep(&mut self.kept, change),
            }
        }
        for (at, (call, from, description)) in batch.iter().enumerate() {
            let overtaken = batch[..at].iter().any(|(c, f, d)| c == call && f == from && !d);
            assert!(!(*description && overtaken), "candidates went before their description");
        }
        // Sessions that are not resumed in time end without an event.
        let hub = &self.hub;
        let over: Vec<_> =
            self.away.iter().filter(|id| hub.session(**id).is_none()).copied().collect();
        for session in over {
            self.away.remove(&session);
            self.sessions.remove(&session);
        }
        let sessions = &self.sessions;
        self.readers.retain(|id, _| sessions.contains_key(id));
        self.tokens.retain(|id, _| sessions.contains_key(id));
        self.check_tokens();
        self.check_kicks();
        self.check_calls();
        self.check_rooms();
        self.check_views();
        self.hub.check_invariants(self.now);
    }

    /// A step of a call was reported: it must be one that can follow the last.
    pub(super) fn reported(&mut self, report: CallReport) {
        use CallEvent::*;
        let before = self.reports.insert(report.call.id, report.clone());
        match (before.as_ref().map(|before| before.event), report.event) {
            (None, Initiated)
            | (Some(Initiated), Ringing)
            | (Some(Ringing), Accepted)
            | (Some(Accepted), Connected)
            | (Some(Initiated), Accepted)
            | (Some(Connected | Reconnected), Reconnecting)
            | (Some(Reconnecting), Reconnected) => assert!(!report.call.state.is_over()),
            (Some(last), Ended) if last != Ended => {
                let id = &report.call.id;
                let is_over = self.calls.get(id).map(|call| call.ended);
                let is_over = is_over.or_else(|| Some(self.rooms.get(id)?.ended));
                assert!(is_over == Some(true) && report.call.state.is_over());
                self.check_record(&report.call);
            }
            (before, now) => panic!("{now} was reported after {before:?}"),
        }
        assert!(before.is_none_or(|before| before.at <= report.at));
    }
}
