//! Faults that tests ask for: the packets, requests and events that a rule is for, and the numbers
//! of faults that were injected.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::ids::{CallId, UserId};

/// The users and calls that a fault is for. Without a field it is for everybody; with both it is
/// for this user in this call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = FaultSelector))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Only what is of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub user_id: Option<UserId>,
    /// Only what is for this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub call_id: Option<CallId>,
}

impl Selector {
    /// Returns true if the selector names neither a user nor a call.
    pub fn is_everybody(&self) -> bool {
        self.user_id.is_none() && self.call_id.is_none()
    }

    /// Returns true if something of this user, for this call if it is for one, is meant.
    pub fn includes(&self, user: &str, call: Option<CallId>) -> bool {
        self.user_id.as_ref().is_none_or(|only| only.as_str() == user)
            && self.call_id.is_none_or(|only| call == Some(only))
    }
}

/// The kinds of faults that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// A relayed packet was dropped.
    PacketLost,
    /// A relayed packet was held back.
    PacketDelayed,
    /// A relayed packet did not wait for those before it.
    PacketReordered,
    /// A relayed packet was sent twice.
    PacketDuplicated,
    /// A relayed packet was dropped, since too many were held back.
    PacketOverflowed,
    /// A request was answered with an error.
    RequestAnswered,
    /// A request was not answered.
    RequestSilenced,
    /// An event was not sent.
    EventDropped,
    /// An event was held back.
    EventDelayed,
    /// An event was sent twice.
    EventDuplicated,
}

/// The number of kinds.
const KINDS: usize = 10;

/// The counters of the faults of a server, which all its threads share. They are touched only when
/// a fault is injected.
#[derive(Debug, Default)]
pub struct Injected([AtomicU64; KINDS]);

impl Injected {
    /// Counts a fault.
    pub fn add(&self, kind: Injection) {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of faults of a kind.
    pub fn get(&self, kind: Injection) -> u64 {
        self.0[kind as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_selector_includes_what_has_all_that_it_names() {
        let [one, two] = [1, 2].map(|n| CallId::generate(n, &mut StdRng::seed_from_u64(n)));
        let alice = || UserId::new("alice").ok();
        let everybody = Selector::default();
        assert!(everybody.is_everybody() && everybody.includes("alice", None));
        let user = Selector { user_id: alice(), call_id: None };
        assert!(user.includes("alice", Some(one)) && user.includes("alice", None));
        assert!(!user.includes("bob", Some(one)) && !user.is_everybody());
        let call = Selector { user_id: None, call_id: Some(one) };
        assert!(call.includes("bob", Some(one)));
        assert!(!call.includes("bob", Some(two)) && !call.includes("bob", None));
        let both = Selector { user_id: alice(), call_id: Some(one) };
        assert!(both.includes("alice", Some(one)));
        assert!(!both.includes("alice", Some(two)) && !both.includes("bob", Some(one)));
    }

    #[test]
    fn each_kind_has_its_counter() {
        let injected = Injected::default();
        injected.add(Injection::EventDuplicated);
        injected.add(Injection::PacketLost);
        injected.add(Injection::PacketLost);
        assert_eq!(injected.get(Injection::PacketLost), 2);
        assert_eq!(injected.get(Injection::EventDuplicated), 1);
        assert_eq!(injected.get(Injection::RequestAnswered), 0);
    }
}
