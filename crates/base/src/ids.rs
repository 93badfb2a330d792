//! The names of things: users, devices, calls and sessions, and one type for each role that a
//! socket address can play, so that a peer is never mistaken for a client.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

use rand::RngCore;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use ulid::Ulid;
#[cfg(feature = "schema")]
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// The reason for which a name was refused, in words that may be shown to the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The name has no characters.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The name is longer than the limit, in bytes.
    #[error("{what} is {len} bytes long, {max} are allowed")]
    TooLong {
        /// The kind of name, such as `the user id`.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The name holds a control character.
    #[error("{0} holds a control character")]
    Control(&'static str),
    /// The text is not a ULID (26 characters of Crockford's base 32).
    #[error("{0} is not an id that this server made")]
    Malformed(&'static str),
}

/// Checks the rules that hold for every name a client may choose.
fn check_name(what: &'static str, name: &str, max: usize) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty(what));
    }
    if name.len() > max {
        return Err(IdError::TooLong { what, len: name.len(), max });
    }
    if name.chars().any(char::is_control) {
        return Err(IdError::Control(what));
    }
    Ok(())
}

/// The schema of a text.
#[cfg(feature = "schema")]
fn text_schema(doc: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(doc.trim()))
}

/// Reads a name from JSON without a copy of its text.
macro_rules! text_in_json {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

macro_rules! name_type {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal, $max:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        text_in_json!($name);

        impl $name {
            /// Takes the text as a name.
            ///
            /// # Errors
            /// [`IdError`] if it is empty, too long or holds a control character.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_name($what, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                // The limit is one of bytes: no text of more characters is within it.
                let text = text_schema(concat!($($doc),*)).min_length(Some(1));
                text.max_length(Some($max)).into()
            }
        }

        #[cfg(feature = "schema")]
        impl ToSchema for $name {}
    };
}

name_type! {
    /// A user: the `sub` of a token, the user part of a TURN username. 1 to 128 bytes.
    UserId, "the user id", 128
}

name_type! {
    /// One of a user's devices, as the device calls itself. 1 to 64 bytes.
    DeviceId, "the device id", 64
}

name_type! {
    /// A room, as the application calls it. 1 to 128 bytes.
    RoomId, "the room id", 128
}

macro_rules! ulid_type {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        text_in_json!($name);

        impl $name {
            /// Makes a new one from the time, in milliseconds since 1970, and 80 random bits.
            pub fn generate(unix_ms: u64, rng: &mut impl RngCore) -> Self {
                let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                Self(Ulid::from_parts(unix_ms, random).0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the form that we print: one id, one spelling.
                let mut printed = [0; ulid::ULID_LEN];
                match Ulid::from_string(text) {
                    Ok(id) if id.array_to_str(&mut printed) == text => Ok(Self(id.0)),
                    _ => Err(IdError::Malformed($what)),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; ulid::ULID_LEN];
                serializer.serialize_str(Ulid(self.0).array_to_str(&mut text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; ulid::ULID_LEN];
                f.write_str(Ulid(self.0).array_to_str(&mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        #[cfg(feature = "schema")]
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let format = SchemaFormat::Custom("ulid".into());
                text_schema(concat!($($doc),*)).format(Some(format)).into()
            }
        }

        #[cfg(feature = "schema")]
        impl ToSchema for $name {}
    };
}

ulid_type! {
    /// A call. A ULID, so that ids sort by the time the call began.
    CallId, "the call id"
}

ulid_type! {
    /// A participant of a room: one device, from when it joins until it leaves.
    ParticipantId, "the participant id"
}

ulid_type! {
    /// A signaling session: one device of one user, over one connection.
    SessionId, "the session id"
}

ulid_type! {
    /// An event that a webhook is sent, by which its receiver knows one that comes again.
    EventId, "the event id"
}

macro_rules! addr_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub SocketAddr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

addr_type! {
    /// The address of a TURN client, as the server sees it (RFC 8656 §2: server-reflexive).
    ClientAddr
}
addr_type! {
    /// The address on which an allocation listens for its peers (RFC 8656 §2: relayed transport
    /// address).
    RelayedAddr
}
addr_type! {
    /// The address of a peer of an allocation (RFC 8656 §2: peer transport address).
    PeerAddr
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn names_have_limits() {
        assert_eq!(UserId::new(""), Err(IdError::Empty("the user id")));
        assert!(UserId::new(&"a".repeat(128)).is_ok());
        assert!(matches!(UserId::new(&"a".repeat(129)), Err(IdError::TooLong { len: 129, .. })));
        assert_eq!(DeviceId::new("a\nb"), Err(IdError::Control("the device id")));
    }

    #[test]
    fn a_call_id_has_one_spelling() {
        let id = CallId::generate(1_700_000_000_000, &mut StdRng::seed_from_u64(1));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_lowercase().parse::<CallId>().is_err());
        assert!("short".parse::<CallId>().is_err());
    }

    proptest! {
        #[test]
        fn ids_survive_json(ms in 0u64..1 << 48, seed: u64) {
            let id = SessionId::generate(ms, &mut StdRng::seed_from_u64(seed));
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
        }
    }
}
