//! What one side of a call sent and the other could not get yet.
//!
//! Browsers throw on a candidate that comes before the description it belongs to, so descriptions
//! go first. Everything is kept as JSON text: a parsed value may take many times the bytes that
//! the sender paid for.

use std::{collections::VecDeque, time::Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::signaling::Config;

/// Which of the two descriptions of an exchange it is (RFC 3264).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::signaling) enum DescriptionKind {
    Offer,
    Answer,
}

impl DescriptionKind {
    /// As a browser's `RTCSessionDescription` has it in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }
}

/// The journal would grow past its limits.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::signaling) struct JournalFull;

/// The journal of one direction of a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::signaling) struct Journal {
    candidates: VecDeque<Candidate>,
    candidate_bytes: usize,
    relayed: Relayed,
    /// In the order of arrival, at most one of each kind.
    descriptions: Vec<(DescriptionKind, Box<str>)>,
    /// The `ice-ufrag`s of the ICE generation that the sender described last.
    ufrags: Box<[Box<str>]>,
    /// Whether a description of the sender has gone to the other side.
    pub described: bool,
    /// Whether an offer of the sender was relayed or kept: the other side has something to answer.
    pub offered: bool,
    /// When candidates go on without a description: the due time of the hold timer.
    #[serde(skip)]
    pub hold_until: Option<Instant>,
}

/// What has gone to the other side in this ICE generation: for a device that comes back and has lost
/// it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Relayed {
    description: Option<(DescriptionKind, Box<str>)>,
    candidates: VecDeque<Box<str>>,
    candidate_bytes: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Candidate {
    json: Box<str>,
    /// The ICE generation it names (`usernameFragment`), if it does.
    ufrag: Option<Box<str>>,
}

/// What leaves the journal, in the order in which it is to be relayed: descriptions first.
#[derive(Debug, Default)]
pub(in crate::signaling) struct HandOver {
    pub descriptions: Vec<(DescriptionKind, Value)>,
    pub candidates: Vec<Value>,
}

impl Journal {
    /// Keeps the payload of an `ice:candidate`.
    pub fn keep_candidate(&mut self, data: &Value, limits: &Config) -> Result<(), JournalFull> {
        let json = data.to_string().into_boxed_str();
        if self.candidates.len() >= limits.journal_candidates
            || self.candidate_bytes + json.len() > limits.journal_bytes
        {
            return Err(JournalFull);
        }
        self.candidate_bytes += json.len();
        self.candidates.push_back(Candidate { json, ufrag: ufrag_of(data) });
        Ok(())
    }

    /// Keeps a description in place of an older one of its kind.
    pub fn keep_description(
        &mut self,
        kind: DescriptionKind,
        data: &Value,
        limits: &Config,
    ) -> Result<(), JournalFull> {
        let json = data.to_string().into_boxed_str();
        if json.len() > limits.journal_bytes {
            return Err(JournalFull);
        }
        self.descriptions.retain(|(kept, _)| *kept != kind);
        self.descriptions.push((kind, json));
        Ok(())
    }

    /// Takes note of the payload of an offer or an answer, whether it is then kept or relayed. If it begins a new ICE
    /// generation, that is if it shares no `ice-ufrag` with the one before (RFC 8839 §4.4.1.1.1),
    /// the kept candidates of the older one are dropped. Says how many were.
    pub fn note_description(&mut self, data: &Value) -> usize {
        // `sdp` is the text, or the browser's whole `{ type, sdp }`.
        let sdp = data["sdp"].as_str().or(data["sdp"]["sdp"].as_str());
        let ufrags = ice_ufrags(sdp.unwrap_or_default());
        if ufrags.is_empty() || ufrags.iter().any(|ufrag| self.ufrags.contains(ufrag)) {
            return 0;
        }
        let older = std::mem::replace(&mut self.ufrags, ufrags);
        if older.is_empty() {
            // What came before the first description belongs to it.
            return 0;
        }
        self.relayed = Relayed::default();
        let before = self.candidates.len();
        let ufrags = &self.ufrags;
        self.candidates
            .retain(|candidate| candidate.ufrag.as_ref().is_some_and(|u| ufrags.contains(u)));
        self.candidate_bytes = self.candidates.iter().map(|c| c.json.len()).sum();
        before - self.candidates.len()
    }

    /// Remembers a description that goes to the other side, if it is not too long.
    pub fn remember_description(&mut self, kind: DescriptionKind, data: &Value, limits: &Config) {
        let json = data.to_string().into_boxed_str();
        self.relayed.description = (json.len() <= limits.journal_bytes).then_some((kind, json));
    }

    /// The same for a candidate; the oldest ones give way.
    pub fn remember_candidate(&mut self, data: &Value, limits: &Config) {
        let json = data.to_string().into_boxed_str();
        let relayed = &mut self.relayed;
        relayed.candidate_bytes += json.len();
        relayed.candidates.push_back(json);
        while relayed.candidates.len() > limits.journal_candidates
            || relayed.candidate_bytes > limits.journal_bytes
        {
            let Some(oldest) = relayed.candidates.pop_front() else { return };
            relayed.candidate_bytes -= oldest.len();
        }
    }

    /// What has gone to the other side: the latest description, with its kind in `type`, and the
    /// candidates of its generation.
    pub fn relayed(&self) -> (Option<Value>, Vec<Value>) {
        // As in `hand_over`.
        let description = self.relayed.description.as_ref().and_then(|(kind, json)| {
            let mut data: Value = serde_json::from_str(json).ok()?;
            data["type"] = kind.as_str().into();
            Some(data)
        });
        let candidates = self.relayed.candidates.iter();
        (description, candidates.filter_map(|json| serde_json::from_str(json).ok()).collect())
    }

    /// Whether candidates may go to a side that is there: a description went before them, or
    /// goes with them.
    pub fn may_hand_over(&self) -> bool {
        self.described || !self.descriptions.is_empty()
    }

    /// Empties the journal.
    pub fn hand_over(&mut self) -> HandOver {
        self.candidate_bytes = 0;
        let descriptions = std::mem::take(&mut self.descriptions).into_iter();
        let candidates = std::mem::take(&mut self.candidates).into_iter();
        // The text was printed from a value. It can fail to parse only if that value was nested
        // deeper than any parser of ours allows, and such a value did not come over a wire.
        HandOver {
            descriptions: descriptions
                .filter_map(|(kind, json)| Some((kind, serde_json::from_str(&json).ok()?)))
                .collect(),
            candidates: candidates.filter_map(|c| serde_json::from_str(&c.json).ok()).collect(),
        }
    }

    /// How many candidates are kept.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// How many bytes are kept, descriptions included.
    pub fn bytes(&self) -> usize {
        self.candidate_bytes + self.descriptions.iter().map(|(_, json)| json.len()).sum::<usize>()
    }

    /// How many bytes are remembered of what was relayed.
    pub fn relayed_bytes(&self) -> usize {
        let description = self.relayed.description.as_ref().map_or(0, |(_, json)| json.len());
        self.relayed.candidate_bytes + description
    }
}

/// The ICE generation that a candidate names: in a field of its own as browsers write it, or in the
/// extension of the candidate line.
fn ufrag_of(data: &Value) -> Option<Box<str>> {
    let candidate = &data["candidate"];
    if let Some(ufrag) = candidate["usernameFragment"].as_str() {
        return Some(ufrag.into());
    }
    let line = candidate.as_str().or(candidate["candidate"].as_str())?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "ufrag");
    words.nth(1).map(Into::into)
}

/// The `ice-ufrag`s of a session description (RFC 8839 §5.4): one for the session, or one for each
/// media section. A sender that writes more of them than a call has streams, or longer ones than
/// are allowed, is not followed.
fn ice_ufrags(sdp: &str) -> Box<[Box<str>]> {
    let mut ufrags: Vec<Box<str>> = Vec::new();
    for line in sdp.lines() {
        let Some(ufrag) = line.strip_prefix("a=ice-ufrag:").map(str::trim_end) else { continue };
        if ufrag.len() <= 256 && ufrags.len() < 16 && !ufrags.iter().any(|known| **known == *ufrag)
        {
            ufrags.push(ufrag.into());
        }
    }
    ufrags.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sdp(ufrags: &[&str]) -> Value {
        let lines: String = ufrags.iter().map(|u| format!("a=ice-ufrag:{u}\r\n")).collect();
        json!({ "sdp": format!("v=0\r\n{lines}a=ice-pwd:x\r\n") })
    }

    fn candidate(n: u32) -> Value {
        json!({ "n": n, "candidate": { "candidate": "candidate:1" } })
    }

    fn candidate_of(n: u32, ufrag: &str) -> Value {
        json!({ "n": n, "candidate": { "candidate": "", "usernameFragment": ufrag } })
    }

    fn numbers(hand_over: &HandOver) -> Vec<u64> {
        hand_over.candidates.iter().map(|c| c["n"].as_u64().unwrap()).collect()
    }

    #[test]
    fn descriptions_leave_first_and_one_of_each_kind() {
        let limits = Config::default();
        let mut journal = Journal::default();
        journal.keep_candidate(&candidate(1), &limits).unwrap();
        assert!(!journal.may_hand_over());
        for (kind, n) in
            [(DescriptionKind::Answer, 2), (DescriptionKind::Offer, 3), (DescriptionKind::Offer, 4)]
        {
            journal.keep_description(kind, &json!({ "n": n }), &limits).unwrap();
        }
        assert!(journal.may_hand_over());
        let hand_over = journal.hand_over();
        assert_eq!(
            hand_over.descriptions,
            [
                (DescriptionKind::Answer, json!({ "n": 2 })),
                (DescriptionKind::Offer, json!({ "n": 4 }))
            ]
        );
        assert_eq!(numbers(&hand_over), [1]);
        assert_eq!((journal.len(), journal.bytes()), (0, 0));
    }

    #[test]
    fn a_newer_generation_drops_the_candidates_of_the_older() {
        let limits = Config::default();
        let mut journal = Journal::default();
        let keep = |journal: &mut Journal, data| journal.keep_candidate(&data, &limits).unwrap();
        keep(&mut journal, candidate(1));
        assert_eq!(journal.note_description(&sdp(&["one"])), 0);
        keep(&mut journal, candidate(2));
        keep(&mut journal, candidate_of(3, "one"));
        keep(&mut journal, candidate_of(4, "two"));
        assert_eq!(journal.note_description(&sdp(&["one"])), 0);
        assert_eq!(journal.note_description(&json!({ "sdp": "v=0\r\n" })), 0);
        assert_eq!(journal.note_description(&json!({ "sdp": sdp(&["two"]) })), 3);
        keep(&mut journal, candidate(5));
        assert_eq!(numbers(&journal.hand_over()), [4, 5]);
    }

    #[test]
    fn a_section_that_is_added_begins_no_generation() {
        let mut journal = Journal::default();
        journal.note_description(&sdp(&["one"]));
        journal.keep_candidate(&candidate(1), &Config::default()).unwrap();
        assert_eq!(journal.note_description(&sdp(&["one", "two"])), 0);
        assert_eq!(journal.len(), 1);
    }

    #[test]
    fn the_generation_of_a_candidate_is_read_from_both_places() {
        let line = "candidate:1 1 udp 1 192.0.2.1 9 typ host generation 0 ufrag abcd network-id 1";
        for data in [
            json!({ "candidate": line }),
            json!({ "candidate": { "candidate": line } }),
            candidate_of(1, "abcd"),
        ] {
            assert_eq!(ufrag_of(&data).as_deref(), Some("abcd"));
        }
        for data in [json!({ "candidate": null }), json!({ "candidate": "" }), candidate(1)] {
            assert_eq!(ufrag_of(&data), None);
        }
    }

    proptest! {
        #[test]
        fn it_never_grows_past_its_limits(
            sizes in prop::collection::vec(0usize..400, 0..100),
            max_candidates in 0usize..20,
            max_bytes in 0usize..2000,
        ) {
            let limits = Config {
                journal_candidates: max_candidates,
                journal_bytes: max_bytes,
                ..Config::default()
            };
            let mut journal = Journal::default();
            let mut kept = 0;
            for size in sizes {
                let data = json!({ "candidate": "x".repeat(size) });
                kept += usize::from(journal.keep_candidate(&data, &limits).is_ok());
                let _ = journal.keep_description(DescriptionKind::Offer, &data, &limits);
                prop_assert!(journal.len() <= max_candidates);
                prop_assert!(journal.candidate_bytes <= max_bytes);
                prop_assert!(journal.bytes() <= 2 * max_bytes);
            }
            prop_assert_eq!(journal.hand_over().candidates.len(), kept);
        }
    }
}
