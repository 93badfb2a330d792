//! The text of payloads that clients are sent.

use std::{cell::RefCell, sync::Arc};

use serde::Serialize;
use serde_json::value::RawValue;

/// The text of a JSON object, written once and shared by everyone who is sent it or keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

/// The bytes of memory that are kept for the next text: most events are shorter.
const SCRATCH: usize = 8 * 1024;

thread_local! {
    /// The buffer in which texts are written, since their length is not known before.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl JsonText {
    /// Writes a payload.
    ///
    /// # Panics
    /// If `serde` cannot write it as JSON: a map has keys that are no text, say.
    pub fn of(payload: &impl Serialize) -> Self {
        WRITTEN.with_borrow_mut(|written| {
            written.clear();
            serde_json::to_writer(&mut *written, payload)
                .expect("a payload has only keys of text, and nothing that fails");
            let text = std::str::from_utf8(written).expect("JSON is written as UTF-8").into();
            written.shrink_to(SCRATCH);
            Self(text)
        })
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number of bytes of the text.
    pub fn weight(&self) -> usize {
        self.0.len()
    }

    /// Makes a text that was kept in a file.
    pub(super) fn kept(text: Box<str>) -> Self {
        Self(text.into())
    }

    /// Returns true if both are one and the same text, and not only alike.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the text as a value of another payload; `None` for one that was read from a file and
    /// is not JSON.
    pub(super) fn raw(&self) -> Option<&RawValue> {
        serde_json::from_str(&self.0).ok()
    }

    /// Makes a text that a test has written.
    #[cfg(test)]
    pub fn written(text: String) -> Self {
        Self(text.into())
    }

    /// Returns the value, for tests.
    #[cfg(test)]
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).expect("it was written as JSON")
    }
}
