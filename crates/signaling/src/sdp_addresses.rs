//! The IP addresses that a side of a call names as its own in its candidates and descriptions, to
//! which the other side's allocations may send. Nothing else is read, and nothing is kept or
//! logged.
//!
//! Text that cannot be read as an address names none: mDNS names (`….local`) among them, which only
//! the other side's network could resolve.

use std::net::IpAddr;

/// The largest number of addresses of one description that count. A browser names one for each of
/// its networks, and its relayed ones.
pub(super) const MAX: usize = 64;

/// Returns the address in the line of a candidate.
pub(super) fn in_candidate(line: &str) -> Vec<IpAddr> {
    of_candidate(line).into_iter().collect()
}

/// Returns the addresses in the lines of a session description, each once.
pub(super) fn in_description<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in lines {
        if let Some(ip) = of_candidate(line).or_else(|| of_connection(line))
            && !found.contains(&ip)
        {
            found.push(ip);
            if found.len() == MAX {
                break;
            }
        }
    }
    found
}

/// Reads `candidate:<foundation> <component> <transport> <priority> <address> <port> …`, in a
/// description after `a=` (RFC 8839 §5.1). Nothing is sent to the related address at its end.
fn of_candidate(line: &str) -> Option<IpAddr> {
    let line = line.strip_prefix("a=").unwrap_or(line).strip_prefix("candidate:")?;
    address(line.split_ascii_whitespace().nth(4)?)
}

/// Reads `c=IN IP4 <address>`, for multicast with a time to live after a slash (RFC 8866 §5.7).
fn of_connection(line: &str) -> Option<IpAddr> {
    let word = line.strip_prefix("c=")?.split_ascii_whitespace().nth(2)?;
    address(word.split('/').next()?)
}

fn address(word: &str) -> Option<IpAddr> {
    let ip = word.parse::<IpAddr>().ok()?.to_canonical();
    // "c=IN IP4 0.0.0.0" is what a description with no candidate yet says (RFC 8840 §4.1.1).
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Payload,
        relayed_content::{Candidate, Description},
    };

    /// Returns the addresses named in the payload of an `ice:candidate`; none if it is refused.
    fn in_candidate(data: &Value) -> Vec<IpAddr> {
        let payload = Payload::from(data.clone());
        let candidate = Candidate::read(&payload.fields().unwrap());
        candidate.map(|candidate| candidate.addresses()).unwrap_or_default()
    }

    /// Returns the addresses named in the payload of a `signal:offer`; none if it is refused.
    fn in_description(data: &Value) -> Vec<IpAddr> {
        let payload = Payload::from(data.clone());
        let description = Description::read(&payload.fields().unwrap());
        description.map(|description| description.addresses()).unwrap_or_default()
    }

    fn texts(found: Vec<IpAddr>) -> Vec<String> {
        found.into_iter().map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn the_address_of_a_candidate_is_found_in_each_form() {
        let line = "candidate:842163049 1 udp 1677729535 203.0.113.9 46154 typ srflx raddr \
                    10.0.0.17 rport 46154 generation 0 ufrag EEtu network-cost 999";
        for data in [
            json!({ "candidate": line }),
            json!({ "candidate": format!("a={line}") }),
            json!({ "candidate": { "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0 } }),
        ] {
            assert_eq!(texts(in_candidate(&data)), ["203.0.113.9"]);
        }
        for (address, named) in [
            ("2001:db8::9", Some("2001:db8::9")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("9a3e2f6c-7b5f-4f0e-8a55-3c1f7d3a1b11.local", None),
            ("host.example.com", None),
            ("0.0.0.0", None),
            ("::", None),
            ("1.2.3", None),
            ("1.2.3.4:5", None),
            ("fe80::1%eth0", None),
        ] {
            let line = format!("candidate:1 1 tcp 1 {address} 9 typ host tcptype active");
            let named: Vec<_> = named.into_iter().collect();
            assert_eq!(texts(in_candidate(&json!({ "candidate": line }))), named, "{address}");
        }
    }

    #[test]
    fn invalid_candidates_have_no_address() {
        for candidate in [
            json!(null),
            json!(""),
            json!("candidate:"),
            json!("candidate:1 1 udp 1"),
            json!("192.0.2.1"),
            json!({ "candidate": "" }),
            json!({ "address": "192.0.2.1" }),
            json!(["candidate:1 1 udp 1 192.0.2.1 9 typ host"]),
        ] {
            assert_eq!(texts(in_candidate(&json!({ "candidate": candidate }))), [""; 0]);
        }
    }

    #[test]
    fn a_description_has_the_addresses_of_its_candidates_and_connections() {
        let sdp = "v=0\r\no=- 1 2 IN IP4 198.51.100.77\r\ns=-\r\nt=0 0\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n\
                   a=rtcp:9 IN IP4 198.51.100.78\r\n\
                   a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
                   a=candidate:2 1 udp 1 203.0.113.9 9 typ srflx raddr 198.51.100.79 rport 9\r\n\
                   a=candidate:3 1 udp 1 x.local 9 typ host\r\n\
                   a=remote-candidates:1 198.51.100.80 9\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP6 2001:db8::1\r\n\
                   a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
                   m=application 9 x\r\nc=IN IP4 192.0.2.44/127\r\n";
        let named = ["192.0.2.1", "203.0.113.9", "2001:db8::1", "192.0.2.44"];
        assert_eq!(texts(in_description(&json!({ "sdp": sdp }))), named);
        let whole = json!({ "sdp": { "type": "offer", "sdp": sdp.replace("\r\n", "\n") } });
        assert_eq!(texts(in_description(&whole)), named);
        assert_eq!(texts(in_description(&json!({ "sdp": 7 }))), [""; 0]);
    }

    #[test]
    fn only_the_first_of_a_thousand_addresses_are_returned() {
        let line = |n| format!("a=candidate:1 1 udp 1 10.0.{}.{} 9 typ host\n", n / 256, n % 256);
        let sdp: String = (0..1000).map(line).collect();
        assert_eq!(in_description(&json!({ "sdp": sdp })).len(), MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(a=|c=|candidate:|IN IP4 |[ -~]|\r\n|\\PC){0,40}") {
            in_candidate(&json!({ "candidate": text }));
            let named = in_description(&json!({ "sdp": text })).len();
            prop_assert!(named <= MAX);
        }
    }
}
