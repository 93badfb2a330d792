//! The packets of Socket.IO, protocol 5 (<https://socket.io/docs/v4/socket-io-protocol/>), as far
//! as they are text: a digit for the type, the namespace unless it is `/`, the number of the
//! acknowledgement, and JSON. Protocol 4 differs in the connecting of a client.

use std::fmt::Write;

use callbox_signaling::{JsonText, Payload, Unreadable};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The longest name of a namespace that is answered, in bytes.
const MAX_NAMESPACE: usize = 128;

/// The longest name of an event that is read from a packet that is too long, in bytes.
const MAX_NAME: usize = 64;

/// The only namespace that exists.
const ROOT: &str = "/";

/// A packet that a client sends.
#[derive(Debug, PartialEq)]
pub enum Packet<'a> {
    /// It connects to the namespace; the JSON is its `auth`, empty if there is none.
    Connect(&'a str),
    /// It connects to a namespace that does not exist.
    ConnectElsewhere(&'a str),
    /// It leaves the namespace.
    Disconnect,
    /// An event.
    Event {
        /// The number of the acknowledgement, if one is wanted.
        ack: Option<u64>,
        /// The JSON array of the name and the arguments.
        arguments: &'a str,
    },
    /// An event with binary arguments, which follow in separate frames.
    BinaryEvent {
        /// The number of the acknowledgement, if one is wanted.
        ack: Option<u64>,
        /// The JSON array of the name and the arguments.
        arguments: &'a str,
        /// The number of binary frames that follow.
        attachments: u64,
    },
    /// A packet that needs no answer: an acknowledgement, since the server requests none, or a
    /// disconnect from a namespace that does not exist. The number is that of the binary frames
    /// that follow.
    Ignored(u64),
}

/// A text that is no packet, or one that is not permitted now.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPacket;

/// An event that cannot be parsed, with its name if that could be.
#[derive(Debug, PartialEq)]
pub struct BadEvent {
    /// The name.
    pub name: Option<String>,
    /// The error, as a text for people.
    pub message: &'static str,
}

impl<'a> Packet<'a> {
    /// Parses the content of a message of Engine.IO.
    ///
    /// # Errors
    /// [`NoPacket`] if it is no packet that a client may send.
    pub fn parse(text: &'a str) -> Result<Self, NoPacket> {
        let (kind, rest) = text.split_at_checked(1).ok_or(NoPacket)?;
        let (attachments, rest) = match kind {
            "5" | "6" => {
                let (count, rest) = number(rest)?;
                (count.ok_or(NoPacket)?, rest.strip_prefix('-').ok_or(NoPacket)?)
            }
            _ => (0, rest),
        };
        let (namespace, rest) = namespace(rest)?;
        let is_root = namespace == ROOT;
        match kind {
            "0" if is_root => Ok(Self::Connect(rest)),
            "0" => Ok(Self::ConnectElsewhere(namespace)),
            "1" if rest.is_empty() => Ok(if is_root { Self::Disconnect } else { Self::Ignored(0) }),
            "2" | "3" | "5" | "6" if is_root => {
                let (ack, arguments) = number(rest)?;
                if !arguments.starts_with('[') {
                    return Err(NoPacket);
                }
                match kind {
                    "2" => Ok(Self::Event { ack, arguments }),
                    "5" => Ok(Self::BinaryEvent { ack, arguments, attachments }),
                    _ => ack.map(|_| Self::Ignored(attachments)).ok_or(NoPacket),
                }
            }
            _ => Err(NoPacket),
        }
    }
}

/// Splits the namespace off, which ends with a comma unless it is the default one. Parameters after
/// its name, which old clients send, are no part of it.
fn namespace(text: &str) -> Result<(&str, &str), NoPacket> {
    if !text.starts_with('/') {
        return Ok((ROOT, text));
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    let name = name.split('?').next().unwrap_or_default();
    if name.len() > MAX_NAMESPACE { Err(NoPacket) } else { Ok((name, rest)) }
}

/// Splits a number off, if there is one.
fn number(text: &str) -> Result<(Option<u64>, &str), NoPacket> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Ok((None, rest));
    }
    number.parse().map(|number| (Some(number), rest)).map_err(|_| NoPacket)
}

/// Parses `["event", data, …]`: the name, which is empty if it is no text, and the first argument,
/// which is empty if there is none.
///
/// # Errors
/// [`BadEvent`] if it is not JSON, or nested too deeply for this server.
pub fn arguments(text: &str) -> Result<(String, Payload), BadEvent> {
    let bad = BadEvent { name: None, message: "The event is not JSON, or is nested too deeply." };
    let Ok(Arguments { name, data }) = serde_json::from_str(text) else { return Err(bad) };
    // No event has a name that is no text.
    let name = name.and_then(|name| serde_json::from_str(name.get()).ok()).unwrap_or_default();
    match data.map(Payload::check) {
        None => Ok((name, Payload::default())),
        Some(Ok(data)) => Ok((name, data)),
        Some(Err(Unreadable)) => Err(bad),
    }
}

/// The first two elements of an array, in their JSON form; the others are skipped.
struct Arguments<'a> {
    name: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;

        impl<'de> Visitor<'de> for Array {
            type Value = Arguments<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arguments<'de>, A::Error> {
                let (name, data) = (seq.next_element()?, seq.next_element()?);
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Arguments { name, data })
            }
        }

        deserializer.deserialize_seq(Array)
    }
}

/// Returns the name at the beginning of `["event", …`, for an event that is not parsed any further.
pub fn event_name(arguments: &str) -> Option<String> {
    let text = arguments.strip_prefix('[')?.trim_start();
    let end = text.len().min(6 * MAX_NAME);
    let text = &text[..text.floor_char_boundary(end)];
    let mut names = serde_json::Deserializer::from_str(text).into_iter::<String>();
    names.next()?.ok().filter(|name| !name.is_empty() && name.len() <= MAX_NAME)
}

/// The largest number of bytes that a packet has around its payload: an event's name or a number.
const AROUND: usize = 64;

/// Writes a packet around a payload, which is JSON already.
fn around(head: std::fmt::Arguments<'_>, data: &JsonText) -> String {
    let mut text = String::with_capacity(AROUND + data.weight());
    text.write_fmt(head).expect("a text can be written to");
    text.push_str(data.as_str());
    text.push(']');
    text
}

/// Returns an event, as the packet of Engine.IO that carries it. Names of events need no escapes.
pub fn event(name: &'static str, data: &JsonText) -> String {
    around(format_args!(r#"42["{name}","#), data)
}

/// Returns the acknowledgement of an event.
pub fn ack(id: u64, data: &JsonText) -> String {
    around(format_args!("43{id}["), data)
}

/// Returns a packet: its digits, then JSON.
fn write(head: &str, json: &impl Serialize) -> String {
    format!("{head}{}", JsonText::of(json).as_str())
}

/// Returns the packet that connects the client, under the id `sid`. A client that keeps `pid` sends
/// it again when it reconnects (`socket.io-client` since 4.6).
pub fn connected(sid: &str, pid: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Connected<'a> {
        sid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<&'a str>,
    }
    write("40", &Connected { sid, pid })
}

/// The packet that connects the client, in protocol 4.
pub const CONNECTED_BEFORE: &str = "40";

/// Returns the packet that refuses the connection, with the reason.
pub fn refused(message: &str) -> String {
    #[derive(Serialize)]
    struct Refused<'a> {
        message: &'a str,
    }
    write("44", &Refused { message })
}

/// Returns the packet that refuses the connection in protocol 4.
pub fn refused_before(message: &str) -> String {
    write("44", &message)
}

/// Returns the packet for a namespace that does not exist.
pub fn no_namespace(name: &str) -> String {
    format!(r#"44{name},{{"message":"Invalid namespace"}}"#)
}

/// The packet that disconnects the client, which does not reconnect then.
pub const DISCONNECT: &str = "41";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn packets_are_parsed() {
        let event = |ack, arguments| Ok(Packet::Event { ack, arguments });
        for (text, packet) in [
            ("0", Ok(Packet::Connect(""))),
            (r#"0{"token":"t"}"#, Ok(Packet::Connect(r#"{"token":"t"}"#))),
            (r#"0/,{"token":"t"}"#, Ok(Packet::Connect(r#"{"token":"t"}"#))),
            ("0/admin,{}", Ok(Packet::ConnectElsewhere("/admin"))),
            ("0/admin?token=x", Ok(Packet::ConnectElsewhere("/admin"))),
            ("1", Ok(Packet::Disconnect)),
            ("1/admin,", Ok(Packet::Ignored(0))),
            (r#"2["a"]"#, event(None, r#"["a"]"#)),
            (r#"212["a",1]"#, event(Some(12), r#"["a",1]"#)),
            (r#"312["a"]"#, Ok(Packet::Ignored(0))),
            (r#"62-12["a"]"#, Ok(Packet::Ignored(2))),
            (
                r#"52-7["a",{"_placeholder":true,"num":0}]"#,
                Ok(Packet::BinaryEvent {
                    ack: Some(7),
                    arguments: r#"["a",{"_placeholder":true,"num":0}]"#,
                    attachments: 2,
                }),
            ),
        ] {
            assert_eq!(Packet::parse(text), packet, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_packet_is_refused() {
        for text in [
            "",
            "nonsense",
            "2",
            "2{}",
            "2abc[\"a\"]",
            "2-1[\"a\"]",
            "299999999999999999999[\"a\"]",
            "3[1]",
            "4{\"message\":\"m\"}",
            "5[\"a\"]",
            "51[\"a\"]",
            "7",
            "1x",
            "2/admin,[\"a\"]",
            "ü",
        ] {
            assert_eq!(Packet::parse(text), Err(NoPacket), "{text}");
        }
        assert_eq!(Packet::parse(&format!("0/{},", "x".repeat(1000))), Err(NoPacket));
    }

    #[test]
    fn arguments_are_parsed() {
        let read = |text| arguments(text).map(|(name, data)| (name, data.read::<Value>().unwrap()));
        assert_eq!(read(r#"["a"]"#), Ok(("a".into(), json!({}))));
        assert_eq!(read(r#"["a",{"b":1},2,[3]]"#), Ok(("a".into(), json!({ "b": 1 }))));
        assert_eq!(read("[5,6]"), Ok((String::new(), json!(6))));
        assert_eq!(read("[]"), Ok((String::new(), json!({}))));
        let deep = format!("[\"a\",{}{}]", "[".repeat(200), "]".repeat(200));
        for wrong in ["[", "[\"a\"", "[\"a\"]x", &deep] {
            assert!(arguments(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_name_of_a_long_event_is_read() {
        assert_eq!(event_name(r#"["call:end",{"a":"#).as_deref(), Some("call:end"));
        assert_eq!(event_name(r#"[ "a\"b" , 1"#).as_deref(), Some("a\"b"));
        for wrong in ["", "[", "[5]", r#"[""]"#, r#"["a"#, r#"{"a":1}"#] {
            assert_eq!(event_name(wrong), None, "{wrong}");
        }
        assert_eq!(event_name(&format!("[\"{}\"]", "ü".repeat(1000))), None);
    }

    #[test]
    fn packets_are_written() {
        let data = JsonText::of(&json!({ "callId": "x" }));
        assert_eq!(event("call:ended", &data), r#"42["call:ended",{"callId":"x"}]"#);
        assert_eq!(ack(7, &data), r#"437[{"callId":"x"}]"#);
        assert_eq!(connected("s", None), r#"40{"sid":"s"}"#);
        assert_eq!(connected("s", Some("p")), r#"40{"sid":"s","pid":"p"}"#);
        assert_eq!(refused("no: \"x\""), r#"44{"message":"no: \"x\""}"#);
        assert_eq!(refused_before("no"), r#"44"no""#);
        assert_eq!(no_namespace("/a"), r#"44/a,{"message":"Invalid namespace"}"#);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[0-9/,\\[\\]\"{}a-eü-]{0,60}") {
            if let Ok(Packet::Event { arguments: text, .. }) = Packet::parse(&text) {
                let _ = (arguments(text), event_name(text));
            }
        }

        #[test]
        fn an_event_is_parsed_as_it_was_written(name in ".{1,60}", ack in any::<Option<u64>>()) {
            let data = json!({ "text": name });
            let id = ack.map(|id| id.to_string()).unwrap_or_default();
            let text = format!("2{id}{}", json!([name, data]));
            let Ok(Packet::Event { ack: read, arguments: rest }) = Packet::parse(&text) else {
                return Err(TestCaseError::fail("it is an event"));
            };
            prop_assert_eq!(read, ack);
            prop_assert_eq!(event_name(rest).filter(|_| name.len() <= MAX_NAME),
                Some(name.clone()).filter(|_| name.len() <= MAX_NAME));
            let (read, payload) = arguments(rest).unwrap();
            prop_assert_eq!((read, payload.read::<Value>().unwrap()), (name, data));
        }
    }
}
