//! The payload of a request: JSON text of the client's, which is checked once and never made a
//! tree.
//!
//! The fields that the server understands are read straight from the text into a request's own
//! type; the fields that it only passes on stay the text that their sender wrote.
//!
//! | file | contents |
//! |---|---|
//! | `fields` | the fields of an object, and how they are read |
//! | `part` | a payload within a longer text, such as a frame |
//! | `values` | the kinds of single values |
//! | `validation` | what is refused although it is well-formed |

mod fields;
mod part;
mod validation;
mod values;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use fields::Fields;
pub use part::Part;
pub use values::Text;
pub(super) use values::{is_object, is_text, text_of};

use fields::PathError;
use validation::MAX_DEPTH;

/// The payload of a request as its client wrote it: JSON that any parser can read, or nothing. An
/// object is taken apart once, when it comes.
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

/// The error for a payload that is JSON, but not an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnObject;

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
        validation::check(raw, MAX_DEPTH)?;
        Ok(Self(Kind::Other(raw.to_owned())))
    }

    /// Takes the fields of an object, which [`Part`] finds in a frame.
    ///
    /// # Errors
    /// [`Unreadable`], as with [`Payload::parse`].
    pub fn of(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        let taken = fields.iter().map(|(name, value)| {
            validation::check(value, MAX_DEPTH - 1)?;
            Ok::<_, Unreadable>((Box::from(name), value.to_owned()))
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
            Kind::Nothing => Fields::default().read_all().map_err(PathError::into_inner),
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

    /// Returns its fields. `socket.emit('call:end')` has no payload, and so no fields.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, NotAnObject> {
        match &self.0 {
            Kind::Nothing => Ok(Fields::default()),
            Kind::Object(fields) => Ok(Fields::borrowed(fields)),
            Kind::Other(_) => Err(NotAnObject),
        }
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
        fields.iter().map(|(name, _)| name).collect()
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
    fn text_that_some_json_parsers_reject_is_refused() {
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
    fn a_missing_payload_is_an_empty_object_and_a_list_is_not_an_object() {
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
        fn any_object_is_written_back_unchanged(value in any_json(), is_pretty: bool) {
            let value = json!({ "x": value, "callId": "a" });
            let write = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let payload = Payload::parse(&write(&value).unwrap()).unwrap();
            let rest = serde_json::to_value(payload.fields().unwrap().but(&["callId"])).unwrap();
            prop_assert_eq!(&rest["x"], &value["x"]);
            prop_assert_eq!(rest.as_object().unwrap().len(), 1);
        }

        /// Text that is accepted can be read by a parser that makes a tree, within a frame too.
        #[test]
        fn accepted_text_can_be_parsed_again(text in "([\\[\\]{}:,\"0-9e.-]|\\\\u|d8|\"x\"|null|true| ){0,24}") {
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
