//! The two framings of events, as far as a client needs them to make calls.

use serde::Deserialize;
use serde_json::json;

/// The framing between a client and a signaling server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// callbox's plain WebSocket: one JSON object a frame.
    WebSocket,
    /// Socket.IO 4 in Engine.IO 4, over WebSocket.
    SocketIo,
}

/// A message from the server.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming<'a> {
    /// An event, with its number if it has one.
    Event { name: &'a str, seq: Option<u64>, data: Data<'a> },
    /// The answer to a request.
    Answer { data: Data<'a> },
    /// Socket.IO's transport is open, and the server waits for the client to sign in.
    Open,
    /// Socket.IO has accepted the client.
    Connected,
    /// Socket.IO has refused the client, for this reason.
    Refused(&'a str),
    /// The server expects a pong.
    Ping,
}

/// The members of a payload that the load reads.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'a> {
    pub call_id: Option<&'a str>,
    pub error: Option<Error<'a>>,
}

/// The error of a refusal.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Error<'a> {
    pub code: &'a str,
}

/// A frame of the plain WebSocket.
#[derive(Deserialize)]
struct Frame<'a> {
    event: Option<&'a str>,
    seq: Option<u64>,
    #[serde(borrow, default)]
    data: Data<'a>,
}

/// The refusal of a Socket.IO connection.
#[derive(Deserialize)]
struct ConnectError<'a> {
    message: &'a str,
}

/// The packets of Engine.IO and within them of Socket.IO, by the digits that they begin with.
const OPEN: &str = "0";
const PING: &str = "2";
pub(super) const PONG: &str = "3";
const CONNECT: &str = "40";
const EVENT: &str = "42";
const ACK: &str = "43";
const CONNECT_ERROR: &str = "44";

impl Framing {
    /// Encodes the message that signs a client in.
    pub(crate) fn hello(self, token: &str) -> String {
        let mut user = json!({ "token": token, "deviceId": "load" });
        match self {
            Self::WebSocket => {
                user["protocol"] = 1.into();
                self.event("session:hello", None, &user.to_string())
            }
            Self::SocketIo => format!("{CONNECT}{user}"),
        }
    }

    /// Encodes an event with a payload that is JSON already, and the number of its answer if one is
    /// wanted.
    pub(crate) fn event(self, name: &str, id: Option<u64>, data: &str) -> String {
        match (self, id) {
            (Self::WebSocket, None) => format!(r#"{{"event":"{name}","data":{data}}}"#),
            (Self::WebSocket, Some(id)) => {
                format!(r#"{{"event":"{name}","id":{id},"data":{data}}}"#)
            }
            (Self::SocketIo, None) => format!(r#"{EVENT}["{name}",{data}]"#),
            (Self::SocketIo, Some(id)) => format!(r#"{EVENT}{id}["{name}",{data}]"#),
        }
    }

    /// Encodes the acknowledgement of the events up to this number, where events have numbers.
    pub(crate) fn acknowledge(self, seq: u64) -> Option<String> {
        (self == Self::WebSocket).then(|| format!(r#"{{"ack":{seq}}}"#))
    }

    /// Reads a message from the server; returns `None` if a client of calls need not know it.
    pub(super) fn read(self, text: &str) -> Option<Incoming<'_>> {
        match self {
            Self::WebSocket => {
                let Frame { event, seq, data } = serde_json::from_str(text).ok()?;
                Some(match event {
                    Some(name) => Incoming::Event { name, seq, data },
                    None => Incoming::Answer { data },
                })
            }
            Self::SocketIo => read_packet(text),
        }
    }
}

fn read_packet(text: &str) -> Option<Incoming<'_>> {
    if text == PING {
        return Some(Incoming::Ping);
    }
    if text.starts_with(OPEN) {
        return Some(Incoming::Open);
    }
    let (kind, rest) = text.split_at_checked(2)?;
    match kind {
        CONNECT => Some(Incoming::Connected),
        CONNECT_ERROR => {
            let error: ConnectError<'_> = serde_json::from_str(rest).ok()?;
            Some(Incoming::Refused(error.message))
        }
        EVENT => {
            let (name, data) = serde_json::from_str(rest).ok()?;
            Some(Incoming::Event { name, seq: None, data })
        }
        ACK => {
            let arguments = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            let (data,) = serde_json::from_str(arguments).ok()?;
            Some(Incoming::Answer { data })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"{"callId":"x","sdp":"v=0\r\n\"","error":{"code":"busy","message":"m"}}"#;

    fn data() -> Data<'static> {
        Data { call_id: Some("x"), error: Some(Error { code: "busy" }) }
    }

    #[test]
    fn both_framings_carry_the_same_events() {
        for (framing, expected, event, answer) in [
            (
                Framing::WebSocket,
                r#"{"event":"call:end","id":7,"data":{}}"#,
                format!(r#"{{"event":"call:ended","seq":3,"data":{DATA}}}"#),
                format!(r#"{{"re":7,"data":{DATA}}}"#),
            ),
            (
                Framing::SocketIo,
                r#"427["call:end",{}]"#,
                format!(r#"42["call:ended",{DATA}]"#),
                format!("437[{DATA}]"),
            ),
        ] {
            assert_eq!(framing.event("call:end", Some(7), "{}"), expected);
            let seq = framing.acknowledge(3).map(|_| 3);
            let heard = framing.read(&event);
            assert_eq!(heard, Some(Incoming::Event { name: "call:ended", seq, data: data() }));
            assert_eq!(framing.read(&answer), Some(Incoming::Answer { data: data() }));
            for noise in ["", "x", "4", "{}}", "42[", "42[1]", "ü"] {
                assert_eq!(framing.read(noise), None, "{noise}");
            }
        }
    }

    #[test]
    fn socket_io_has_packets_of_its_own() {
        let read = |text| Framing::SocketIo.read(text);
        assert_eq!(read(r#"0{"sid":"x"}"#), Some(Incoming::Open));
        assert_eq!(read(r#"40{"sid":"x"}"#), Some(Incoming::Connected));
        assert_eq!(
            read(r#"44{"message":"unauthorized: no"}"#),
            Some(Incoming::Refused("unauthorized: no"))
        );
        assert_eq!(read("2"), Some(Incoming::Ping));
        assert!(Framing::SocketIo.hello("t").starts_with(r#"40{"#));
    }
}
