//! A payload within a longer text, such as a frame.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::fields::Fields;

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
