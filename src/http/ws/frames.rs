//! The frames of the plain WebSocket protocol.

use std::collections::BTreeMap;

use callbox_base::ids::{DeviceId, SessionId};
use callbox_signaling::{
    ErrorCode, JsonText, Part, Payload, RequestError, RequestId, Resume, Text, Unreadable,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A frame from a client.
#[derive(Debug)]
pub(super) enum ClientFrame {
    /// `{ "event", "id"?, "data"? }`
    Event {
        /// The event's name.
        event: String,
        /// Set if the client wants an answer.
        id: Option<RequestId>,
        /// The payload.
        data: Payload,
    },
    /// `{ "ack" }`: it has all events up to this number.
    Ack(u64),
}

/// The error for a text that is no frame, with the id for its answer, if that could be parsed.
#[derive(Debug, PartialEq)]
pub(super) struct BadFrame {
    pub id: Option<RequestId>,
    pub error: &'static str,
}

impl ClientFrame {
    /// Parses a text frame.
    pub(super) fn parse(text: &str) -> Result<Self, BadFrame> {
        let bad = |id, error| Err(BadFrame { id, error });
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
            let is_other = Payload::parse(text).is_ok();
            return bad(None, if is_other { "The frame must be a JSON object." } else { NOT_JSON });
        };
        let number = |value: &RawValue| serde_json::from_str::<u64>(value.get()).ok();
        if let Some(ack) = frame.ack.filter(|_| frame.event.is_none()) {
            return match number(ack) {
                Some(seq) => Ok(Self::Ack(seq)),
                None => bad(None, "`ack` must be a whole number of at least 0."),
            };
        }
        let id = match frame.id.filter(|id| id.get() != "null").map(number) {
            None => None,
            Some(Some(id)) => Some(RequestId(id)),
            Some(None) => return bad(None, "`id` must be a whole number of at least 0."),
        };
        let data = match frame.data {
            None | Some(Part::Null) => Ok(Payload::default()),
            Some(Part::Object(fields)) => Payload::of(&fields),
            Some(Part::Other) => other_data(text),
        };
        let Ok(data) = data else { return bad(None, NOT_JSON) };
        match frame.event.map(|event| serde_json::from_str(event.get())) {
            Some(Ok(event)) => Ok(Self::Event { event, id, data }),
            _ => bad(id, "The frame needs `event`, the name of an event."),
        }
    }
}

/// The parts of a frame. If a name occurs several times, the last one counts.
#[derive(Default)]
struct Frame<'a> {
    ack: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    data: Option<Part<'a>>,
}

impl<'a> Deserialize<'a> for Frame<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'a> Visitor<'a> for Object {
            type Value = Frame<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Frame<'a>, M::Error> {
                let mut frame = Frame::default();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "ack" => frame.ack = Some(map.next_value()?),
                        "id" => frame.id = Some(map.next_value()?),
                        "event" => frame.event = Some(map.next_value()?),
                        "data" => frame.data = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(frame)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Parses the payload of a frame if it is no object.
fn other_data(frame: &str) -> Result<Payload, Unreadable> {
    let frame: BTreeMap<String, &RawValue> = serde_json::from_str(frame).map_err(|_| Unreadable)?;
    frame.get("data").map_or(Ok(Payload::default()), |data| Payload::check(data))
}

const NOT_JSON: &str = "The frame is not JSON.";

/// The first frame, with which the client authenticates, and may resume a session.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionHello {
    /// The user's token; may come in an `Authorization: Bearer` header instead.
    pub token: Option<String>,
    /// The version of this protocol: 1.
    pub protocol: Option<u64>,
    /// The device, under the name that it gives itself; without a name it is a new one.
    pub device_id: Option<DeviceId>,
    /// The session that the client resumes.
    resume: Option<SessionResume>,
}

/// An earlier session of the client, and the events of it that the client has.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionResume {
    /// The id that `session:welcome` had.
    session_id: SessionId,
    /// The number of the last event that the client has; 0 for none.
    seq: u64,
}

impl SessionHello {
    /// Returns the relation to other connections of the client.
    pub(crate) fn resume(&self) -> Resume {
        match &self.resume {
            Some(SessionResume { session_id, seq }) => {
                Resume::From { session: *session_id, seq: *seq }
            }
            None => Resume::New,
        }
    }

    /// Parses the payload; a missing one is an empty one.
    pub(crate) fn parse(data: &Payload) -> Result<Self, RequestError> {
        let hello: Self = data.read().map_err(|error| {
            // The message names the field and its type. The values of this payload are secret, and
            // it could quote one.
            let message = match error.to_string() {
                text if text.contains("device id") => {
                    text.split(" at line ").next().unwrap_or_default().to_owned()
                }
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

/// The largest number of bytes that a frame has around its payload: an event's name and a number.
const AROUND: usize = 80;

/// Writes an event; `re` is set if it also answers a request.
pub(super) fn event(
    frame: &mut Vec<u8>,
    name: &'static str,
    re: Option<RequestId>,
    data: &JsonText,
) {
    event_with(frame, name, re.map(|RequestId(re)| (",\"re\":", re)), data);
}

/// Writes an event that has a number in its session.
pub(super) fn numbered(frame: &mut Vec<u8>, name: &'static str, seq: Option<u64>, data: &JsonText) {
    event_with(frame, name, seq.map(|seq| (",\"seq\":", seq)), data);
}

/// Writes the answer to a request.
pub(super) fn answer(frame: &mut Vec<u8>, RequestId(re): RequestId, data: &JsonText) {
    write(frame, &[b"{\"re\":"], Some(re), data);
}

/// Writes a refusal: an answer if one is wanted, and an event otherwise.
pub(super) fn error(frame: &mut Vec<u8>, re: Option<RequestId>, error: &RequestError) {
    match re {
        Some(id) => answer(frame, id, &error.answer().0),
        None => {
            let refusal = error.event(None);
            event(frame, refusal.name, None, &refusal.data);
        }
    }
}

/// Names of events need no escapes.
fn event_with(
    frame: &mut Vec<u8>,
    name: &'static str,
    number: Option<(&str, u64)>,
    data: &JsonText,
) {
    let (key, number) = number.unzip();
    let name = name.as_bytes();
    write(
        frame,
        &[b"{\"event\":\"", name, b"\"", key.unwrap_or_default().as_bytes()],
        number,
        data,
    );
}

/// Writes a frame: its head, a number, and the payload, which is JSON already.
fn write(frame: &mut Vec<u8>, head: &[&[u8]], number: Option<u64>, data: &JsonText) {
    frame.reserve(AROUND + data.weight());
    head.iter().for_each(|part| frame.extend_from_slice(part));
    if let Some(number) = number {
        serde_json::to_writer(&mut *frame, &number).expect("a number can be written to memory");
    }
    frame.extend_from_slice(b",\"data\":");
    frame.extend_from_slice(data.as_str().as_bytes());
    frame.push(b'}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut frame = Vec::new();
        write(&mut frame);
        String::from_utf8(frame).unwrap()
    }

    #[test]
    fn frames_are_parsed_and_written_as_documented() {
        let frame = ClientFrame::parse(r#"{"event":"call:end","id":7,"data":{"a":1},"more":0}"#);
        let Ok(ClientFrame::Event { event: name, id, data }) = frame else { panic!("{frame:?}") };
        assert_eq!((name.as_str(), id), ("call:end", Some(RequestId(7))));
        assert_eq!(data.read::<Value>().unwrap(), json!({"a": 1}));
        assert!(matches!(ClientFrame::parse(r#"{"ack":42}"#), Ok(ClientFrame::Ack(42))));
        let data = JsonText::of(&json!({"callId": "x"}));
        assert_eq!(
            written(|frame| event(frame, "call:ended", None, &data)),
            r#"{"event":"call:ended","data":{"callId":"x"}}"#
        );
        assert_eq!(
            written(|frame| event(frame, "session:welcome", Some(RequestId(3)), &data)),
            r#"{"event":"session:welcome","re":3,"data":{"callId":"x"}}"#
        );
        assert_eq!(
            written(|frame| numbered(frame, "call:ended", Some(7), &data)),
            r#"{"event":"call:ended","seq":7,"data":{"callId":"x"}}"#
        );
        assert_eq!(
            written(|frame| answer(frame, RequestId(2), &data)),
            r#"{"re":2,"data":{"callId":"x"}}"#
        );
    }

    #[test]
    fn text_that_is_no_frame_is_refused_with_its_id() {
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
        let deep_inside = format!(r#"{{"event":"a","data":{deep}{}}}"#, "]".repeat(100_000));
        for text in [deep.as_str(), &deep_inside, r#"{"event":"a","data":{"x":"\ud800"}}"#] {
            assert_eq!(ClientFrame::parse(text).unwrap_err().error, NOT_JSON);
        }
    }

    #[test]
    fn an_error_in_hello_does_not_quote_the_token() {
        for data in [json!({"token": ["hush"]}), json!({"token": "hush", "protocol": "hush"})] {
            let error = SessionHello::parse(&data.into()).err().unwrap();
            assert!(!error.message.contains("hush"), "{error}");
        }
        assert!(
            SessionHello::parse(&json!({"deviceId": ""}).into())
                .err()
                .unwrap()
                .message
                .contains("empty")
        );
        assert!(SessionHello::parse(&json!({"protocol": 2}).into()).is_err());
        assert!(
            SessionHello::parse(&json!({"resume": {"sessionId": "x", "seq": 0}}).into()).is_err()
        );
        assert!(SessionHello::parse(&Payload::default()).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in ".{0,200}") {
            let _ = ClientFrame::parse(&text);
        }
    }
}
