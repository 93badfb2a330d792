//! The answers and events that clients get.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use callbox_base::ids::{CallId, DeviceId, SessionId};
use serde_json::{Value, json};

use super::{Seat, Sim, Watched, address, schemas, tokens::TokenRecord, user};
use crate::{RequestId, Timestamp};

impl Sim {
    /// A request was answered.
    pub(super) fn answered(&mut self, session: SessionId, id: RequestId, answer: &Value) {
        let (event, asker, data) = self.asked.remove(&id).expect("an answer that nobody asked for");
        schemas::check_answer(&event, answer);
        assert_eq!(asker, session);
        if let Some(expected) = self.expected.remove(&id) {
            assert!(*answer == expected || answer["error"]["code"] == "rate_limited", "{answer}");
            self.repeated += 1;
            return;
        }
        if data["msgId"].is_string() && answer["ok"] == true {
            let seat = self.sessions[&session].clone();
            self.named.push((seat, event.clone(), data.clone(), answer.clone()));
        }
        if answer["ok"] != true {
            assert!(answer["error"]["code"].is_string());
            return;
        }
        let seat = self.sessions[&session].clone();
        if answer["roomId"].is_string() {
            return self.answered_in_room(session, &event, &data, answer);
        }
        if event == "ice:refresh" {
            self.check_ice(session, answer);
            if answer["callId"].is_null() {
                return;
            }
        }
        if event == "auth:refresh" {
            let token = self.brought.remove(&id).expect("only what was brought is taken");
            assert!(data["valid"] == true && data["user"] == json!(seat.0), "it is not its own");
            self.hold(session, token);
            self.refreshed += 1;
            return;
        }
        if event == "presence:subscribe" {
            return self.watches(session, &data, answer);
        }
        if event == "user:block" {
            return self.blocks(session, answer);
        }
        let call: CallId = answer["callId"].as_str().unwrap().parse().unwrap();
        if event == "call:initiate" && answer["glare"] != true {
            self.check_ice(session, answer);
            let grants = &self.tokens[&session].grants;
            let callee = user(data["targetUserId"].as_str().unwrap());
            assert!(grants.may_call(&callee), "called somebody whom the token does not name");
            let max = grants.max_calls;
            assert!(!self.is_blocked(&seat.0, &callee), "called somebody who blocks that");
            self.callers.push((seat.0.clone(), max));
            let watched = Watched {
                caller: seat,
                callee: user(data["targetUserId"].as_str().unwrap()),
                winner: None,
                next: None,
                moved_at: 0,
                offered_to: BTreeSet::new(),
                audience: BTreeMap::from([(session, None)]),
                ended: false,
                offered: BTreeSet::new(),
                relayed: BTreeSet::new(),
                announced: BTreeSet::new(),
            };
            assert!(self.calls.insert(call, watched).is_none());
            return;
        }
        let watched = self.calls.get_mut(&call).expect("a call that was never begun");
        assert!(!watched.ended, "something was done in a call that is over");
        assert!(seat.0 == watched.caller.0 || seat.0 == watched.callee, "a stranger got through");
        match event.as_str() {
            // The two have called each other; asked again, it is the same call.
            "call:initiate" if watched.winner.as_ref() == Some(&seat) => self.crossed += 1,
            "call:transfer" => {
                let is_side = seat == watched.caller || Some(&seat) == watched.winner.as_ref();
                assert!(is_side && watched.winner.is_some(), "it was not its to hand on");
                let device = DeviceId::new(data["deviceId"].as_str().unwrap()).unwrap();
                assert_ne!(device, seat.1, "it has the call already");
                watched.next = Some((seat.0, device));
            }
            "call:accept" if watched.next.as_ref() == Some(&seat) => {
                watched.next = None;
                watched.moved_at = id.0;
                watched.offered.clear();
                match seat.0 == watched.callee {
                    true => watched.winner = Some(seat),
                    false => watched.caller = seat,
                }
                self.transferred += 1;
            }
            "call:accept" | "call:initiate" => {
                assert_eq!(watched.winner, None, "two devices won");
                assert_eq!(seat.0, watched.callee);
                watched.winner = Some(seat);
                self.crossed += u64::from(event == "call:initiate");
            }
            "call:end" | "call:cancel" | "call:reject" => {
                let reason = answer["reason"].as_str().unwrap().to_owned();
                assert_eq!(watched.audience.insert(session, Some(reason)), Some(None));
                watched.next.take_if(|next| *next == seat);
            }
            "ice:candidate" => self.candidates_taken += 1,
            "signal:offer" => {
                watched.offered.insert(seat.0);
            }
            "signal:answer" => {
                let other =
                    if seat.0 == watched.callee { &watched.caller.0 } else { &watched.callee };
                assert!(watched.offered.contains(other), "an answer to nothing");
            }
            _ => {}
        }
    }

    /// Records and checks an event that a session received.
    pub(super) fn receive_event(
        &mut self,
        session: SessionId,
        seat: Seat,
        name: &str,
        data: &Value,
        late: bool,
    ) {
        if name == "server:draining" {
            return;
        }
        if name == "presence:changed" {
            return self.sees(session, data, late);
        }
        if name == "auth:expiring" {
            let TokenRecord { expires, warned, .. } =
                self.tokens.get_mut(&session).expect("it has one");
            // One that comes late may be of the token before.
            if data["expiresAt"] == json!(Timestamp(Duration::from_secs(*expires))) {
                assert!(!std::mem::replace(warned, true), "warned twice");
            } else {
                assert!(late, "warned of another token");
            }
            self.warned += 1;
            return;
        }
        if data["roomId"].is_string() {
            return self.heard_in_room(session, name, data, late);
        }
        let call: CallId =
            data["callId"].as_str().expect("every event names its call").parse().unwrap();
        let watched = self.calls.get_mut(&call).expect("an event about no call");
        let is_caller = seat == watched.caller;
        let is_callee = watched.winner.as_ref().map_or(seat.0 == watched.callee, |w| *w == seat);
        assert!(late || !watched.ended, "an event of a call that is over");
        let is_next = watched.next.as_ref() == Some(&seat);
        if name == "call:ended" {
            watched.next.take_if(|next| *next == seat);
            let reason = data["reason"].as_str().unwrap().to_owned();
            assert!(
                seat.0 == watched.caller.0 || seat.0 == watched.callee,
                "an outsider received it"
            );
            assert_eq!(watched.audience.insert(session, Some(reason)), Some(None), "ended twice");
            return;
        }
        // Another device may have accepted before it came back and learned that the call rings.
        let is_shown = match name {
            "call:incoming" => is_next,
            "call:state" => watched.offered_to.contains(&session),
            _ => false,
        };
        let is_in_it = is_caller || is_callee || is_shown;
        assert!(late || is_in_it, "{name} went to somebody who is not in the call");
        match name {
            "call:incoming" => {
                let is_handed_on = data["transferFrom"].is_string();
                assert!(late || is_next && is_handed_on || is_callee && watched.winner.is_none());
                let before = watched.audience.insert(session, None);
                assert!(before.is_none() || is_handed_on && before != Some(None), "sent twice");
                if is_handed_on {
                    watched.offered_to.insert(session);
                }
                if !late {
                    self.check_ice(session, data);
                }
            }
            "call:state" => {
                let over = matches!(data["call"]["state"].as_str(), Some("ended" | "failed"));
                // A session that replaced its device's one hears of the call this way first.
                let end = watched.audience.entry(session).or_default();
                assert_eq!(end.is_some(), over, "the end is in the snapshot, but was not sent");
            }
            "ice:candidate" | "signal:offer" | "signal:answer" => {
                let winner = watched.winner.as_ref().expect("relayed before anyone accepted");
                let from = if seat.0 == watched.caller.0 { winner } else { &watched.caller };
                assert_eq!(data["from"], json!(from.0));
                let number = data["n"].as_u64().unwrap();
                if !late {
                    assert_eq!(data["fromDevice"], json!(from.1));
                    assert!(number > watched.moved_at, "it was for another device");
                }
                let end = &watched.audience[&session];
                assert_eq!(*end, None, "relayed to a session for which the call is over");
                assert!(watched.relayed.insert(number), "relayed twice");
                let announced = watched.announced.contains(&(from.0.clone(), address(number)));
                assert!(announced, "the other side knows an address before the relay does");
            }
            "call:sync" => {
                // The session is a new one, which hears of the call this way.
                watched.audience.entry(session).or_default();
                assert!(watched.winner.is_some() || is_caller);
                let remembered = data["candidates"].as_array().unwrap().iter();
                for sent in remembered.chain(data.get("description")) {
                    let number = sent["n"].as_u64().unwrap();
                    assert!(number > watched.moved_at, "it was for another device");
                }
            }
            "media:updated" | "call:upgrade" | "call:upgraded" | "call:message" => {
                assert!(watched.winner.is_some(), "{name} before anyone accepted");
            }
            "call:ringing" => assert!(late || is_caller || watched.next.is_some()),
            "call:accepted" => assert!(late || is_caller),
            "call:transferred" => {
                assert!(watched.winner.is_some());
                if data["userId"] == json!(seat.0) {
                    assert_eq!(data["accepted"], false, "it hears this in another way");
                } else if !late {
                    let other =
                        if is_caller { watched.winner.as_ref() } else { Some(&watched.caller) };
                    let device = other.map(|seat| json!(seat.1));
                    assert_eq!(
                        (&data["accepted"], device),
                        (&json!(true), Some(data["deviceId"].clone()))
                    );
                }
            }
            "ice:servers" => {
                assert!(watched.winner.is_some(), "{name} before anyone accepted");
                if !late {
                    self.check_ice(session, data);
                }
            }
            "call:reconnecting" | "call:reconnected" => assert!(watched.winner.is_some()),
            other => panic!("{other} was not expected"),
        }
    }
}
