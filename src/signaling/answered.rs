//! The requests that a user's devices have made of late and named: the same one again is answered
//! again, and not executed again.

use std::collections::VecDeque;

use serde_json::Value;

use super::{Answer, ErrorCode, RequestError, RequestName};
use crate::ids::DeviceId;

/// How many are remembered of a user.
const MAX: usize = 64;

/// The longest name.
const MAX_NAME: usize = 64;

/// How a device named a request: `msgId` in its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageId {
    device: DeviceId,
    request: RequestName,
    name: Box<str>,
}

impl MessageId {
    /// The name of a request, if it has one.
    ///
    /// # Errors
    /// `invalid_payload` for one that is no text, or too long.
    pub fn read(
        device: &DeviceId,
        request: RequestName,
        data: &Value,
    ) -> Result<Option<Self>, RequestError> {
        let name = match &data["msgId"] {
            Value::Null => return Ok(None),
            Value::String(name) if name.len() <= MAX_NAME => name.as_str(),
            _ => {
                let message = format!("`msgId` must be a text of up to {MAX_NAME} bytes.");
                return Err(RequestError::new(ErrorCode::InvalidPayload, message));
            }
        };
        Ok(Some(Self { device: device.clone(), request, name: name.into() }))
    }
}

/// The requests of one user, the latest last.
#[derive(Debug, Default)]
pub(super) struct Answered(VecDeque<(MessageId, Answer)>);

impl Answered {
    /// What a request was answered with, if it was made before.
    pub fn find(&self, id: &MessageId) -> Option<&Answer> {
        self.0.iter().rev().find(|(known, _)| known == id).map(|(_, answer)| answer)
    }

    /// Remembers an answer.
    pub fn remember(&mut self, id: MessageId, answer: Answer) {
        if self.0.len() == MAX {
            self.0.pop_front();
        }
        self.0.push_back((id, answer));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(device: &str, request: RequestName, name: &str) -> MessageId {
        let device = DeviceId::new(device).unwrap();
        MessageId::read(&device, request, &json!({ "msgId": name })).unwrap().unwrap()
    }

    #[test]
    fn a_name_is_one_device_s_for_one_kind_of_request() {
        let mut answered = Answered::default();
        let accept = id("phone", RequestName::CallAccept, "1");
        answered.remember(accept.clone(), Answer(json!({ "ok": true })));
        assert!(answered.find(&accept).is_some());
        assert!(answered.find(&id("laptop", RequestName::CallAccept, "1")).is_none());
        assert!(answered.find(&id("phone", RequestName::CallEnd, "1")).is_none());
        assert!(answered.find(&id("phone", RequestName::CallAccept, "2")).is_none());
        for n in 0..MAX {
            answered.remember(id("x", RequestName::CallEnd, &n.to_string()), Answer(json!({})));
        }
        assert!(answered.find(&accept).is_none(), "the latest only");
        assert_eq!(answered.0.len(), MAX);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let device = DeviceId::new("phone").unwrap();
        let read = |data| MessageId::read(&device, RequestName::CallEnd, &data);
        assert_eq!(read(json!({})), Ok(None));
        assert_eq!(read(json!({ "msgId": null })), Ok(None));
        for bad in [json!(7), json!(["x"]), json!("x".repeat(65))] {
            let refused = read(json!({ "msgId": bad })).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidPayload);
        }
    }
}
