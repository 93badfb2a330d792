//! The payload of a request: JSON text of the client's, which is checked once and never made a tree.
//!
//! The fields that the server understands are read straight from the text into a request's own
//! type; the fields that it only passes on stay the text that their sender wrote.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::MapDeserializer,
    },
    ser::SerializeMap,
};
use serde_json::value::RawValue;

/// The deepest that objects and arrays may be nested. JSON parsers stop at depths of their own, and
/// a client must not be sent text that it cannot read: with the frame around it, this is within the
/// 127 levels that `serde_json` reads.
const MAX_DEPTH: usize = 126;

/// The payload of a request as its client wrote it: JSON that any parser can read, or nothing. An object is
/// taken apart once, when it comes.
#[derive(Debug, Clone, Default)]
pub struct Payload(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    Nothing,
    /// The fields, ordered by name.
    Object(Vec<(Box<str>, Box<RawValue>)>),
    Other(Box<RawValue>),
}

/// The error for text that is not JSON, or not such as any parser can read: it is nested too
/// deeply, has a number out of all range or half a surrogate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON that every parser reads")]
pub struct Unreadable;

/// The payload is JSON, but no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnObject;

impl Payload {
    /// Reads JSON text. `null` is a payload with nothing in it, as is [`Default`].
    ///
    /// # Errors
    /// [`Unreadable`] if some parser could not read it, or it is nested more than 126 levels deep.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        Self::check(serde_json::from_str(text).map_err(|_| Unreadable)?)
    }

    /// Takes a part of JSON text that is known to be well-formed, such as one that `serde_json` has
    /// found in a frame.
    ///
    /// # Errors
    /// [`Unreadable`], as with [`Payload::parse`].
    pub fn check(raw: &RawValue) -> Result<Self, Unreadable> {
        if raw.get() == "null" {
            return Ok(Self::default());
        }
        if is_object(raw) {
            return Self::of(&Fields::read(raw.get()).map_err(|_| Unreadable)?);
        }
        if !is_plain(raw) {
            look_through(raw, MAX_DEPTH)?;
        }
        Ok(Self(Kind::Other(raw.to_owned())))
    }

    /// Takes the fields of an object, which [`Part`] finds in a frame.
    ///
    /// # Errors
    /// [`Unreadable`], as with [`Payload::parse`].
    pub fn of(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        let taken = fields.0.iter().map(|(name, value)| {
            if !is_plain(value) {
                look_through(value, MAX_DEPTH - 1)?;
            }
            Ok::<_, Unreadable>((Box::from(&**name), (*value).to_owned()))
        });
        Ok(Self(Kind::Object(taken.collect::<Result<_, _>>()?)))
    }

    /// Reads it as a type. A payload with nothing in it is an object without fields.
    ///
    /// # Errors
    /// The parser's error, if the payload does not fit the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match &self.0 {
            Kind::Other(raw) => serde_json::from_str(raw.get()),
            Kind::Nothing => Fields(Vec::new()).read_all().map_err(PathError::into_inner),
            Kind::Object(fields) => {
                Fields::borrowed(fields).read_all().map_err(PathError::into_inner)
            }
        }
    }

    /// Removes a field, such as a secret that the hub need not see.
    pub fn without(mut self, name: &str) -> Self {
        if let Kind::Object(fields) = &mut self.0 {
            fields.retain(|(field, _)| **field != *name);
        }
        self
    }

    /// Its fields. `socket.emit('call:end')` has no payload, and so no fields.
    pub(super) fn fields(&self) -> Result<Fields<'_>, NotAnObject> {
        match &self.0 {
            Kind::Nothing => Ok(Fields(Vec::new())),
            Kind::Object(fields) => Ok(Fields::borrowed(fields)),
            Kind::Other(_) => Err(NotAnObject),
        }
    }
}

/// An error with the path of the field that it is about.
type PathError = serde_path_to_error::Error<serde_json::Error>;

/// The fields of an object, ordered by name, each with its value as it was written. Of several with one
/// name the last one counts, as with `JSON.parse`.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Takes an object's text apart.
    ///
    /// # Errors
    /// The parser's error, if the text is not JSON, or no object.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn borrowed(fields: &'a [(Box<str>, Box<RawValue>)]) -> Self {
        let fields = fields.iter().map(|(name, value)| (Cow::Borrowed(&**name), &**value));
        Self(fields.collect())
    }

    /// Takes the rest of an object apart.
    fn collect<M: MapAccess<'a>>(mut map: M) -> Result<Self, M::Error> {
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

    /// These fields read as a type; others are passed over, unread.
    pub(super) fn read_as<T: Deserialize<'a>>(&self, names: &[&str]) -> Result<T, PathError> {
        read(|| self.0.iter().filter(|(name, _)| names.contains(&&**name)))
    }

    /// All fields read as a type.
    pub(super) fn read_all<T: Deserialize<'a>>(&self) -> Result<T, PathError> {
        read(|| self.0.iter())
    }

    /// All fields but these, to be written into another object.
    pub(super) fn but<'b>(&'b self, names: &'b [&'b str]) -> But<'b> {
        But { fields: self, names }
    }
}

/// Reads fields as a type. The path to what is wrong costs more to follow than the reading, so it is only looked for
/// if something is wrong.
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

/// A value within a longer text, such as a frame. An object is taken apart while it is read, so
/// that it is gone through once.
#[derive(Debug)]
pub enum Part<'a> {
    /// An object.
    Object(Fields<'a>),
    /// Null.
    Null,
    /// A value of another kind.
    Other,
}

impl<'a> Deserialize<'a> for Part<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'a> Visitor<'a> for Value {
            type Value = Part<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_map<M: MapAccess<'a>>(self, map: M) -> Result<Part<'a>, M::Error> {
                Ok(Part::Object(Fields::collect(map)?))
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Part<'a>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Part::Other)
            }

            fn visit_unit<E>(self) -> Result<Part<'a>, E> {
                Ok(Part::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Part<'a>, E> {
                Ok(Part::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Part<'a>, E> {
                Ok(Part::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Part<'a>, E> {
                Ok(Part::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Part<'a>, E> {
                Ok(Part::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Part<'a>, E> {
                Ok(Part::Other)
            }
        }
        deserializer.deserialize_any(Value)
    }
}

/// Fields without some of them.
#[derive(Debug)]
pub(super) struct But<'b> {
    fields: &'b Fields<'b>,
    names: &'b [&'b str],
}

impl But<'_> {
    /// Writes them into an object that is being written.
    pub fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
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

/// A text, borrowed where it has no escapes.
#[derive(Debug, Deserialize)]
pub struct Text<'a>(
    /// The text.
    #[serde(borrow)]
    pub Cow<'a, str>,
);

/// The text that a value is, if it is one.
pub(super) fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    is_text(value).then_some(())?;
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|Text(text)| text)
}

/// Returns true if the value is an object.
pub(super) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// Returns true if the value is a text.
pub(super) fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
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

/// Looks at everything in a value, which may be so deep.
fn look_through(value: &RawValue, depth: usize) -> Result<(), Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    Looking { depth }.deserialize(&mut deserializer).map_err(|_| Unreadable)
}

/// Goes through a value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Looking {
    depth: usize,
}

impl Looking {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        depth.map(|depth| Self { depth }).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Looking {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Looking {
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

impl From<serde_json::Value> for Payload {
    /// Takes a value of the program's own. Text from a network is for [`Payload::parse`].
    ///
    /// # Panics
    /// If the value is nested more than 126 levels deep.
    fn from(value: serde_json::Value) -> Self {
        Self::parse(&value.to_string()).expect("a value is readable")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn names<'a>(fields: &'a Fields<'_>) -> Vec<&'a str> {
        fields.0.iter().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let text = r#" { "b" : [1, 2.50,1e2] , "\u0061": "x\u0041" } "#;
        let payload = Payload::parse(text).unwrap();
        let fields = payload.fields().unwrap();
        assert_eq!(names(&fields), ["a", "b"]);
        assert_eq!(fields.get("b").unwrap().get(), "[1, 2.50,1e2]");
        assert_eq!(fields.text("a").as_deref(), Some("xA"));
        assert_eq!(fields.text("b"), None);
        assert!(fields.get("c").is_none());
    }

    #[test]
    fn of_two_fields_with_one_name_the_last_one_counts() {
        let text = r#"{"x":1,"callId":"a","y":2,"call\u0049d":"b","x":3}"#;
        let payload = Payload::parse(text).unwrap();
        let fields = payload.fields().unwrap();
        assert_eq!(names(&fields), ["callId", "x", "y"]);
        assert_eq!(fields.text("callId").as_deref(), Some("b"));
        assert_eq!(fields.get("x").unwrap().get(), "3");
        let rest = serde_json::to_string(&fields.but(&["callId"])).unwrap();
        assert_eq!(rest, r#"{"x":3,"y":2}"#);
        let rest = payload.without("x");
        assert_eq!(names(&rest.fields().unwrap()), ["callId", "y"]);
    }

    #[test]
    fn what_some_parser_cannot_read_is_refused() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let in_field = |levels| format!(r#"{{"x":{}}}"#, nested(levels));
        for text in [
            "",
            "{",
            "nul",
            "{}x",
            "[1,]",
            r#"{"x":"\ud800"}"#,
            r#"{"\ud800":1}"#,
            r#"{"x":{"y":"\udc00"}}"#,
            r#"{"x":{"\ud800":1}}"#,
            r#"{"x":1e999}"#,
            r#"["\ud800"]"#,
            "\"\u{1}\"",
            &nested(MAX_DEPTH + 1),
            &in_field(MAX_DEPTH),
            &nested(60_000),
            &in_field(60_000),
            &r#"{"x":"#.repeat(10_000),
        ] {
            assert_eq!(Payload::parse(text).err(), Some(Unreadable), "{:.30}", text);
        }
        for text in [
            "null",
            "{}",
            "[]",
            "7",
            r#""x""#,
            r#"{"x":"\ud83d\ude00","y":"\\ud800"}"#,
            &nested(MAX_DEPTH),
            &in_field(MAX_DEPTH - 1),
        ] {
            Payload::parse(text).unwrap();
        }
    }

    #[test]
    fn nothing_is_an_object_without_fields_and_a_list_is_none() {
        assert_eq!(names(&Payload::default().fields().unwrap()), [""; 0]);
        assert_eq!(names(&Payload::parse("null").unwrap().fields().unwrap()), [""; 0]);
        assert_eq!(Payload::parse("[]").unwrap().fields().err(), Some(NotAnObject));
        assert_eq!(Payload::parse("\"{}\"").unwrap().fields().err(), Some(NotAnObject));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}|.{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// An object that is taken apart and put together again is the same as before.
        #[test]
        fn any_object_comes_through_whole(value in any_json(), is_pretty: bool) {
            let value = json!({ "x": value, "callId": "a" });
            let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let payload = Payload::parse(&write(&value).unwrap()).unwrap();
            let rest = serde_json::to_value(payload.fields().unwrap().but(&["callId"])).unwrap();
            prop_assert_eq!(&rest["x"], &value["x"]);
            prop_assert_eq!(rest.as_object().unwrap().len(), 1);
        }

        /// Text that is accepted can be read by a parser that makes a tree, within a frame too.
        #[test]
        fn whatever_is_taken_can_be_read(text in "([\\[\\]{}:,\"0-9e.-]|\\\\u|d8|\"x\"|null|true| ){0,24}") {
            if let Ok(payload) = Payload::parse(&text) {
                let data = match &payload.0 {
                    Kind::Nothing => "null".into(),
                    Kind::Other(raw) => raw.get().to_owned(),
                    Kind::Object(_) => serde_json::to_string(&payload.fields().unwrap().but(&[])).unwrap(),
                };
                let frame = format!(r#"{{"data":{data}}}"#);
                prop_assert!(serde_json::from_str::<Value>(&frame).is_ok());
            }
        }
    }
}
