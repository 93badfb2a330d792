//! The kinds of single values, told apart by their text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A text, borrowed where it has no escapes.
#[derive(Debug, Deserialize)]
pub struct Text<'a>(
    /// The text.
    #[serde(borrow)]
    pub Cow<'a, str>,
);

/// Returns the text that a value is, if it is one.
pub(crate) fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    is_text(value).then_some(())?;
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|Text(text)| text)
}

/// Returns true if the value is an object.
pub(crate) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// Returns true if the value is a text.
pub(crate) fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
}
