//! Calls that had media, and those of which nothing else is known.

use super::{
    media::{self, Path},
    story::{Story, name, time},
};
use crate::trace::{document::What, text::printable};

/// The longest time between the answer and the media that needs no explanation, in milliseconds.
const SOON: f64 = 10_000.0;

/// The reasons of a call that nothing was wrong with.
const GOOD: [&str; 3] = ["hangup", "left", ""];

/// The relay closed an allocation that media went through, while the call went on.
pub(super) fn allocation_lost(story: &Story<'_>) -> Option<String> {
    let (began, path) = media::of(story)?;
    if path != Path::Relayed {
        return None;
    }
    let over = story.over().map_or(f64::INFINITY, |over| over.at);
    let closed = story.steps().find_map(|(at, what)| match what {
        What::AllocationClosed { user, reason, .. } => {
            let is_early =
                at > began && at < over && reason != "call_ended" && reason != "released";
            is_early.then_some((at, user, reason))
        }
        _ => None,
    });
    let (at, user, reason) = closed?;
    let is_replaced = story.steps().any(|(other, what)| {
        other >= at && matches!(what, What::Turn { user: by, relayed: Some(_), .. } if by == user)
    });
    (!is_replaced).then(|| {
        format!(
            "{}'s allocation was closed after {} ({}), while media went through it",
            name(user),
            time(at),
            printable(reason)
        )
    })
}

/// A permission has expired, and packets were not relayed any more.
pub(super) fn permission_expired(story: &Story<'_>) -> Option<String> {
    let expired = |(at, what): (f64, &What)| match what {
        What::Expired { user, peer: Some(ip), .. } => {
            let of = user.clone();
            let refused = story.first(|what| {
                matches!(what, What::FirstRefusedPacket { user, peer: Some(peer), reason, .. }
                    if *user == of && peer.ip() == *ip && reason == "no_permission")
            })?;
            (refused >= at).then(|| {
                let (user, at, refused) = (name(user), time(at), time(refused));
                format!(
                    "{user}'s permission for {ip} expired after {at}, and from {refused} on its \
                     packets were not relayed"
                )
            })
        }
        _ => None,
    };
    story.steps().find_map(expired)
}

/// The call had media, and ended by a failure.
pub(super) fn failed_with_media(story: &Story<'_>) -> Option<String> {
    let (began, _) = media::of(story)?;
    let over = story.over()?;
    if GOOD.contains(&over.reason.as_str()) {
        return None;
    }
    let cause = story.disconnected().map(|(user, at)| {
        format!(": {}'s connection to the server was lost after {}", name(user), time(at))
    });
    let (after, with) = (time(over.at), time(over.at - began));
    let cause = cause.unwrap_or_default();
    Some(format!(
        "the call ended with {} after {after}, {with} of them with media{cause}",
        over.reason
    ))
}

/// The media of a side stopped, and the side did not say that it flows again.
pub(super) fn media_stopped(story: &Story<'_>) -> Option<String> {
    let stopped = |user| {
        let stopped = story.last_request(user, "call:reconnecting")?;
        let restored = story.last_request(user, "call:connected");
        restored.is_none_or(|restored| restored < stopped).then_some((user, stopped))
    };
    let (user, at) = story.users().iter().find_map(stopped)?;
    let end = match story.over() {
        Some(over) => format!("the call ended with {} after {}", over.reason, time(over.at)),
        None => format!("the call has lasted {} so far", time(story.last())),
    };
    let (user, at) = (name(user), time(at));
    Some(format!("{user}'s media stopped after {at} and did not come back: {end}"))
}

/// The call had media, and ended well or goes on.
pub(super) fn went_well(story: &Story<'_>) -> Option<String> {
    let (began, path) = media::of(story)?;
    let over = story.over();
    let (call, went) = match &over {
        Some(over) => (format!("the call ended after {}", time(over.at)), "went"),
        None => (format!("the call has lasted {} so far", time(story.last())), "goes"),
    };
    let path = match path {
        Path::Direct(Some(types)) => format!("media {went} directly ({types})"),
        Path::Direct(None) => format!("media {went} directly, since the relay has had none of it"),
        Path::Relayed => format!("media {went} through the relay"),
        Path::Untold => format!("media {went} directly or through the relay: no client has told"),
    };
    let wait = story.answered().map(|answered| began - answered).filter(|wait| *wait > SOON);
    let late = wait.map(|wait| {
        let why = story.late_candidates().map(|why| format!(": {why}")).unwrap_or_default();
        format!(", but began {} after the answer{why}", time(wait))
    });
    Some(format!("{call}; {path}{}", late.unwrap_or_default()))
}

/// The connection of a user to the server broke before there was media.
pub(super) fn disconnected(story: &Story<'_>) -> Option<String> {
    let over = story.over().filter(|over| !GOOD[..1].contains(&over.reason.as_str()))?;
    let (user, at) = story.disconnected()?;
    Some(format!(
        "{}'s connection to the server was lost after {}, before there was media: the call ended \
         with {} after {}",
        name(user),
        time(at),
        over.reason,
        time(over.at)
    ))
}

/// Returns the sentence for a call that no rule explains.
pub(super) fn unknown(story: &Story<'_>) -> String {
    let relay = story.first(|what| matches!(what, What::Turn { relayed: Some(_), .. }));
    let relay = match relay {
        Some(_) => "",
        None => ", and no side has an allocation at the relay",
    };
    let late = story.late_candidates().map(|late| format!("; {late}")).unwrap_or_default();
    match story.over() {
        Some(over) => format!(
            "the call ended with {} after {}, and nothing shows that it had media{relay}{late}",
            over.reason,
            time(over.at)
        ),
        None => format!(
            "nothing shows that the call has media so far, after {}{relay}{late}",
            time(story.last())
        ),
    }
}
