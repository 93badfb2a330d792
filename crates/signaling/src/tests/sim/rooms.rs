//! Rooms: what is asked in them, and what their participants hear.

use std::collections::{BTreeMap, BTreeSet};

use callbox_base::ids::{CallId, ParticipantId, RoomId, SessionId, UserId};
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{Seat, Sim, address};
use crate::{CallRecord, RequestName, rooms::MAX_PARTICIPANTS};

const NAMES: [&str; 2] = ["lobby", "kitchen"];

/// One life of a room, as the observer knows it.
#[derive(Default)]
pub(super) struct WatchedRoom {
    name: String,
    pub ended: bool,
    /// Everyone who ever was in it.
    ever: BTreeMap<ParticipantId, Seat>,
    /// The users in it, as the relay knows them.
    inside: BTreeSet<UserId>,
    /// The addresses that were announced to the relay, each with its user.
    announced: BTreeSet<(UserId, std::net::IpAddr)>,
    /// The pairs of which the first has made the second an offer.
    offered: BTreeSet<(ParticipantId, ParticipantId)>,
    /// The relayed events, each with its receivers.
    relayed: BTreeSet<(u64, ParticipantId)>,
}

impl WatchedRoom {
    /// Returns true if a device of the user is in it.
    pub(super) fn holds(&self, user: &UserId) -> bool {
        !self.ended && self.inside.contains(user)
    }

    /// The number of events that were relayed in it.
    pub(super) fn relayed(&self) -> usize {
        self.relayed.len()
    }
}

/// The state of a room as one session knows it.
pub(super) struct View {
    me: ParticipantId,
    /// The others, and whether they are connected.
    others: BTreeMap<ParticipantId, bool>,
}

impl View {
    /// Reads the answer to a join, or the snapshot after a reconnect.
    fn of(data: &Value) -> Self {
        let others = data["participants"].as_array().unwrap().iter();
        let others = others.map(|other| (id(other), other["connected"].as_bool().unwrap()));
        let count = others.len();
        let view = Self { me: id(data), others: others.collect() };
        assert_eq!(view.others.len(), count, "one participant is there twice");
        assert!(!view.others.contains_key(&view.me), "it is one of the others");
        assert!(count < MAX_PARTICIPANTS, "too many are in a room");
        view
    }
}

impl View {
    /// Another one, and whether it is connected.
    fn other(&mut self, id: ParticipantId) -> &mut bool {
        self.others.get_mut(&id).expect("an event of a user who is not in the room")
    }
}

fn id(data: &Value) -> ParticipantId {
    data["participantId"].as_str().unwrap().parse().unwrap()
}

fn parse(id: &Value) -> ParticipantId {
    id.as_str().unwrap().parse().unwrap()
}

impl Sim {
    /// Somebody comes into a room, or does what one does there.
    pub(super) fn in_room(&mut self) -> Option<(SessionId, RequestName, Value)> {
        use RequestName::*;
        let views: Vec<_> = self.in_view.keys().filter(|(id, _)| self.is_here(*id)).collect();
        let member = views.choose(&mut self.rng).map(|member| **member);
        let Some((session, call)) = member.filter(|_| self.rng.random_bool(0.7)) else {
            let name = if self.crowded { NAMES[0] } else { NAMES.choose(&mut self.rng).unwrap() };
            let mut session = self.any_session()?;
            if self.crowded {
                let outside =
                    |id: &&SessionId| self.in_view.keys().all(|(member, _)| member != *id);
                let all = self.sessions.keys().filter(|id| self.is_here(**id)).filter(outside);
                session = all.copied().collect::<Vec<_>>().choose(&mut self.rng).copied()?;
            }
            return Some((session, RoomJoin, json!({ "roomId": name })));
        };
        let leave: &[RequestName] = if self.crowded { &[] } else { &[RoomLeave] };
        let requests = [
            IceCandidate,
            IceCandidate,
            IceCandidate,
            SignalOffer,
            SignalOffer,
            SignalAnswer,
            CallMessage,
            MediaUpdate,
            CallConnected,
            CallReconnecting,
            CallStats,
            IceRefresh,
        ];
        let all = [requests.as_slice(), leave].concat();
        let mut request = *all.choose(&mut self.rng).unwrap();
        if self.rng.random_bool(0.01) {
            request = RoomLeave;
        }
        let mut data = json!({ "roomId": self.rooms[&call].name });
        // Mostly somebody who is there, now and then somebody who was.
        let there: Vec<_> = self.in_view[&(session, call)].others.keys().copied().collect();
        let ever: Vec<_> = self.rooms.values().flat_map(|room| room.ever.keys()).copied().collect();
        let to = if self.rng.random_bool(0.9) { there } else { ever };
        if let Some(to) = to.choose(&mut self.rng) {
            data["to"] = json!(to);
        }
        if request == CallMessage && self.rng.random() {
            data["to"] = Value::Null;
        }
        if self.rng.random_bool(0.1) {
            data["callId"] = json!(call);
        }
        Some((session, request, data))
    }

    /// A request that names a room was answered, and all went well.
    pub(super) fn answered_in_room(
        &mut self,
        session: SessionId,
        event: &str,
        data: &Value,
        answer: &Value,
    ) {
        let call: CallId = answer["callId"].as_str().unwrap().parse().unwrap();
        let name = answer["roomId"].as_str().unwrap();
        assert_eq!(data["roomId"], name);
        if event == "room:join" {
            self.joined(session, call, name, answer);
            self.check_ice(session, answer);
            return;
        }
        let room = self.rooms.get_mut(&call).expect("a room that was never begun");
        assert_eq!(room.name, name);
        assert!(!room.ended || event == "room:leave", "it was done in a room that is over");
        let me = self.in_view.get(&(session, call)).expect("a stranger got through").me;
        match event {
            "room:leave" => {
                assert_eq!(id(answer), me);
                self.in_view.remove(&(session, call));
            }
            "ice:candidate" => self.candidates_taken += 1,
            "signal:offer" => {
                room.offered.insert((me, parse(&data["to"])));
            }
            "signal:answer" => {
                assert!(room.offered.contains(&(parse(&data["to"]), me)), "an answer to nothing");
            }
            "ice:refresh" => self.check_ice(session, answer),
            _ => {}
        }
    }

    fn joined(&mut self, session: SessionId, call: CallId, name: &str, answer: &Value) {
        let (seat, view) = (self.sessions[&session].clone(), View::of(answer));
        if let Some(before) = self.in_view.insert((session, call), View::of(answer)) {
            assert_eq!(before.me, view.me, "one device is two participants");
            return;
        }
        assert!(self.tokens[&session].grants.may_join(&RoomId::new(name).unwrap()));
        let others = self.rooms.iter().filter(|(id, room)| **id != call && !room.ended);
        let mut others = others.map(|(_, room)| room);
        assert!(others.all(|room| room.name != name), "two rooms have one name");
        let room = self.rooms.entry(call).or_insert_with(|| {
            assert!(view.others.is_empty(), "somebody was in a room that nobody joined");
            WatchedRoom { name: name.to_owned(), ..WatchedRoom::default() }
        });
        assert!(!room.ended, "somebody joined a room that is over");
        if !room.inside.contains(&seat.0) {
            self.callers.push((seat.0.clone(), self.tokens[&session].grants.max_calls));
        }
        assert!(room.ever.insert(view.me, seat).is_none(), "a participant came again");
        self.fullest_room = self.fullest_room.max(view.others.len() + 1);
        self.joins += 1;
    }

    /// A session received an event of a room.
    pub(super) fn heard_in_room(
        &mut self,
        session: SessionId,
        name: &str,
        data: &Value,
        late: bool,
    ) {
        let call: CallId = data["callId"].as_str().unwrap().parse().unwrap();
        let room = self.rooms.get_mut(&call).expect("an event of no room");
        assert_eq!(data["roomId"], room.name);
        let seat = &self.sessions[&session];
        if name == "room:sync" {
            let view = View::of(data);
            assert_eq!(
                room.ever.get(&view.me),
                Some(seat),
                "an outsider received an event of a room"
            );
            assert!(!late && !room.ended);
            for relayed in data["relayed"].as_array().unwrap() {
                let from = parse(&relayed["fromParticipant"]);
                assert!(view.others.contains_key(&from), "kept of somebody who has left");
                let description =
                    relayed["description"].as_object().map(|_| &relayed["description"]);
                for data in relayed["candidates"].as_array().unwrap().iter().chain(description) {
                    assert_eq!(
                        (parse(&data["fromParticipant"]), parse(&data["to"])),
                        (from, view.me)
                    );
                    // It may have been on its way to the session before, and is not sent again.
                    let number = data["n"].as_u64().unwrap();
                    room.relayed.insert((number, view.me));
                    let (user, _) = &room.ever[&from];
                    assert!(room.announced.contains(&(user.clone(), address(number))));
                }
            }
            assert!(self.in_view.insert((session, call), view).is_none(), "joined twice");
            self.check_ice(session, data);
            return;
        }
        let view = self
            .in_view
            .get_mut(&(session, call))
            .expect("an outsider received an event of a room");
        assert_eq!(room.ever.get(&view.me), Some(seat));
        match name {
            "call:ended" => {
                assert!(data["reason"].is_string());
                self.in_view.remove(&(session, call));
            }
            "room:joined" => {
                let participant = &data["participant"];
                assert_eq!(participant["connected"], true);
                assert!(view.others.insert(id(participant), true).is_none(), "received twice");
            }
            "room:left" => {
                assert!(view.others.remove(&id(data)).is_some(), "received twice");
                assert_eq!(data["userId"], json!(room.ever[&id(data)].0));
            }
            "call:reconnecting" => {
                assert!(std::mem::replace(view.other(id(data)), false), "received twice");
            }
            "call:reconnected" => {
                assert!(!std::mem::replace(view.other(id(data)), true), "received twice");
            }
            "media:updated" => assert!(view.others.contains_key(&id(data))),
            "ice:servers" => {
                if !late {
                    self.check_ice(session, data);
                }
            }
            "ice:candidate" | "signal:offer" | "signal:answer" | "call:message" => {
                let from = parse(&data["fromParticipant"]);
                view.other(from);
                let (user, device) = &room.ever[&from];
                assert_eq!((&data["from"], &data["fromDevice"]), (&json!(user), &json!(device)));
                let to_all = name == "call:message" && data["to"].is_null();
                assert!(to_all || parse(&data["to"]) == view.me, "it was for somebody else");
                let number = data["n"].as_u64().unwrap();
                assert!(room.relayed.insert((number, view.me)), "relayed twice");
                let announced = room.announced.contains(&(user.clone(), address(number)));
                assert!(name == "call:message" || announced, "received before the relay knew");
            }
            other => panic!("{other} was not expected in a room"),
        }
    }

    /// The relay hears who is in a room.
    pub(super) fn moved(&mut self, call: CallId, user: UserId, is_in: bool) {
        let room = self.rooms.get_mut(&call).filter(|room| !room.ended).expect("no such room");
        let is_new = if is_in { room.inside.insert(user) } else { room.inside.remove(&user) };
        assert!(is_new, "the relay was notified twice");
    }

    /// The relay hears of addresses in a room.
    pub(super) fn announced_in_room(
        &mut self,
        call: CallId,
        by: &UserId,
        ips: Vec<std::net::IpAddr>,
    ) {
        let room = self.rooms.get_mut(&call).expect("an address of no call");
        assert!(!room.ended && room.inside.contains(by), "a stranger's address");
        room.announced.extend(ips.into_iter().map(|ip| (by.clone(), ip)));
    }

    /// The end of a room was reported: with everyone who was in it.
    pub(super) fn check_record(&self, record: &CallRecord) {
        let Some(room) = self.rooms.get(&record.id) else { return };
        let listed: BTreeSet<_> = record.participants.iter().map(|p| p.participant_id).collect();
        assert_eq!(listed.len(), record.participants.len(), "somebody is on the record twice");
        assert!(listed.iter().all(|id| id.is_some_and(|id| room.ever.contains_key(&id))));
        assert!(listed.len() == room.ever.len().min(32), "somebody is not on the record");
    }

    /// After each input: everyone who is connected sees the room as it is, and nobody else sees it.
    pub(super) fn check_rooms(&mut self) {
        let sessions = &self.sessions;
        self.in_view.retain(|(session, _), _| sessions.contains_key(session));
        for ((session, call), view) in &self.in_view {
            if !self.is_here(*session) {
                continue;
            }
            let room = self.hub.rooms().get(*call).expect("it has received the end of the room");
            assert_eq!(
                room.participant_of(*session),
                Some(view.me),
                "it does not know its participant id"
            );
            let truth = room.seen_by(view.me);
            let truth = truth.iter().map(|other| (other.participant_id, other.connected));
            assert_eq!(view.others, truth.collect(), "{session} sees another room");
        }
        for room in self.hub.rooms().iter() {
            let seen =
                room.sessions().all(|session| self.in_view.contains_key(&(session, room.id())));
            assert!(seen, "a participant received no event");
            let users = room.parties().map(|(_, party)| party.user().clone());
            assert_eq!(
                self.rooms[&room.id()].inside,
                users.collect(),
                "the relay knows another room"
            );
        }
        for (id, room) in &self.rooms {
            assert_eq!(room.ended, self.hub.rooms().get(*id).is_none());
        }
    }
}
