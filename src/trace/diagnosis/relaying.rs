//! The relay: credentials, permissions, packets.

use std::net::{IpAddr, SocketAddr};

use callbox_base::ids::UserId;

use super::{
    media,
    story::{Story, name, time},
};
use crate::trace::{
    details::{TurnFate, Way},
    document::What,
    text::printable,
};

/// The credentials of a user were refused, and no others were taken later.
pub(super) fn credentials_refused(story: &Story<'_>) -> Option<String> {
    story.steps().find_map(|(at, what)| match what {
        What::Turn {
            user, method, error: Some(code), refusal: Some(refusal), fault: None, ..
        } => (!succeeds(story, user, method, at)).then(|| {
            let (user, refusal, at) = (name(user), printable(refusal), time(at));
            format!("{user}'s relay request was refused with {code} after {at} ({refusal})")
        }),
        _ => None,
    })
}

/// A fault of a test left a request without an answer, and no other one had an answer later.
pub(super) fn silenced(story: &Story<'_>) -> Option<String> {
    story.steps().find_map(|(at, what)| match what {
        What::Turn { user, method, fault: Some(TurnFate::Silenced), .. } => {
            (!succeeds(story, user, method, at)).then(|| {
                let (user, method, at) = (name(user), printable(method), time(at));
                format!("the relay did not answer {user}'s {method} after {at}: a test's fault")
            })
        }
        _ => None,
    })
}

/// A request failed, and was not taken later.
pub(super) fn request_failed(story: &Story<'_>) -> Option<String> {
    story.steps().find_map(|(at, what)| match what {
        What::Turn { user, method, error: Some(code), refusal: None, fault, peers, .. } => {
            let is_login = fault.is_none() && matches!(code, 401 | 438);
            (!is_login && !succeeds(story, user, method, at)).then(|| {
                let peer = peers.first().filter(|_| *code == 403);
                let peer = peer.map(|peer| format!(" for {}", peer.ip())).unwrap_or_default();
                let words = fault.map_or_else(|| meaning(*code), |_| "a test's fault");
                let (user, method, at) = (name(user), printable(method), time(at));
                format!("{user}'s {method}{peer} failed with {code} after {at} ({words})")
            })
        }
        _ => None,
    })
}

/// Returns true if a request of a user has success after a time.
fn succeeds(story: &Story<'_>, by: &UserId, wanted: &str, after: f64) -> bool {
    let is_success = |what: &What| {
        matches!(what, What::Turn { user, method, error: None, fault: None, .. }
            if user == by && method == wanted)
    };
    story.steps().any(|(at, what)| at >= after && is_success(what))
}

/// Returns the meaning of an error code, for somebody who does not know the RFCs.
fn meaning(code: u16) -> &'static str {
    match code {
        400 => "the request is malformed",
        403 => "the relay's rules do not allow it",
        420 => "an attribute is not understood",
        437 => "there is no such allocation, or one already",
        440 | 443 => "the relay has no address of that family",
        441 => "they are not the credentials of the allocation",
        442 => "the relay does not serve that transport",
        446 => "there is such a connection already",
        447 => "the peer cannot be reached over TCP",
        486 => "the user has too many allocations",
        508 => "the relay has no port or no memory left",
        _ => "see RFC 8656 §19",
    }
}

/// The allocation of a user has no permission for the other side.
pub(super) fn no_permission(story: &Story<'_>) -> Option<String> {
    story.pairs().find_map(|(user, other)| {
        has_allocation(story, user).then_some(())?;
        let refused = refused_without(story, user);
        let is_without = refused.is_some() || permitted(story, user).is_empty();
        if !is_without || !is_needed(story, user, other) {
            return None;
        }
        let reached = story.reached(user, "ice:candidate");
        let why = match reached {
            Some(at) if at < refused.unwrap_or(f64::INFINITY) + 1000.0 && is_soon(story, at) => {
                format!("although {}", story.candidates_reached(user, other, at))
            }
            Some(at) => story.candidates_reached(user, other, at),
            None => format!("no candidate of {} reached {}", name(other), name(user)),
        };
        let colon = if why.starts_with("although") { "," } else { ":" };
        Some(format!("{}'s permission for {} never came{colon} {why}", name(user), name(other)))
    })
}

/// Returns true if candidates that come at this time are in time.
fn is_soon(story: &Story<'_>, at: f64) -> bool {
    story.answered().is_some_and(|answered| at < answered + 5000.0)
}

/// Returns true if there is no sign that the pair does without the permission: the other one's
/// allocation has no permission that packets came through.
fn is_needed(story: &Story<'_>, user: &UserId, other: &UserId) -> bool {
    let in_room = story.users().len() > 2;
    let has_packets = media::packet(story, other, Way::ToClient).is_some();
    !in_room && !has_packets && media::packet(story, user, Way::ToClient).is_none()
}

/// Returns the time at which a packet to a user was refused for want of a permission that never
/// came.
fn refused_without(story: &Story<'_>, of: &UserId) -> Option<f64> {
    story.steps().find_map(|(at, what)| match what {
        What::FirstRefusedPacket { user, direction: Way::ToClient, peer: Some(peer), reason }
            if user == of && reason == "no_permission" =>
        {
            let is_permitted = permitted(story, of).contains(&peer.ip());
            (!is_permitted).then_some(at)
        }
        _ => None,
    })
}

fn has_allocation(story: &Story<'_>, of: &UserId) -> bool {
    story
        .first(|what| matches!(what, What::Turn { user, relayed: Some(_), .. } if user == of))
        .is_some()
}

/// Returns the addresses that an allocation of a user has permissions for.
fn permitted(story: &Story<'_>, of: &UserId) -> Vec<IpAddr> {
    let mut permitted = Vec::new();
    for (_, what) in story.steps() {
        if let What::Turn { user, method, error: None, fault: None, peers, .. } = what
            && user == of
            && method != "Allocate"
        {
            permitted.extend(peers.iter().map(SocketAddr::ip));
        }
    }
    permitted
}

/// The relay did not take packets of a user or for one, and none got through.
pub(super) fn packets_refused(story: &Story<'_>) -> Option<String> {
    story.steps().find_map(|(at, what)| match what {
        What::FirstRefusedPacket { user, direction, peer, reason } => {
            let is_permitted = peer.is_some_and(|peer| {
                reason == "no_permission" && permitted(story, user).contains(&peer.ip())
            });
            // The first check often comes before the permission.
            if is_permitted || media::packet(story, user, *direction).is_some() {
                return None;
            }
            let way = if *direction == Way::ToPeer { "to" } else { "from" };
            let peer = peer.map_or_else(|| "a peer".to_owned(), |peer| peer.to_string());
            Some(format!(
                "the relay refused {}'s packets {way} {peer} from {} on ({})",
                name(user),
                time(at),
                printable(reason)
            ))
        }
        _ => None,
    })
}

/// A fault of a test loses packets, and none got through.
pub(super) fn packets_lost(story: &Story<'_>) -> Option<String> {
    story.steps().find_map(|(at, what)| match what {
        What::FirstLostPacket { user, direction } => {
            let is_through = media::packet(story, user, *direction).is_some();
            let way = if *direction == Way::ToPeer { "from" } else { "to" };
            let user = name(user);
            (!is_through).then(|| {
                format!("packets {way} {user} were lost from {} on: a test's fault", time(at))
            })
        }
        _ => None,
    })
}

/// Packets went over the relay in one direction alone.
pub(super) fn one_way(story: &Story<'_>) -> Option<String> {
    let packet = |user, way| media::packet(story, user, way);
    let any = |way| story.users().iter().find_map(|user| Some((user, packet(user, way)?)));
    match (any(Way::ToPeer), any(Way::ToClient)) {
        (Some((user, at)), None) => Some(format!(
            "{} sent packets over the relay from {} on, and none came back",
            name(user),
            time(at)
        )),
        (None, Some((user, at))) => Some(format!(
            "packets for {} came over the relay from {} on, and {0} sent none",
            name(user),
            time(at)
        )),
        _ => None,
    }
}

/// The sides have allocations, and no packet went through them.
pub(super) fn unused(story: &Story<'_>) -> Option<String> {
    let holders: Vec<_> = story.users().iter().filter(|user| has_allocation(story, user)).collect();
    let is_used = |user: &&UserId| {
        [Way::ToPeer, Way::ToClient].iter().any(|way| media::packet(story, user, *way).is_some())
    };
    if holders.is_empty() || holders.iter().any(is_used) {
        return None;
    }
    let without = holders.iter().filter(|user| permitted(story, user).is_empty());
    let without: Vec<_> = without.map(|user| name(user)).collect();
    let why = match without.as_slice() {
        [] => "permissions are there, but nothing was sent".to_owned(),
        names => format!("no permission was made by {}", names.join(" and ")),
    };
    Some(match holders.as_slice() {
        [user] => format!(
            "there are no packets over the relay, although {} has an allocation: {why}",
            name(user)
        ),
        [_, _] => format!(
            "neither side has packets over the relay, although both have allocations: {why}"
        ),
        _ => format!("no side has packets over the relay, although they have allocations: {why}"),
    })
}

/// A client never logged in at the relay, which asks each for its credentials.
pub(super) fn not_logged_in(story: &Story<'_>) -> Option<String> {
    story.steps().find_map(|(at, what)| match what {
        What::Turn { user, method, error: Some(401), refusal: None, .. } => {
            let is_last = !story.steps().any(|(_, what)| {
                matches!(what, What::Turn { user: by, error, .. } if by == user && *error != Some(401))
            });
            is_last.then(|| {
                let (user, method, at) = (name(user), printable(method), time(at));
                format!(
                    "{user} never logged in at the relay, which asked for credentials after {at} \
                     ({method}, 401)"
                )
            })
        }
        _ => None,
    })
}
