//! The journal of one direction of a call: payloads that the receiver cannot get yet.
//!
//! Browsers throw on a candidate that comes before the description it belongs to, so descriptions
//! go first. Everything is kept as the text that is relayed.

use std::{collections::VecDeque, time::Instant};

use callbox_base::{clock::TimerQueue, deadline::Deadline};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DescriptionKind, relayed::Relayed};
use crate::{
    Config, JsonText,
    relayed_content::{Candidate, Description},
    timer::Timer,
};

/// The error of a journal that would grow past its limits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JournalFull;

/// The journal of one direction of a call.
pub(crate) type Journal = JournalOf<JsonText>;

/// A journal with its texts, or with numbers that stand for them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JournalOf<T> {
    candidates: VecDeque<KeptCandidate<T>>,
    #[serde(skip)]
    candidate_bytes: usize,
    relayed: Relayed<T>,
    /// The descriptions in the order of arrival, at most one of each kind.
    descriptions: Vec<(DescriptionKind, T)>,
    /// The `ice-ufrag`s of the ICE generation that the sender described last.
    ufrags: Box<[Box<str>]>,
    /// True if a description of the sender was relayed.
    described: bool,
    /// True if an offer of the sender was relayed or kept, so that the other side may answer.
    offered: bool,
    /// The time at which candidates are sent on without a description.
    #[serde(skip)]
    hold: Deadline,
}

impl<T> Default for JournalOf<T> {
    fn default() -> Self {
        Self {
            candidates: VecDeque::new(),
            candidate_bytes: 0,
            relayed: Relayed::default(),
            descriptions: Vec::new(),
            ufrags: Box::default(),
            described: false,
            offered: false,
            hold: Deadline::default(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptCandidate<T> {
    json: T,
    /// The ICE generation that it names (`usernameFragment`), if any.
    ufrag: Option<Box<str>>,
}

/// The contents of a journal in the order in which they are relayed: descriptions first.
#[derive(Debug, Default)]
pub(crate) struct HandOver {
    pub descriptions: Vec<(DescriptionKind, JsonText)>,
    pub candidates: Vec<JsonText>,
}

impl JournalOf<JsonText> {
    /// Keeps the payload of an `ice:candidate`.
    pub(crate) fn keep_candidate(
        &mut self,
        json: &JsonText,
        candidate: &Candidate<'_>,
        limits: &Config,
    ) -> Result<(), JournalFull> {
        if self.candidates.len() >= limits.journal_candidates
            || self.candidate_bytes + json.weight() > limits.journal_bytes
        {
            return Err(JournalFull);
        }
        self.candidate_bytes += json.weight();
        let ufrag = candidate.ufrag().map(Into::into);
        self.candidates.push_back(KeptCandidate { json: json.clone(), ufrag });
        Ok(())
    }

    /// Keeps a description, which replaces an older one of its kind.
    pub(crate) fn keep_description(
        &mut self,
        kind: DescriptionKind,
        json: &JsonText,
        limits: &Config,
    ) -> Result<(), JournalFull> {
        if json.weight() > limits.journal_bytes {
            return Err(JournalFull);
        }
        self.descriptions.retain(|(kept, _)| *kept != kind);
        self.descriptions.push((kind, json.clone()));
        Ok(())
    }

    /// Notes an offer or an answer that is kept or relayed. If it begins a new ICE generation, that
    /// is if it shares no `ice-ufrag` with the one before (RFC 8839 §4.4.1.1.1), drops the kept
    /// candidates of the older one. Returns the number of dropped candidates.
    pub(crate) fn note_description(
        &mut self,
        kind: DescriptionKind,
        description: &Description<'_>,
    ) -> usize {
        self.offered |= kind == DescriptionKind::Offer;
        let ufrags = description.ufrags();
        if ufrags.is_empty() || ufrags.iter().any(|ufrag| self.ufrags.contains(ufrag)) {
            return 0;
        }
        let older = std::mem::replace(&mut self.ufrags, ufrags);
        if older.is_empty() {
            // Candidates before the first description belong to it.
            return 0;
        }
        self.relayed = Relayed::default();
        let before = self.candidates.len();
        let ufrags = &self.ufrags;
        self.candidates
            .retain(|candidate| candidate.ufrag.as_ref().is_some_and(|u| ufrags.contains(u)));
        self.candidate_bytes = self.candidates.iter().map(|c| c.json.weight()).sum();
        before - self.candidates.len()
    }

    /// Remembers a description that is relayed, if it is not too long.
    pub(crate) fn remember_description(
        &mut self,
        kind: DescriptionKind,
        json: &JsonText,
        limits: &Config,
    ) {
        self.described = true;
        self.relayed.set_description(kind, json, limits);
    }

    /// Remembers a candidate that is relayed.
    pub(crate) fn remember_candidate(&mut self, json: &JsonText, limits: &Config) {
        self.relayed.push_candidate(json, limits);
    }

    /// Returns what was relayed: the latest description, with its kind in `type`, and the
    /// candidates of its generation.
    pub(crate) fn relayed(&self) -> (Option<Box<RawValue>>, Vec<Box<RawValue>>) {
        self.relayed.values()
    }

    /// Returns the journal with a number for each text.
    pub(crate) fn numbered(&self, mut number: impl FnMut(&JsonText) -> u32) -> JournalOf<u32> {
        self.map(|text| Some(number(text)))
    }

    /// Returns true if candidates may be relayed: a description was relayed before them, or is with
    /// them.
    pub(crate) fn may_hand_over(&self) -> bool {
        self.described || !self.descriptions.is_empty()
    }

    /// Returns true if an offer of the sender was relayed or kept, so that the other side may
    /// answer.
    pub(crate) fn has_offered(&self) -> bool {
        self.offered
    }

    /// Returns true if a description of the sender was relayed.
    pub(crate) fn is_described(&self) -> bool {
        self.described
    }

    /// Starts the time for which candidates wait for their description, unless it runs already.
    pub(crate) fn start_hold(
        &mut self,
        until: Instant,
        timers: &mut TimerQueue<Timer>,
        timer: Timer,
    ) {
        if !self.hold.is_set() {
            self.hold.set(until, timers, timer);
        }
    }

    /// Stops the time for which candidates wait for their description.
    pub(crate) fn stop_hold(&mut self, timers: &mut TimerQueue<Timer>, timer: Timer) {
        self.hold.clear(timers, timer);
    }

    /// Returns true while candidates wait for their description.
    #[cfg(test)]
    pub(crate) fn is_on_hold(&self) -> bool {
        self.hold.is_set()
    }

    /// Empties the journal, and returns its contents, which are remembered as relayed.
    pub(crate) fn hand_over(&mut self, limits: &Config) -> HandOver {
        self.candidate_bytes = 0;
        let descriptions = std::mem::take(&mut self.descriptions);
        let candidates = std::mem::take(&mut self.candidates).into_iter();
        let candidates: Vec<_> = candidates.map(|candidate| candidate.json).collect();
        for (kind, json) in &descriptions {
            self.remember_description(*kind, json, limits);
        }
        for json in &candidates {
            self.remember_candidate(json, limits);
        }
        HandOver { descriptions, candidates }
    }

    /// Returns the number of kept candidates.
    pub(crate) fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Returns the number of kept bytes, descriptions included.
    pub(crate) fn bytes(&self) -> usize {
        self.candidate_bytes
            + self.descriptions.iter().map(|(_, json)| json.weight()).sum::<usize>()
    }

    /// Returns the number of bytes that are remembered of what was relayed.
    pub(crate) fn relayed_bytes(&self) -> usize {
        self.relayed.bytes()
    }
}

impl JournalOf<u32> {
    /// Returns the journal that this was made from. A text that is missing, or is not JSON, is left
    /// out.
    pub(crate) fn with_texts(&self, text: impl Fn(u32) -> Option<JsonText>) -> Journal {
        let mut journal = self.map(|number| text(*number).filter(|text| text.raw().is_some()));
        journal.candidate_bytes = journal.candidates.iter().map(|c| c.json.weight()).sum();
        journal.relayed.count_bytes();
        journal
    }
}

impl<T> JournalOf<T> {
    /// Returns the journal with each text changed, or without the text if `change` returns `None`.
    fn map<U>(&self, mut change: impl FnMut(&T) -> Option<U>) -> JournalOf<U> {
        let candidates = self.candidates.iter();
        let candidates = candidates
            .filter_map(|kept| {
                Some(KeptCandidate { json: change(&kept.json)?, ufrag: kept.ufrag.clone() })
            })
            .collect();
        let relayed = self.relayed.map(&mut change);
        let descriptions = self.descriptions.iter();
        let descriptions =
            descriptions.filter_map(|(kind, text)| Some((*kind, change(text)?))).collect();
        JournalOf {
            candidates,
            candidate_bytes: 0,
            relayed,
            descriptions,
            ufrags: self.ufrags.clone(),
            described: self.described,
            offered: self.offered,
            hold: Deadline::default(),
        }
    }
}

#[cfg(test)]
mod tests;
