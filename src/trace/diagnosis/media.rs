//! The path of the media, as far as it is known.

use std::collections::BTreeMap;

use super::story::Story;
use crate::trace::{details::Way, document::What, text::printable};

/// The bytes of an allocation beyond which there was more in it than checks of the connection.
const MORE_THAN_CHECKS: u64 = 20_000;

/// The path of the media.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// From client to client; the types of candidates, if a client has told.
    Direct(Option<String>),
    /// Through the relay.
    Relayed,
    /// Through the relay or not: it has seen packets, and no client has told.
    Untold,
}

/// Returns the time at which media began, and its path. `None` if nothing shows that there was any.
pub(super) fn of(story: &Story<'_>) -> Option<(f64, Path)> {
    let connected = story.requested("call:connected").map(|(at, _)| at);
    let mut told = BTreeMap::new();
    let mut first_told = None;
    for (at, user, facts) in story.told() {
        if let Some(path) = &facts.path {
            told.insert(user, printable(path));
            first_told = first_told.or(Some(at));
        }
    }
    let relayed = both_ways(story);
    let bytes = bytes(story);
    let at = match (connected, first_told) {
        (Some(connected), Some(told)) => connected.min(told),
        (one, other) => match one.or(other) {
            Some(at) => at,
            // Clients need not tell.
            None => relayed.filter(|_| bytes.is_some_and(|bytes| bytes > MORE_THAN_CHECKS))?,
        },
    };
    let path = match (relayed, bytes) {
        _ if told.values().any(|path| path == "relay") => Path::Relayed,
        _ if !told.is_empty() => {
            let mut types: Vec<_> = told.into_values().collect();
            types.sort();
            types.dedup();
            Path::Direct(Some(types.join(" and ")))
        }
        (Some(_), Some(bytes)) if bytes > MORE_THAN_CHECKS => Path::Relayed,
        (Some(_), None) => Path::Untold,
        _ => Path::Direct(None),
    };
    Some((at, path))
}

/// Returns the time from which an allocation has had packets in both directions.
fn both_ways(story: &Story<'_>) -> Option<f64> {
    story.users().iter().find_map(|user| {
        let up = packet(story, user, Way::ToPeer)?;
        Some(up.max(packet(story, user, Way::ToClient)?))
    })
}

/// Returns the time of the first packet that a user's allocation relayed in a direction.
pub(super) fn packet(story: &Story<'_>, of: &callbox_base::ids::UserId, way: Way) -> Option<f64> {
    story.first(|what| {
        matches!(what, What::FirstPacket { user, direction, .. } if user == of && *direction == way)
    })
}

/// Returns the bytes of the allocations that are closed; `None` if there is none.
fn bytes(story: &Story<'_>) -> Option<u64> {
    let bytes = story.steps().filter_map(|(_, what)| match what {
        What::AllocationClosed { bytes_up, bytes_down, .. } => {
            Some(bytes_up.saturating_add(*bytes_down))
        }
        _ => None,
    });
    bytes.reduce(u64::saturating_add)
}
