//! The fields of an object, each with its value as it was written.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapDeserializer},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::values::{Text, text_of};

/// An error with the path of the field that it is about.
pub(super) type PathError = serde_path_to_error::Error<serde_json::Error>;

/// The fields of an object, ordered by name, each with its value as it was written. Of several with
/// one name the last one counts, as with `JSON.parse`.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Takes an object's text apart.
    ///
    /// # Errors
    /// The parser's error, if the text is not JSON, or no object.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns the fields of a payload.
    pub(super) fn borrowed(fields: &'a [(Box<str>, Box<RawValue>)]) -> Self {
        let fields = fields.iter().map(|(name, value)| (Cow::Borrowed(&**name), &**value));
        Self(fields.collect())
    }

    /// Takes the rest of an object apart.
    pub(super) fn collect<M: MapAccess<'a>>(mut map: M) -> Result<Self, M::Error> {
        let mut fields = Vec::with_capacity(4);
        while let Some((Text(name), value)) = map.next_entry::<Text<'a>, &'a RawValue>()? {
            fields.push((name, value));
        }
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        fields.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                earlier.1 = later.1;
            }
            is_same
        });
        Ok(Self(fields))
    }

    /// Returns the fields with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// Returns the value of a field, if it is there.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.binary_search_by(|(field, _)| (**field).cmp(name));
        found.ok().map(|at| self.0[at].1)
    }

    /// Returns the value of a field, if it is there and is not null.
    pub fn value(&self, name: &str) -> Option<&'a RawValue> {
        self.get(name).filter(|value| value.get() != "null")
    }

    /// Returns the text in a field, if it is there and is one.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text_of(self.get(name)?)
    }

    /// Reads these fields as a type; others are left unread.
    pub(crate) fn read_as<T: Deserialize<'a>>(&self, names: &[&str]) -> Result<T, PathError> {
        read(|| self.0.iter().filter(|(name, _)| names.contains(&&**name)))
    }

    /// Reads all fields as a type.
    pub(crate) fn read_all<T: Deserialize<'a>>(&self) -> Result<T, PathError> {
        read(|| self.0.iter())
    }

    /// Returns the fields without these, to be written into another object.
    pub(crate) fn but<'b>(&'b self, names: &'b [&'b str]) -> But<'b> {
        But { fields: self, names }
    }
}

/// Reads fields as a type. To follow the path to an error costs more than the reading, so that is
/// done only after an error.
fn read<'f, 'a: 'f, T: Deserialize<'a>, I: Iterator<Item = &'f (Cow<'a, str>, &'a RawValue)>>(
    fields: impl Fn() -> I,
) -> Result<T, PathError> {
    let deserializer = || {
        let fields = fields().map(|(name, value)| (&**name, *value));
        MapDeserializer::<_, serde_json::Error>::new(fields)
    };
    T::deserialize(deserializer()).or_else(|_| serde_path_to_error::deserialize(deserializer()))
}

impl<'a> Deserialize<'a> for Fields<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'a> Visitor<'a> for Object {
            type Value = Fields<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'a>>(self, map: M) -> Result<Fields<'a>, M::Error> {
                Fields::collect(map)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Fields without some of them.
#[derive(Debug)]
pub(crate) struct But<'b> {
    fields: &'b Fields<'b>,
    names: &'b [&'b str],
}

impl But<'_> {
    /// Writes them into an object that is being written.
    pub(crate) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let kept = self.fields.0.iter().filter(|(name, _)| !self.names.contains(&&**name));
        kept.into_iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    }
}

impl Serialize for But<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}
