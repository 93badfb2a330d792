//! The payloads that one side of a call sends to another, as far as the server reads them. They are
//! relayed as the text that their sender wrote.

use std::{borrow::Cow, net::IpAddr};

use callbox_base::ids::{CallId, ParticipantId, RoomId};
use memchr::{memchr, memchr_iter};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use super::{
    ErrorCode, RequestError,
    payload::{Fields, is_object, is_text, text_of},
    sdp_addresses,
    sender::Sender,
};

/// An ICE candidate: what the browser's `RTCIceCandidate` prints as, its line alone, or null at the
/// end of candidates.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    line: Cow<'a, str>,
    /// The ICE generation it names in a field of its own, as browsers do.
    ufrag: Option<Cow<'a, str>>,
}

impl<'a> Candidate<'a> {
    /// Reads the payload of an `ice:candidate`.
    ///
    /// # Errors
    /// `invalid_payload`
    pub(crate) fn read(fields: &Fields<'a>) -> Result<Self, RequestError> {
        let candidate = fields.get("candidate").ok_or_else(|| missing("candidate"))?;
        if candidate.get() == "null" {
            return Ok(Self { line: Cow::Borrowed(""), ufrag: None });
        }
        if let Some(line) = text_of(candidate) {
            return Ok(Self { line, ufrag: None });
        }
        let expected = "candidate: expected null, a text, or an object with the text `candidate`";
        let init = inner(candidate).ok_or_else(|| invalid(expected))?;
        let line = init.text("candidate").ok_or_else(|| invalid(expected))?;
        Ok(Self { line, ufrag: init.text("usernameFragment") })
    }

    /// Returns the ICE generation that it names: in a field of its own, or in the extension of the
    /// line.
    pub(crate) fn ufrag(&self) -> Option<&str> {
        self.ufrag.as_deref().or_else(|| {
            let words = self.line.split_ascii_whitespace();
            words.skip_while(|word| *word != "ufrag").nth(1)
        })
    }

    /// Returns the addresses that it names as its sender's.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        sdp_addresses::in_candidate(&self.line)
    }
}

/// A session description: the text, or the browser's whole `{ type, sdp }`.
#[derive(Debug)]
pub(super) struct Description<'a>(Sdp<'a>);

#[derive(Debug)]
enum Sdp<'a> {
    /// As JSON has it, where nothing but the ends of lines is escaped.
    Escaped(&'a str),
    Plain(Cow<'a, str>),
}

impl<'a> Description<'a> {
    /// Reads the payload of a `signal:offer` or `signal:answer`.
    ///
    /// # Errors
    /// `invalid_payload`
    pub(crate) fn read(fields: &Fields<'a>) -> Result<Self, RequestError> {
        let sdp = fields.get("sdp").ok_or_else(|| missing("sdp"))?;
        let text = if is_text(sdp) { Some(sdp) } else { inner(sdp).and_then(|sdp| sdp.get("sdp")) };
        let expected = "sdp: expected a text, or an object with the text `sdp`";
        text.and_then(Sdp::of).map(Self).ok_or_else(|| invalid(expected))
    }

    /// Returns its lines.
    pub(crate) fn lines(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.0 {
            Sdp::Plain(text) => Box::new(text.lines()),
            Sdp::Escaped(text) => Box::new(escaped_lines(text)),
        }
    }

    /// Returns the `ice-ufrag`s (RFC 8839 §5.4): one for the session, or one for each media
    /// section. Those past the number of streams that a call may have, and too long ones, are left
    /// out.
    pub(crate) fn ufrags(&self) -> Box<[Box<str>]> {
        let mut ufrags: Vec<Box<str>> = Vec::new();
        for line in self.lines() {
            let Some(ufrag) = line.strip_prefix("a=ice-ufrag:").map(str::trim_end) else {
                continue;
            };
            let is_new = !ufrags.iter().any(|known| **known == *ufrag);
            if ufrag.len() <= 256 && ufrags.len() < 16 && is_new {
                ufrags.push(ufrag.into());
            }
        }
        ufrags.into()
    }

    /// Returns the addresses that it names as its sender's.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        sdp_addresses::in_description(self.lines())
    }
}

impl<'a> Sdp<'a> {
    /// Returns the text of a value, if it is one. The many ends of lines stay escaped.
    fn of(value: &'a RawValue) -> Option<Self> {
        let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
        let mut escapes = memchr_iter(b'\\', text.as_bytes());
        let only_lines = escapes.all(|at| {
            let escape = &text.as_bytes()[at..];
            escape.starts_with(br"\n") || escape.starts_with(br"\r\n")
        });
        if only_lines { Some(Self::Escaped(text)) } else { text_of(value).map(Self::Plain) }
    }
}

/// Returns the lines of a text in which nothing but their ends is escaped.
fn escaped_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let after = after.strip_prefix(r"\r").unwrap_or(after);
        rest = after.strip_prefix(r"\n").unwrap_or(after);
        Some(line)
    })
}

/// A payload as its receivers get it: the sender's fields, and the fields that name the sender,
/// which only the server writes.
pub(super) struct Signed<'a> {
    pub call: CallId,
    pub sender: &'a Sender,
    /// The room and the sender's participant id, if it is a room.
    pub room: Option<(&'a RoomId, ParticipantId)>,
    pub fields: &'a Fields<'a>,
}

/// The fields that are not passed on from a sender's payload: those that only the server writes, so
/// that a side of a call cannot pass for somebody in a room, and the one that is meant for the
/// server.
const NOT_THE_SENDERS: &[&str] =
    &["callId", "from", "fromDevice", "roomId", "fromParticipant", "msgId"];

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("callId", &self.call)?;
        map.serialize_entry("from", self.sender.user.as_str())?;
        map.serialize_entry("fromDevice", self.sender.device.as_str())?;
        if let Some((room, participant)) = &self.room {
            map.serialize_entry("roomId", room.as_str())?;
            map.serialize_entry("fromParticipant", participant)?;
        }
        self.fields.but(NOT_THE_SENDERS).write(&mut map)?;
        map.end()
    }
}

fn inner(value: &RawValue) -> Option<Fields<'_>> {
    if is_object(value) { Fields::read(value.get()).ok() } else { None }
}

fn missing(field: &str) -> RequestError {
    invalid(&format!("missing field `{field}`"))
}

fn invalid(message: &str) -> RequestError {
    RequestError::new(ErrorCode::InvalidPayload, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Payload;

    fn ufrag_of(data: serde_json::Value) -> Option<String> {
        let payload = Payload::from(data);
        let candidate = Candidate::read(&payload.fields().unwrap()).unwrap();
        candidate.ufrag().map(Into::into)
    }

    #[test]
    fn the_lines_of_a_description_are_the_same_however_they_are_escaped() {
        let lines = |sdp: &str| {
            let payload = Payload::parse(&format!(r#"{{"sdp":"{sdp}"}}"#)).unwrap();
            let fields = payload.fields().unwrap();
            let description = Description::read(&fields).unwrap();
            description.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        for (sdp, expected) in [
            ("", &[][..]),
            ("v=0", &["v=0"]),
            (r"v=0\r\ns=-\r\n", &["v=0", "s=-"]),
            (r"v=0\ns=-\n\nt=0", &["v=0", "s=-", "", "t=0"]),
            (r"v=0\u000d\u000as=-\n", &["v=0", "s=-"]),
            (r"v=0\\nx\r\ns=\/", &[r"v=0\nx", "s=/"]),
            (r"v=0\rx\n", &["v=0\rx"]),
            (r"\r\n", &[""]),
        ] {
            assert_eq!(lines(sdp), expected, "{sdp}");
        }
    }

    #[test]
    fn the_generation_of_a_candidate_is_read_from_both_places() {
        let line = "candidate:1 1 udp 1 192.0.2.1 9 typ host generation 0 ufrag abcd network-id 1";
        for data in [
            json!({ "candidate": line }),
            json!({ "candidate": { "candidate": line } }),
            json!({ "candidate": { "candidate": line, "usernameFragment": null } }),
            json!({ "candidate": { "candidate": "", "usernameFragment": "abcd" } }),
        ] {
            assert_eq!(ufrag_of(data).as_deref(), Some("abcd"));
        }
        for data in [
            json!({ "candidate": null }),
            json!({ "candidate": "" }),
            json!({ "candidate": { "candidate": "candidate:1" } }),
        ] {
            assert_eq!(ufrag_of(data), None);
        }
    }
}
