//! The check that any parser can read a payload.

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Unreadable;

/// The deepest nesting of objects and arrays. JSON parsers stop at depths of their own, and
/// a client must not be sent text that it cannot read: with the frame around it, this is within the
/// 127 levels that `serde_json` reads.
pub(super) const MAX_DEPTH: usize = 126;

/// Checks that any parser can read a value that is well-formed, and that it is nested no deeper
/// than `depth`.
///
/// # Errors
/// [`Unreadable`] otherwise.
pub(super) fn check(value: &RawValue, depth: usize) -> Result<(), Unreadable> {
    if is_plain(value) {
        return Ok(());
    }
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    Validator { depth }.deserialize(&mut deserializer).map_err(|_| Unreadable)
}

/// A visitor that goes through a value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Validator {
    depth: usize,
}

impl Validator {
    /// Returns the validator of what is inside an object or array.
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        depth.map(|depth| Self { depth }).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Validator {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Validator {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// Returns true if nothing can be wrong with a value that is well-formed: it is a word, or a text
/// in which every character stands for itself or is escaped by one letter.
fn is_plain(value: &RawValue) -> bool {
    match value.get().as_bytes().first() {
        Some(b'"') => !value.get().contains("\\u"),
        Some(b't' | b'f' | b'n') => true,
        _ => false,
    }
}
