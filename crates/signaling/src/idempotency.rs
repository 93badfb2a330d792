//! The idempotency of named requests: a request that a device of the user makes again gets the same
//! answer again, and is not executed again.

use std::collections::VecDeque;

use callbox_base::ids::DeviceId;

use super::{
    Answer, ErrorCode, RequestError, RequestName,
    payload::{Fields, text_of},
};

/// The largest number of requests of a user that are remembered.
const MAX: usize = 64;

/// The largest size of their answers together, in bytes: many times that of 64 short ones, but the
/// answer to `room:join` has the metadata of seven others in it.
const MAX_WEIGHT: usize = 256 << 10;

/// The largest length of a name, in bytes.
const MAX_NAME: usize = 64;

/// The name that a device gave a request: `msgId` in its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageId {
    device: DeviceId,
    request: RequestName,
    name: Box<str>,
}

impl MessageId {
    /// Reads the name of a request, if it has one.
    ///
    /// # Errors
    /// `invalid_payload` for a name that is not a text, or is too long.
    pub(crate) fn read(
        device: &DeviceId,
        request: RequestName,
        data: &Fields<'_>,
    ) -> Result<Option<Self>, RequestError> {
        let Some(name) = data.value("msgId") else { return Ok(None) };
        let name = match text_of(name) {
            Some(name) if name.len() <= MAX_NAME => name,
            _ => {
                let message = format!("`msgId` must be a text of up to {MAX_NAME} bytes.");
                return Err(RequestError::new(ErrorCode::InvalidPayload, message));
            }
        };
        Ok(Some(Self { device: device.clone(), request, name: name.into() }))
    }
}

/// The named requests of one user with their answers, the latest last.
#[derive(Debug, Default)]
pub(super) struct AnsweredRequests {
    known: VecDeque<Known>,
    weight: usize,
}

#[derive(Debug)]
struct Known {
    id: MessageId,
    answer: Answer,
}

impl AnsweredRequests {
    /// Returns the answer to a request, if it was made before.
    pub(crate) fn find(&self, id: &MessageId) -> Option<&Answer> {
        self.known.iter().rev().find(|known| known.id == *id).map(|known| &known.answer)
    }

    /// Remembers an answer. Past the limits the oldest ones are forgotten.
    pub(crate) fn remember(&mut self, id: MessageId, answer: Answer) {
        self.weight += answer.0.weight();
        self.known.push_back(Known { id, answer });
        while (self.known.len() > MAX || self.weight > MAX_WEIGHT)
            && let Some(oldest) = self.known.pop_front()
        {
            self.weight -= oldest.answer.0.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{JsonText, Payload};

    fn id(device: &str, request: RequestName, name: &str) -> MessageId {
        let device = DeviceId::new(device).unwrap();
        read(&device, request, json!({ "msgId": name })).unwrap().unwrap()
    }

    fn read(
        device: &DeviceId,
        request: RequestName,
        data: Value,
    ) -> Result<Option<MessageId>, RequestError> {
        MessageId::read(device, request, &Payload::from(data).fields().unwrap())
    }

    fn answer(data: Value) -> Answer {
        Answer(JsonText::of(&data))
    }

    #[test]
    fn a_message_id_belongs_to_one_device_and_kind_of_request() {
        let mut answered = AnsweredRequests::default();
        let accept = id("phone", RequestName::CallAccept, "1");
        answered.remember(accept.clone(), answer(json!({ "ok": true })));
        assert!(answered.find(&accept).is_some());
        assert!(answered.find(&id("laptop", RequestName::CallAccept, "1")).is_none());
        assert!(answered.find(&id("phone", RequestName::CallEnd, "1")).is_none());
        assert!(answered.find(&id("phone", RequestName::CallAccept, "2")).is_none());
        for n in 0..MAX {
            answered.remember(id("x", RequestName::CallEnd, &n.to_string()), answer(json!({})));
        }
        assert!(answered.find(&accept).is_none(), "the latest only");
        assert_eq!(answered.known.len(), MAX);
    }

    #[test]
    fn large_answers_evict_older_ones() {
        let mut answered = AnsweredRequests::default();
        let join = |n: usize| id("phone", RequestName::RoomJoin, &n.to_string());
        let long = |n: usize| answer(json!({ "n": n, "x": "y".repeat(MAX_WEIGHT / 4) }));
        for n in 0..10 {
            answered.remember(join(n), long(n));
            assert!(answered.weight <= MAX_WEIGHT);
        }
        assert_eq!(answered.known.len(), 3);
        assert!(answered.find(&join(9)).is_some() && answered.find(&join(6)).is_none());
        answered.remember(join(10), answer(json!("z".repeat(MAX_WEIGHT))));
        assert_eq!((answered.known.len(), answered.weight), (0, 0), "too long by itself");
    }

    #[test]
    fn invalid_message_ids_are_refused() {
        let device = DeviceId::new("phone").unwrap();
        let read = |data| read(&device, RequestName::CallEnd, data);
        assert_eq!(read(json!({})), Ok(None));
        assert_eq!(read(json!({ "msgId": null })), Ok(None));
        for bad in [json!(7), json!(["x"]), json!("x".repeat(65))] {
            let refused = read(json!({ "msgId": bad })).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidPayload);
        }
    }
}
