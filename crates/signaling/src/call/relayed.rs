//! The payloads that one side of a call was relayed, as far as they are remembered.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};

use super::DescriptionKind;
use crate::{Config, JsonText, payload::Fields};

/// The payloads that were relayed in this ICE generation, for a device that comes back and has lost
/// them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Relayed<T> {
    description: Option<(DescriptionKind, T)>,
    candidates: VecDeque<T>,
    #[serde(skip)]
    candidate_bytes: usize,
}

impl<T> Default for Relayed<T> {
    fn default() -> Self {
        Self { description: None, candidates: VecDeque::new(), candidate_bytes: 0 }
    }
}

impl Relayed<JsonText> {
    /// Remembers a description, if it is not too long.
    pub(super) fn set_description(
        &mut self,
        kind: DescriptionKind,
        json: &JsonText,
        limits: &Config,
    ) {
        let fits = json.weight() <= limits.journal_bytes;
        self.description = fits.then(|| (kind, json.clone()));
    }

    /// Remembers a candidate. Past the limits the oldest ones are forgotten.
    pub(super) fn push_candidate(&mut self, json: &JsonText, limits: &Config) {
        self.candidate_bytes += json.weight();
        self.candidates.push_back(json.clone());
        while self.candidates.len() > limits.journal_candidates
            || self.candidate_bytes > limits.journal_bytes
        {
            let Some(oldest) = self.candidates.pop_front() else { return };
            self.candidate_bytes -= oldest.weight();
        }
    }

    /// Returns the latest description, with its kind in `type`, and the candidates of its
    /// generation.
    pub(super) fn values(&self) -> (Option<Box<RawValue>>, Vec<Box<RawValue>>) {
        let description = self.description.as_ref().and_then(|(kind, json)| {
            let fields = Fields::read(json.as_str()).ok()?;
            to_raw_value(&WithKind { kind: *kind, fields: &fields }).ok()
        });
        let candidates = self.candidates.iter();
        (description, candidates.filter_map(|json| Some(json.raw()?.to_owned())).collect())
    }

    /// Returns the number of bytes.
    pub(super) fn bytes(&self) -> usize {
        let description = self.description.as_ref().map_or(0, |(_, json)| json.weight());
        self.candidate_bytes + description
    }

    /// Counts the bytes of the candidates anew.
    pub(super) fn count_bytes(&mut self) {
        self.candidate_bytes = self.candidates.iter().map(JsonText::weight).sum();
    }
}

impl<T> Relayed<T> {
    /// Returns the payloads with each text changed, or without the text if `change` returns `None`.
    pub(super) fn map<U>(&self, mut change: impl FnMut(&T) -> Option<U>) -> Relayed<U> {
        let description = self.description.as_ref();
        Relayed {
            description: description.and_then(|(kind, text)| Some((*kind, change(text)?))),
            candidates: self.candidates.iter().filter_map(&mut change).collect(),
            candidate_bytes: 0,
        }
    }
}

/// A description that was relayed, with its kind in `type`.
struct WithKind<'a> {
    kind: DescriptionKind,
    fields: &'a Fields<'a>,
}

impl Serialize for WithKind<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.fields.but(&["type"]).write(&mut map)?;
        map.serialize_entry("type", self.kind.as_str())?;
        map.end()
    }
}
