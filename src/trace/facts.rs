//! The facts of a payload that a trace has. Everything else in it, such as descriptions and texts,
//! is not looked at.

use std::net::SocketAddr;

use callbox_base::ids::CallId;
use serde_json::{Map, Value};

use super::details::{CandidateAddress, Facts, TracedCandidate, Transport};

/// The longest word that is taken over, such as a reason: longer ones are texts.
const MAX_WORD: usize = 40;

/// The call that a payload names, and its facts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    /// The call.
    pub call: Option<CallId>,
    /// The facts.
    pub facts: Facts,
}

/// Reads the payload of an event. `has_reason` is true for events of the server, whose reasons are
/// a closed list; those of clients may be texts.
pub(super) fn read(event: &str, payload: &Map<String, Value>, has_reason: bool) -> Read {
    let call = payload.get("call").and_then(Value::as_object);
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let of_call = |name: &str| call.and_then(|call| call.get(name)).and_then(Value::as_str);
    let id = text("callId").or_else(|| of_call("id"));
    let facts = Facts {
        state: text("state").or_else(|| of_call("state")).and_then(word),
        call_type: text("callType").or_else(|| of_call("type")).and_then(word),
        reason: text("reason").filter(|_| has_reason).and_then(word),
        path: text("path").filter(|_| event == "call:stats").and_then(word),
        candidate: payload.get("candidate").filter(|_| event == "ice:candidate").map(candidate),
    };
    Read { call: id.and_then(|id| id.parse().ok()), facts }
}

/// Returns a text if it is a word of a closed list, by its form.
fn word(text: &str) -> Option<String> {
    let is_word = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(fits)
    };
    is_word(text).then(|| text.to_owned())
}

/// Reads a candidate: its line, an object with its line, or null at the end of candidates.
fn candidate(value: &Value) -> TracedCandidate {
    let line = match value {
        Value::Null => Some(""),
        Value::String(line) => Some(line.as_str()),
        value => value.get("candidate").and_then(Value::as_str),
    };
    match line {
        Some("") => TracedCandidate::End,
        Some(line) => of_line(line).unwrap_or(TracedCandidate::Unreadable),
        None => TracedCandidate::Unreadable,
    }
}

/// Reads `candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type>`
/// (RFC 8839 §5.1).
fn of_line(line: &str) -> Option<TracedCandidate> {
    let line = line.strip_prefix("a=").unwrap_or(line).strip_prefix("candidate:")?;
    let mut words = line.split_ascii_whitespace().skip(2);
    let transport = match words.next()?.to_ascii_lowercase().as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return None,
    };
    let (ip, port) = (words.nth(1)?, words.next()?.parse().ok()?);
    let address = ip.parse().ok().map(|ip: std::net::IpAddr| SocketAddr::new(ip, port));
    let address = CandidateAddress { transport, address };
    if words.next()? != "typ" {
        return None;
    }
    Some(match words.next()? {
        "host" => TracedCandidate::Host(address),
        "srflx" => TracedCandidate::Srflx(address),
        "prflx" => TracedCandidate::Prflx(address),
        "relay" => TracedCandidate::Relay(address),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(event: &str, payload: Value, of_server: bool) -> Read {
        read(event, payload.as_object().unwrap(), of_server)
    }

    const LINE: &str = "candidate:842163049 1 udp 1677729535 203.0.113.9 46154 typ srflx raddr \
                        10.0.0.17 rport 46154 generation 0 ufrag EEtu";

    #[test]
    fn a_candidate_has_its_type_its_protocol_and_its_address() {
        let address: SocketAddr = "203.0.113.9:46154".parse().unwrap();
        let expected = TracedCandidate::Srflx(CandidateAddress {
            transport: Transport::Udp,
            address: Some(address),
        });
        for candidate in [json!(LINE), json!(format!("a={LINE}")), json!({ "candidate": LINE })] {
            let read = facts("ice:candidate", json!({ "candidate": candidate }), false);
            assert_eq!(read.facts.candidate.as_ref(), Some(&expected));
            let text = serde_json::to_string(&read.facts).unwrap();
            for secret in ["842163049", "EEtu", "1677729535", "10.0.0.17"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        assert_eq!(expected.seen_by_stun(), Some(address));
        let hidden = "candidate:1 1 tcp 1 0a1b.local 9 typ host tcptype active";
        let read = facts("ice:candidate", json!({ "candidate": hidden }), false);
        let address = CandidateAddress { transport: Transport::Tcp, address: None };
        assert_eq!(read.facts.candidate, Some(TracedCandidate::Host(address)));
    }

    #[test]
    fn ends_and_unreadable_candidates_are_told_apart() {
        for (candidate, expected) in [
            (json!(null), TracedCandidate::End),
            (json!(""), TracedCandidate::End),
            (json!({ "candidate": "" }), TracedCandidate::End),
            (json!({}), TracedCandidate::Unreadable),
            (json!(7), TracedCandidate::Unreadable),
            (json!("candidate:1 1 udp 1 1.2.3.4"), TracedCandidate::Unreadable),
            (json!("candidate:1 1 sctp 1 1.2.3.4 5 typ host"), TracedCandidate::Unreadable),
            (json!("candidate:1 1 udp 1 1.2.3.4 5 typ ghost"), TracedCandidate::Unreadable),
        ] {
            let read = facts("ice:candidate", json!({ "candidate": candidate }), false);
            assert_eq!(read.facts.candidate, Some(expected), "{candidate}");
        }
    }

    #[test]
    fn nothing_else_of_a_payload_is_taken() {
        let payload = json!({
            "callId": "nonsense", "sdp": "v=0 secret", "data": { "text": "secret" },
            "metadata": "secret", "candidate": "secret", "reason": "secret", "state": "A Secret",
            "path": "../secret", "callType": 7, "turnCredentials": { "password": "secret" },
        });
        assert_eq!(facts("call:message", payload, false), Read::default());
    }

    #[test]
    fn the_call_and_its_state_are_found_in_each_form() {
        let id = "01KBZ0000000000000000000000"; // not an id
        assert_eq!(facts("x", json!({ "callId": id }), true).call, None);
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
        let call = CallId::generate(1, &mut rng);
        let top = json!({ "callId": call, "reason": "no_answer", "callType": "video" });
        let read = facts("call:ended", top, true);
        assert_eq!((read.call, read.facts.reason.as_deref()), (Some(call), Some("no_answer")));
        assert_eq!(read.facts.call_type.as_deref(), Some("video"));
        let inner = json!({ "call": { "id": call, "state": "ringing", "type": "audio" } });
        let read = facts("call:state", inner, true);
        assert_eq!((read.call, read.facts.state.as_deref()), (Some(call), Some("ringing")));
        assert_eq!(read.facts.call_type.as_deref(), Some("audio"));
    }
}
