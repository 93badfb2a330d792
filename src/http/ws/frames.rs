//! The frames of the plain WebSocket front.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    ids::{DeviceId, SessionId},
    signaling::{ErrorCode, RequestError, RequestId, Resume},
};

/// What a client sends.
#[derive(Debug, PartialEq)]
pub(super) enum ClientFrame {
    /// `{ "event", "id"?, "data"? }`
    Event {
        /// The event's name.
        event: String,
        /// Set where the client wants an answer.
        id: Option<RequestId>,
        /// The payload; null where there is none.
        data: Value,
    },
    /// `{ "ack" }`: it has all events up to this number.
    Ack(u64),
}

/// A frame that is none, with the id that its answer goes to, if that much could be read.
#[derive(Debug, PartialEq)]
pub(super) struct BadFrame {
    pub id: Option<RequestId>,
    pub error: &'static str,
}

impl ClientFrame {
    /// Reads a text frame.
    pub fn parse(text: &str) -> Result<Self, BadFrame> {
        let bad = |id, error| Err(BadFrame { id, error });
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return bad(None, "The frame is not JSON.");
        };
        let Value::Object(mut frame) = frame else {
            return bad(None, "The frame must be a JSON object.");
        };
        if let Some(ack) = frame.get("ack").filter(|_| !frame.contains_key("event")) {
            return match ack.as_u64() {
                Some(seq) => Ok(Self::Ack(seq)),
                None => bad(None, "`ack` must be a whole number of at least 0."),
            };
        }
        let id = match frame.get("id") {
            None | Some(Value::Null) => None,
            Some(id) => match id.as_u64() {
                Some(id) => Some(RequestId(id)),
                None => return bad(None, "`id` must be a whole number of at least 0."),
            },
        };
        match frame.remove("event") {
            Some(Value::String(event)) => {
                Ok(Self::Event { event, id, data: frame.remove("data").unwrap_or_default() })
            }
            _ => bad(id, "The frame needs `event`, the name of an event."),
        }
    }
}

/// Who the client is, and whether it goes on with a session: the first frame.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionHello {
    /// The user's token; may come in an `Authorization: Bearer` header instead.
    pub token: Option<String>,
    /// The version of this protocol: 1.
    pub protocol: Option<u64>,
    /// The device, as it calls itself; without a name it is a new one.
    pub device_id: Option<DeviceId>,
    /// The session that it wants to go on with.
    resume: Option<SessionResume>,
}

/// An earlier session of the client, and how much of it the client has.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionResume {
    /// As `session:welcome` had it.
    session_id: SessionId,
    /// The number of the last event that the client has; 0 for none.
    seq: u64,
}

impl SessionHello {
    /// How it goes together with other connections of the client.
    pub fn resume(&self) -> Resume {
        match &self.resume {
            Some(SessionResume { session_id, seq }) => {
                Resume::From { session: *session_id, seq: *seq }
            }
            None => Resume::New,
        }
    }

    /// Reads the payload; none is an empty one.
    pub fn parse(data: Value) -> Result<Self, RequestError> {
        let data = if data.is_null() { Value::Object(Default::default()) } else { data };
        let hello: Self = serde_json::from_value(data).map_err(|error| {
            // The message names the field and its type. The values of this payload are secret, and
            // it could quote one.
            let message = match error.to_string() {
                text if text.contains("device id") => text,
                _ => "`token` must be text, `protocol` 1, `deviceId` text, and `resume` an object with \
                      `sessionId`, as session:welcome had it, and `seq`, a number."
                    .into(),
            };
            RequestError::new(ErrorCode::InvalidPayload, message)
        })?;
        match hello.protocol {
            None | Some(1) => Ok(hello),
            Some(other) => Err(RequestError::new(
                ErrorCode::InvalidPayload,
                format!("Version {other} of the protocol is not spoken here, only 1 is."),
            )),
        }
    }
}

#[derive(Serialize)]
struct EventFrame<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    re: Option<u64>,
    data: &'a Value,
}

#[derive(Serialize)]
struct AnswerFrame<'a> {
    re: u64,
    data: &'a Value,
}

/// The text of an event; `re` where it also answers a request.
pub(super) fn event(name: &str, re: Option<RequestId>, data: &Value) -> String {
    write(&EventFrame { event: name, seq: None, re: re.map(|id| id.0), data })
}

/// The text of an event that has a number in its session.
pub(super) fn numbered(name: &str, seq: Option<u64>, data: &Value) -> String {
    write(&EventFrame { event: name, seq, re: None, data })
}

/// The text of an answer.
pub(super) fn answer(re: RequestId, data: &Value) -> String {
    write(&AnswerFrame { re: re.0, data })
}

fn write(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("a JSON value has only keys of text")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_read_and_written_as_documented() {
        let frame = ClientFrame::parse(r#"{"event":"call:end","id":7,"data":{"a":1},"more":0}"#);
        let (event_name, id) = ("call:end".into(), Some(RequestId(7)));
        let expected = ClientFrame::Event { event: event_name, id, data: json!({"a": 1}) };
        assert_eq!(frame, Ok(expected));
        assert_eq!(ClientFrame::parse(r#"{"ack":42}"#), Ok(ClientFrame::Ack(42)));
        let data = json!({"callId": "x"});
        assert_eq!(
            event("call:ended", None, &data),
            r#"{"event":"call:ended","data":{"callId":"x"}}"#
        );
        assert_eq!(
            numbered("call:ended", Some(7), &data),
            r#"{"event":"call:ended","seq":7,"data":{"callId":"x"}}"#
        );
        assert_eq!(answer(RequestId(2), &data), r#"{"re":2,"data":{"callId":"x"}}"#);
    }

    #[test]
    fn what_is_no_frame_is_named() {
        for (text, id) in [
            ("", None),
            ("{", None),
            ("[1]", None),
            ("null", None),
            (r#"{"id":3}"#, Some(RequestId(3))),
            (r#"{"id":3,"event":4}"#, Some(RequestId(3))),
            (r#"{"id":"3","event":"a"}"#, None),
            (r#"{"id":-1,"event":"a"}"#, None),
            (r#"{"ack":-1}"#, None),
            (r#"{"ack":"1"}"#, None),
        ] {
            assert_eq!(ClientFrame::parse(text).unwrap_err().id, id, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(ClientFrame::parse(&deep).is_err());
    }

    #[test]
    fn an_error_in_hello_does_not_quote_the_token() {
        for data in [json!({"token": ["hush"]}), json!({"token": "hush", "protocol": "hush"})] {
            let error = SessionHello::parse(data).err().unwrap();
            assert!(!error.message.contains("hush"), "{error}");
        }
        assert!(
            SessionHello::parse(json!({"deviceId": ""})).err().unwrap().message.contains("empty")
        );
        assert!(SessionHello::parse(json!({"protocol": 2})).is_err());
        assert!(SessionHello::parse(json!({"resume": {"sessionId": "x", "seq": 0}})).is_err());
        assert!(SessionHello::parse(Value::Null).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = ClientFrame::parse(&text);
        }
    }
}
