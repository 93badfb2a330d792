//! The requests of clients.

use callbox_base::ids::{CallId, SessionId};
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{DEVICES, Sim, USERS, address};
use crate::{Input, Payload, RequestId, RequestName, WireEnum, idempotency::MessageId};

impl Sim {
    pub(super) fn any_call(&mut self) -> Option<CallId> {
        // The latest ones, most of which live.
        let all: Vec<_> = self.calls.keys().rev().take(4).copied().collect();
        all.choose(&mut self.rng).copied()
    }

    /// Somebody in a call does what one does in a call.
    pub(super) fn sensible(&mut self) -> Option<(SessionId, RequestName, Option<CallId>)> {
        use RequestName::*;
        let live: Vec<_> = self.calls.iter().filter(|(_, call)| !call.ended).collect();
        let (id, call) = live.choose(&mut self.rng)?;
        let members: Vec<_> =
            call.audience.iter().filter(|(_, end)| end.is_none()).map(|(id, _)| *id).collect();
        let any = members.choose(&mut self.rng).filter(|id| self.is_here(**id));
        // Whoever is wanted answers soon.
        let soon = call.next.is_some() && self.rng.random_bool(0.5);
        let is_next = |id: &&SessionId| call.next.as_ref() == self.sessions.get(id);
        let wanted = members.iter().find(is_next).filter(|id| self.is_here(**id));
        let session = *wanted.filter(|_| soon).or(any)?;
        let seat = self.sessions.get(&session)?;
        let is_caller = seat.0 == call.caller.0;
        let request = *match (is_caller, &call.winner) {
            _ if call.next.as_ref() == Some(seat) => {
                [CallRing, CallAccept, CallAccept, CallReject, CallEnd].choose(&mut self.rng)
            }
            (true, None) => {
                [IceCandidate, IceCandidate, SignalOffer, CallCancel].choose(&mut self.rng)
            }
            (false, None) => [CallRing, CallAccept, CallAccept, CallReject].choose(&mut self.rng),
            (_, Some(_)) => [
                IceCandidate,
                IceCandidate,
                IceCandidate,
                IceCandidate,
                IceCandidate,
                IceCandidate,
                SignalOffer,
                SignalOffer,
                SignalAnswer,
                CallConnected,
                CallReconnecting,
                MediaUpdate,
                CallUpgrade,
                CallUpgrade,
                CallMessage,
                CallStats,
                CallTransfer,
                CallTransfer,
                CallTransfer,
                CallTransfer,
                CallEnd,
            ]
            .choose(&mut self.rng),
        }
        .unwrap();
        Some((session, request, Some(**id)))
    }

    /// Somebody does anything.
    pub(super) fn senseless(&mut self) -> Option<(SessionId, RequestName, Option<CallId>)> {
        let session = self.any_session()?;
        let request = *RequestName::ALL.choose(&mut self.rng).unwrap();
        let call = if self.rng.random() { self.any_call() } else { None };
        Some((session, request, call))
    }

    pub(super) fn request(&mut self) {
        if self.rng.random_bool(self.about_rooms) {
            let Some((session, request, data)) = self.in_room() else { return };
            return self.make(session, request, None, data);
        }
        let chosen = match self.rng.random_range(0..100) {
            0..15 => self.any_session().map(|s| (s, RequestName::CallInitiate, None)),
            15..18 => self.any_session().map(|s| (s, RequestName::PresenceSubscribe, None)),
            18 => self.any_session().map(|s| (s, RequestName::UserBlock, None)),
            19..75 => self.sensible(),
            _ => self.senseless(),
        };
        let Some((session, request, call)) = chosen else { return };
        let mut data = json!({});
        if self.rng.random_bool(0.02) {
            data["roomId"] = json!("lobby");
        }
        self.make(session, request, call, data);
    }

    /// Makes a request, with what belongs into it besides `data`.
    fn make(
        &mut self,
        session: SessionId,
        request: RequestName,
        call: Option<CallId>,
        mut data: Value,
    ) {
        self.number += 1;
        let ufrag = *["one", "two"].choose(&mut self.rng).unwrap();
        data["n"] = json!(self.number);
        match request {
            RequestName::CallInitiate => {
                let online: Vec<_> = self.sessions.values().map(|seat| seat.0.as_str()).collect();
                let somebody = [online.as_slice(), &["nobody"]].concat();
                data["targetUserId"] = json!(somebody.choose(&mut self.rng).unwrap());
                data["callType"] = json!("audio");
            }
            RequestName::IceCandidate => {
                let (ip, rest) = (address(self.number), "x".repeat(self.rng.random_range(0..99)));
                let line = format!("candidate:1 1 udp 1 {ip} 9 typ host {rest}");
                data["candidate"] = json!({ "candidate": line });
                if self.rng.random() {
                    data["candidate"]["usernameFragment"] = json!(ufrag);
                }
            }
            RequestName::SignalOffer | RequestName::SignalAnswer => {
                let ip = address(self.number);
                data["sdp"] = json!(format!("v=0\r\nc=IN IP4 {ip}\r\na=ice-ufrag:{ufrag}\r\n"));
            }
            RequestName::CallUpgrade => {
                data["callType"] = json!(["audio", "video"].choose(&mut self.rng).unwrap());
                data["accept"] = json!(self.rng.random_bool(0.7));
            }
            RequestName::CallTransfer => {
                let own = &self.sessions[&session];
                let others =
                    self.sessions.values().filter(|seat| seat.0 == own.0 && seat.1 != own.1);
                let others: Vec<_> = others.map(|seat| seat.1.as_str()).collect();
                let any = if self.rng.random_bool(0.2) { &DEVICES } else { others.as_slice() };
                data["deviceId"] = json!(any.choose(&mut self.rng).unwrap_or(&"nowhere"));
            }
            RequestName::PresenceSubscribe => data["userIds"] = self.any_list(),
            RequestName::UserBlock => {
                data["userId"] = json!(USERS.choose(&mut self.rng).unwrap());
                if self.rng.random_bool(0.4) {
                    data["blocked"] = json!(self.rng.random_bool(0.5));
                }
            }
            RequestName::CallMessage => data["data"] = json!(self.number),
            _ => {}
        }
        // Most calls are clear without it.
        if let Some(call) = call
            && self.rng.random_bool(0.8)
        {
            data["callId"] = json!(call);
        }
        if self.rng.random_bool(0.02) {
            data = json!(["nonsense"]);
        }
        if self.rng.random_bool(0.2) && data.is_object() {
            data["msgId"] = json!(self.number.to_string());
        }
        let id = RequestId(self.number);
        self.asked.insert(id, (request.as_str().to_owned(), session, data.clone()));
        let event = request.as_str().to_owned();
        self.input(Input::Request { session, id: Some(id), event, data: data.into() });
    }

    /// A device repeats a request with the same `msgId`, as if its answer had been lost.
    pub(super) fn again(&mut self) {
        let Some(session) = self.any_session() else { return };
        let seat = self.sessions[&session].clone();
        let own: Vec<_> = self.named.iter().rev().filter(|(by, ..)| *by == seat).take(5).collect();
        let Some((_, event, data, answer)) = own.choose(&mut self.rng).copied().cloned() else {
            return;
        };
        let request = RequestName::parse(&event).unwrap();
        let name =
            MessageId::read(&seat.1, request, &Payload::from(data.clone()).fields().unwrap())
                .unwrap()
                .unwrap();
        if self.hub.user(&seat.0).is_none_or(|user| user.answer_to(&name).is_none()) {
            // It was forgotten for later ones, or the user has been away without a call.
            return;
        }
        self.number += 1;
        let id = RequestId(self.number);
        self.expected.insert(id, answer);
        self.asked.insert(id, (event.clone(), session, data.clone()));
        self.input(Input::Request { session, id: Some(id), event, data: data.into() });
    }
}
