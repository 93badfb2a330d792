//! The rights of a token's bearer: the `callbox` claim.

use callbox_base::ids::{RoomId, UserId};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use utoipa::ToSchema;

/// The rights of a token's bearer, as in the `callbox` claim. The default is everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// The users who may be called: user ids in which `*` stands for any text. Everyone, if it is
    /// not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub call: Option<Vec<String>>,
    /// The users whose presence may be seen, in the same form. Those who may be called, if it is
    /// not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub presence: Option<Vec<String>>,
    /// The rooms that may be joined: room ids, likewise. Every one, if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rooms: Option<Vec<String>>,
    /// The users who may not call this one: user ids, likewise. Without it nobody is kept from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub block: Option<Vec<String>>,
    /// The largest number of live calls that the user may be in. As many as the server allows, if
    /// it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_calls: Option<u64>,
    /// True if there are relay credentials.
    #[serde(skip_serializing_if = "is_true")]
    pub relay: bool,
}

impl Default for Grants {
    fn default() -> Self {
        Self { call: None, presence: None, rooms: None, block: None, max_calls: None, relay: true }
    }
}

/// By the rules of the claim itself, with its words for what is wrong.
impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Grants {
    /// Reads the claim; null where there is none. What is not understood is no grant: it may well
    /// be a limit. The error says what is wrong, and holds nothing of the claim.
    pub(super) fn read(claim: Value) -> Result<Self, &'static str> {
        let fields = match claim {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => fields,
            _ => return Err("its `callbox` is not an object"),
        };
        let mut grants = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "call" => {
                    let wrong = "its `callbox.call` is not a list of user ids, in which `*` stands \
                                 for any text";
                    grants.call = Some(patterns(value).ok_or(wrong)?);
                }
                "presence" => {
                    let wrong = "its `callbox.presence` is not a list of user ids, in which `*` \
                                 stands for any text";
                    grants.presence = Some(patterns(value).ok_or(wrong)?);
                }
                "rooms" => {
                    let wrong = "its `callbox.rooms` is not a list of room ids, in which `*` stands \
                                 for any text";
                    grants.rooms = Some(patterns(value).ok_or(wrong)?);
                }
                "block" => {
                    let wrong = "its `callbox.block` is not a list of user ids, in which `*` stands \
                                 for any text";
                    grants.block = Some(patterns(value).ok_or(wrong)?);
                }
                "maxCalls" => {
                    let max = value.as_u64();
                    grants.max_calls =
                        Some(max.ok_or("its `callbox.maxCalls` is not a whole number")?);
                }
                "relay" => {
                    grants.relay = value.as_bool().ok_or("its `callbox.relay` is not a boolean")?;
                }
                _ => {
                    return Err(
                        "its `callbox` has a field besides `call`, `presence`, `rooms`, `block`, \
                                `maxCalls` and `relay`",
                    );
                }
            }
        }
        Ok(grants)
    }

    /// Returns true if this user may be called.
    pub fn may_call(&self, user: &UserId) -> bool {
        self.call.as_ref().is_none_or(|patterns| fits(patterns, user.as_str()))
    }

    /// Returns true if the presence of this user may be seen.
    pub fn may_see(&self, user: &UserId) -> bool {
        match &self.presence {
            Some(patterns) => fits(patterns, user.as_str()),
            None => self.may_call(user),
        }
    }

    /// Returns true if this user may not call the bearer.
    pub fn blocks(&self, user: &UserId) -> bool {
        self.block.as_ref().is_some_and(|patterns| fits(patterns, user.as_str()))
    }

    /// Returns true if this room may be joined.
    pub fn may_join(&self, room: &RoomId) -> bool {
        self.rooms.as_ref().is_none_or(|patterns| fits(patterns, room.as_str()))
    }
}

/// Reads a list of ids with stars; returns `None` if it is no such list.
fn patterns(value: Value) -> Option<Vec<String>> {
    let Value::Array(list) = value else { return None };
    let texts = list.into_iter().map(|pattern| match pattern {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    });
    texts.collect()
}

fn fits(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Returns true if a text has the parts between the stars, in their order and at their ends. The
/// first position where a part fits is as good as any, so each is looked for once.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("bob", "bob", true),
            ("bob", "bobby", false),
            ("bob", "abob", false),
            ("*", "anyone", true),
            ("team-a:*", "team-a:bob", true),
            ("team-a:*", "team-a:", true),
            ("team-a:*", "team-b:bob", false),
            ("team-a:*", "x-team-a:bob", false),
            ("*@a.example", "bob@a.example", true),
            ("*@a.example", "bob@a.example.b", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
            ("a.c", "abc", false),
            ("team?", "teams", false),
            ("Ü*", "Übung", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    /// Matches a pattern by its definition, without a thought for time.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| defined(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && defined(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*]{0,8}", text in "[ab*]{0,10}") {
            prop_assert_eq!(
                matches(&pattern, &text),
                defined(pattern.as_bytes(), text.as_bytes())
            );
        }
    }

    #[test]
    fn call_patterns_limit_the_users_that_can_be_called() {
        let may_call = |call: Value, user: &str| {
            let grants = Grants::read(json!({ "call": call })).unwrap();
            grants.may_call(&UserId::new(user).unwrap())
        };
        let call = json!(["bob", "team-a:*"]);
        assert!(may_call(call.clone(), "bob") && may_call(call.clone(), "team-a:x"));
        assert!(!may_call(call, "carol"));
        assert!(!may_call(json!([]), "bob"));
        assert!(Grants::default().may_call(&UserId::new("bob").unwrap()));
    }

    #[test]
    fn without_presence_patterns_the_call_patterns_limit_presence() {
        let may_see = |claim: Value, user: &str| {
            Grants::read(claim).unwrap().may_see(&UserId::new(user).unwrap())
        };
        assert!(may_see(json!({}), "bob"));
        let call = json!({ "call": ["bob"] });
        assert!(may_see(call.clone(), "bob") && !may_see(call, "carol"));
        let both = json!({ "call": ["bob"], "presence": ["team-a:*"] });
        assert!(may_see(both.clone(), "team-a:x") && !may_see(both, "bob"));
        assert!(!may_see(json!({ "presence": [] }), "bob"));
    }

    #[test]
    fn room_patterns_limit_the_rooms_that_can_be_joined() {
        let room = |name| RoomId::new(name).unwrap();
        let grants = Grants::read(json!({ "rooms": ["team-a/*"] })).unwrap();
        assert!(grants.may_join(&room("team-a/standup")) && !grants.may_join(&room("team-b/x")));
        assert!(!Grants::read(json!({ "rooms": [] })).unwrap().may_join(&room("x")));
        assert!(Grants::default().may_join(&room("x")));
    }

    #[test]
    fn block_patterns_exclude_callers() {
        let grants = Grants::read(json!({ "block": ["mallory", "spam:*"] })).unwrap();
        let blocks = |user| grants.blocks(&UserId::new(user).unwrap());
        assert!(blocks("mallory") && blocks("spam:7") && !blocks("alice"));
        assert!(!Grants::default().blocks(&UserId::new("mallory").unwrap()));
    }

    #[test]
    fn invalid_grants_are_refused() {
        assert_eq!(Grants::read(Value::Null), Ok(Grants::default()));
        assert_eq!(Grants::read(json!({})), Ok(Grants::default()));
        for (claim, what) in [
            (json!("all"), "`callbox`"),
            (json!([]), "`callbox`"),
            (json!({ "call": "bob" }), "`callbox.call`"),
            (json!({ "call": null }), "`callbox.call`"),
            (json!({ "call": ["bob", 7] }), "`callbox.call`"),
            (json!({ "call": [""] }), "`callbox.call`"),
            (json!({ "rooms": "standup" }), "`callbox.rooms`"),
            (json!({ "rooms": [7] }), "`callbox.rooms`"),
            (json!({ "presence": ["bob", ""] }), "`callbox.presence`"),
            (json!({ "presence": true }), "`callbox.presence`"),
            (json!({ "block": "mallory" }), "`callbox.block`"),
            (json!({ "block": ["mallory", ""] }), "`callbox.block`"),
            (json!({ "maxCalls": -1 }), "`callbox.maxCalls`"),
            (json!({ "maxCalls": 1.5 }), "`callbox.maxCalls`"),
            (json!({ "maxCalls": "1" }), "`callbox.maxCalls`"),
            (json!({ "relay": "no" }), "`callbox.relay`"),
            (json!({ "relay": null }), "`callbox.relay`"),
            (json!({ "maxcalls": 1 }), "a field besides"),
        ] {
            let refused = Grants::read(claim.clone()).unwrap_err();
            assert!(refused.contains(what), "{claim}: {refused}");
        }
    }
}
