//! The payloads of a call with audio and video, as long as those of browsers.

use serde_json::{Value, json};

/// The number of candidates of each side: of two networks, one reflexive, one relayed.
pub(super) const CANDIDATES: usize = 4;

/// The kind of a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Answer,
}

/// The payloads of a call, each without the call's ID, which is put in front.
#[derive(Debug)]
pub(super) struct Bodies {
    offer: String,
    answer: String,
    candidates: [String; CANDIDATES],
}

impl Bodies {
    pub(super) fn new() -> Self {
        let description = |kind| rest(&json!({ "sdp": sdp(kind) }));
        let candidate = |number| rest(&json!({ "candidate": candidate(number) }));
        Self {
            offer: description(Kind::Offer),
            answer: description(Kind::Answer),
            candidates: std::array::from_fn(candidate),
        }
    }

    /// Returns the payload of a description.
    pub(super) fn description(&self, call: &str, kind: Kind) -> String {
        let rest = match kind {
            Kind::Offer => &self.offer,
            Kind::Answer => &self.answer,
        };
        format!(r#"{{"callId":"{call}",{rest}"#)
    }

    /// Returns the payload of each candidate.
    pub(super) fn candidates(&self, call: &str) -> impl Iterator<Item = String> {
        self.candidates.iter().map(move |rest| format!(r#"{{"callId":"{call}",{rest}"#))
    }
}

/// Returns the text of an object without its first brace.
fn rest(object: &Value) -> String {
    object.to_string().split_off(1)
}

fn candidate(number: usize) -> Value {
    let path = match number {
        0 => "2122260223 192.0.2.7 54321 typ host",
        1 => "2122194687 2001:db8::7 54322 typ host",
        2 => "1686052607 198.51.100.7 61234 typ srflx raddr 192.0.2.7 rport 54321",
        _ => "41885439 203.0.113.9 49170 typ relay raddr 198.51.100.7 rport 61234",
    };
    json!({
        "candidate": format!("candidate:{} 1 udp {path} generation 0 ufrag EsAw network-id 1", 842_163_049 + number),
        "sdpMid": "0",
        "sdpMLineIndex": 0,
        "usernameFragment": "EsAw",
    })
}

/// Creates a description with a section for audio and one for video. An offer names every codec, an
/// answer those that were chosen.
fn sdp(kind: Kind) -> String {
    let (setup, audio, video) = match kind {
        Kind::Offer => ("actpass", AUDIO, VIDEO),
        Kind::Answer => ("active", &AUDIO[..2], &VIDEO[..4]),
    };
    let mut lines = vec![
        "v=0".to_owned(),
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1".into(),
        "s=-".into(),
        "t=0 0".into(),
        "a=group:BUNDLE 0 1".into(),
        "a=extmap-allow-mixed".into(),
        "a=msid-semantic: WMS 5f2c6c4e-0a43-4f3b-9d5e-6c1b7d0e8a91".into(),
    ];
    for (mid, media, codecs) in [("0", "audio", audio), ("1", "video", video)] {
        let types: Vec<_> = codecs.iter().map(|(number, ..)| number.to_string()).collect();
        lines.push(format!("m={media} 9 UDP/TLS/RTP/SAVPF {}", types.join(" ")));
        lines.extend(
            ["c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", "a=ice-ufrag:EsAw"].map(Into::into),
        );
        lines.push("a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1".into());
        lines.push("a=ice-options:trickle".into());
        lines.push(format!("a=fingerprint:sha-256 {}", ["7B"; 32].join(":")));
        lines.push(format!("a=setup:{setup}"));
        lines.push(format!("a=mid:{mid}"));
        for (number, uri) in EXTENSIONS.iter().enumerate() {
            lines.push(format!("a=extmap:{} {uri}", number + 1));
        }
        lines.extend(["a=sendrecv", "a=rtcp-mux", "a=rtcp-rsize"].map(Into::into));
        for (number, name, parameters) in codecs {
            lines.push(format!("a=rtpmap:{number} {name}"));
            if !parameters.is_empty() {
                lines.push(format!("a=fmtp:{number} {parameters}"));
            }
            if media == "video" && !name.starts_with("rtx") {
                lines.push(format!("a=rtcp-fb:{number} transport-cc"));
                lines.push(format!("a=rtcp-fb:{number} nack pli"));
            }
        }
        lines.push(format!("a=ssrc:2231627014 cname:{media}-4TOk42mSjXCkVIa6"));
    }
    lines.push(String::new());
    lines.join("\r\n")
}

/// Payload types, codecs and their parameters.
type Codec = (u8, &'static str, &'static str);

const AUDIO: &[Codec] = &[
    (111, "opus/48000/2", "minptime=10;useinbandfec=1"),
    (63, "red/48000/2", "111/111"),
    (9, "G722/8000", ""),
    (0, "PCMU/8000", ""),
    (8, "PCMA/8000", ""),
    (126, "telephone-event/8000", ""),
];

const VIDEO: &[Codec] = &[
    (96, "VP8/90000", ""),
    (97, "rtx/90000", "apt=96"),
    (102, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (103, "rtx/90000", "apt=102"),
    (45, "AV1/90000", "level-idx=5;profile=0;tier=0"),
    (46, "rtx/90000", "apt=45"),
    (98, "VP9/90000", "profile-id=0"),
    (99, "rtx/90000", "apt=98"),
];

const EXTENSIONS: &[&str] = &[
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:ietf:params:rtp-hdrext:sdes:mid",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_as_long_as_those_of_browsers() {
        let bodies = Bodies::new();
        let sdp = |kind| {
            let body: Value = serde_json::from_str(&bodies.description("x", kind)).unwrap();
            assert_eq!(body["callId"], "x");
            body["sdp"].as_str().unwrap().to_owned()
        };
        let (offer, answer) = (sdp(Kind::Offer), sdp(Kind::Answer));
        assert!((2000..3000).contains(&offer.len()), "{}", offer.len());
        assert!((1500..2500).contains(&answer.len()), "{}", answer.len());
        let candidates: Vec<_> = bodies.candidates("x").collect();
        assert_eq!(candidates.len(), CANDIDATES);
        for candidate in candidates {
            let body: Value = serde_json::from_str(&candidate).unwrap();
            assert!(body["candidate"]["candidate"].as_str().unwrap().starts_with("candidate:"));
        }
    }
}
