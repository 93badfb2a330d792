//! The packets of Engine.IO, the layer below Socket.IO: a digit for the type, then the content.
//!
//! Protocol 4, <https://socket.io/docs/v4/engine-io-protocol/>, and protocol 3, which clients 1.x
//! and 2.x of Socket.IO use: there the client pings, and a payload contains the lengths of its
//! packets.

use serde::Serialize;

/// The separator of the packets of a payload in protocol 4.
const SEPARATOR: u8 = 0x1e;

/// The longest content of a ping, in bytes: the only one in use is `probe`.
const MAX_PING: usize = 16;

/// The version of the protocol that a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// `EIO=3`, with Socket.IO protocol 4.
    Three,
    /// `EIO=4`, with Socket.IO protocol 5.
    Four,
}

/// A packet that a client sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The client closes the transport.
    Close,
    /// A ping, to be answered with the same content.
    Ping(&'a str),
    /// The answer to the server's ping.
    Pong,
    /// A packet of Socket.IO.
    Message(&'a str),
    /// The client switches to this transport.
    Upgrade,
    /// A packet without a meaning.
    Noop,
    /// Binary data, on a transport that carries it as text.
    Binary,
}

/// A text that is no packet.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPacket;

/// The packet that closes the transport.
pub const CLOSE: &str = "1";
/// The server's ping.
pub const PING: &str = "2";
/// A packet without a meaning, which ends a poll.
pub const NOOP: &str = "6";

impl<'a> Packet<'a> {
    /// Parses a text.
    ///
    /// # Errors
    /// [`NoPacket`] if it is no packet that a client may send.
    pub fn parse(text: &'a str) -> Result<Self, NoPacket> {
        let (kind, content) = text.split_at_checked(1).ok_or(NoPacket)?;
        match (kind, content) {
            ("1", "") => Ok(Self::Close),
            ("2", content) if content.len() <= MAX_PING => Ok(Self::Ping(content)),
            ("3", _) => Ok(Self::Pong),
            ("4", content) => Ok(Self::Message(content)),
            ("5", "") => Ok(Self::Upgrade),
            ("6", "") => Ok(Self::Noop),
            ("b", _) => Ok(Self::Binary),
            _ => Err(NoPacket),
        }
    }
}

/// The content of the first packet.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    sid: &'a str,
    upgrades: &'a [&'a str],
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: usize,
}

/// Returns the first packet of a session; times are in milliseconds, `max_payload` in bytes.
pub fn open(
    sid: &str,
    upgrades: &[&str],
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: usize,
) -> String {
    let open = Open { sid, upgrades, ping_interval, ping_timeout, max_payload };
    let json = serde_json::to_string(&open).expect("texts and numbers are JSON");
    format!("0{json}")
}

/// Splits the payload of a POST into its packets. An item is an error if the rest is no packet.
pub fn packets(revision: Revision, payload: &str) -> Packets<'_> {
    Packets { revision, rest: Some(payload) }
}

/// The iterator that [`packets`] returns.
#[derive(Debug)]
pub struct Packets<'a> {
    revision: Revision,
    rest: Option<&'a str>,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<&'a str, NoPacket>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        match self.revision {
            Revision::Four => {
                let (packet, rest) = match rest.split_once(char::from(SEPARATOR)) {
                    Some((packet, rest)) => (packet, Some(rest)),
                    None => (rest, None),
                };
                self.rest = rest;
                Some(Ok(packet))
            }
            Revision::Three => match counted(rest) {
                Some((packet, rest)) => {
                    self.rest = (!rest.is_empty()).then_some(rest);
                    Some(Ok(packet))
                }
                None => Some(Err(NoPacket)),
            },
        }
    }
}

/// Splits `<length>:<packet>` off; the length counts UTF-16 units, as JavaScript does.
fn counted(payload: &str) -> Option<(&str, &str)> {
    let (length, rest) = payload.split_once(':')?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: usize = length.parse().ok()?;
    let mut units = 0;
    for (at, char) in rest.char_indices() {
        if units >= length {
            return (units == length).then(|| rest.split_at(at));
        }
        units += char.len_utf16();
    }
    (units == length).then_some((rest, ""))
}

/// Adds a packet to the payload that answers a poll.
pub fn append(revision: Revision, payload: &mut String, packet: &str) {
    match revision {
        Revision::Four => {
            if !payload.is_empty() {
                payload.push(char::from(SEPARATOR));
            }
        }
        Revision::Three => {
            let units: usize = packet.chars().map(char::len_utf16).sum();
            payload.push_str(&units.to_string());
            payload.push(':');
        }
    }
    payload.push_str(packet);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [Revision; 2] = [Revision::Three, Revision::Four];

    #[test]
    fn packets_are_parsed() {
        for (text, packet) in [
            ("1", Ok(Packet::Close)),
            ("2", Ok(Packet::Ping(""))),
            ("2probe", Ok(Packet::Ping("probe"))),
            ("3", Ok(Packet::Pong)),
            ("4", Ok(Packet::Message(""))),
            ("42[\"a\"]", Ok(Packet::Message("2[\"a\"]"))),
            ("5", Ok(Packet::Upgrade)),
            ("6", Ok(Packet::Noop)),
            ("bAQID", Ok(Packet::Binary)),
            ("", Err(NoPacket)),
            ("0{}", Err(NoPacket)),
            ("7", Err(NoPacket)),
            ("abc", Err(NoPacket)),
            ("ü", Err(NoPacket)),
        ] {
            assert_eq!(Packet::parse(text), packet, "{text}");
        }
    }

    #[test]
    fn the_first_packet_has_what_a_client_needs() {
        assert_eq!(
            open("x", &["websocket"], 25_000, 20_000, 65_536),
            r#"0{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":65536}"#
        );
    }

    #[test]
    fn a_payload_has_several_packets() {
        let read = |revision, payload| packets(revision, payload).collect::<Vec<_>>();
        assert_eq!(read(Revision::Four, "4a\x1e2\x1e4b"), [Ok("4a"), Ok("2"), Ok("4b")]);
        assert_eq!(read(Revision::Four, "4a\x1e"), [Ok("4a"), Ok("")]);
        assert_eq!(
            read(Revision::Three, "2:4a1:23:4ü\u{1f600}"),
            [Ok("4a"), Ok("2"), Err(NoPacket)]
        );
        assert_eq!(read(Revision::Three, "4:4ü\u{1f600}1:1"), [Ok("4ü\u{1f600}"), Ok("1")]);
        for wrong in ["", "4a", ":4a", "-1:4", "3:4a", "99999999999999999999999:4", "+2:4a"] {
            assert_eq!(read(Revision::Three, wrong), [Err(NoPacket)], "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn written_packets_are_parsed_again(texts in prop::collection::vec("[^\\x1e]{0,20}", 1..8)) {
            for revision in BOTH {
                let mut payload = String::new();
                let written: Vec<_> = texts.iter().map(|text| format!("4{text}")).collect();
                written.iter().for_each(|packet| append(revision, &mut payload, packet));
                let read: Result<Vec<_>, _> = packets(revision, &payload).collect();
                prop_assert_eq!(read.unwrap(), written);
            }
        }

        #[test]
        fn no_text_causes_a_panic(text in ".{0,200}") {
            for revision in BOTH {
                for packet in packets(revision, &text).take(1000).flatten() {
                    let _ = Packet::parse(packet);
                }
            }
        }
    }
}
