//! A step as arrows and notes.

use std::net::SocketAddr;

use callbox_base::ids::UserId;

use super::{
    cast::Cast,
    item::{Arrow, Item, Label, Line, Mark, Place},
    labels,
};
use crate::trace::{
    details::{EventFate, Facts, TurnFate, Way},
    document::{Step, What},
};

/// Returns the marks of a step; none if its user is not drawn.
pub(super) fn of_step(cast: &Cast, step: &Step) -> Vec<Item> {
    let marks = marks(cast, &step.what).unwrap_or_default().into_iter();
    let item = |mark| Item { at_ms: step.at_ms, until_ms: step.at_ms, times: 1, mark };
    marks.map(item).collect()
}

fn marks(cast: &Cast, what: &What) -> Option<Vec<Mark>> {
    match what {
        What::Request { user, event, error, facts } => {
            request(cast, user, event, error.as_deref(), facts)
        }
        What::Event { user, event, fault, facts } => {
            let to = cast.place(user)?;
            let mut label = labels::event(event, facts, false);
            label.details.extend(fault.map(labels::fate));
            let line = match fault {
                Some(EventFate::Dropped | EventFate::Delayed) => Line::Broken,
                _ => Line::Solid,
            };
            Some(vec![arrow(Place::Signaling, to, line, label)])
        }
        What::Session { user, change } => note(cast.place(user)?, labels::session(*change)),
        What::Binding { user, client, transport } => {
            let place = cast.place(user)?;
            let details = vec![labels::transport(*transport).to_owned()];
            let ask = label("Request server-reflexive candidate", details);
            let answer = label("srflx candidate", vec![client.to_string()]);
            Some(vec![
                arrow(place, Place::Stun, Line::Solid, ask),
                arrow(Place::Stun, place, Line::Solid, answer),
            ])
        }
        What::Turn { user, fault, .. } => {
            let is_silenced = *fault == Some(TurnFate::Silenced);
            let line = if is_silenced { Line::Broken } else { Line::Solid };
            Some(vec![arrow(cast.place(user)?, Place::Turn, line, labels::turn(what))])
        }
        What::Expired { user, peer, channel } => {
            let id = cast.place(user)?.id();
            let permission = peer.map(|peer| format!("permission for {peer}"));
            let channel = channel.map(|number| format!("channel 0x{number:04x}"));
            let what = permission.or(channel).unwrap_or_else(|| "permission".to_owned());
            note(Place::Turn, format!("{id}: {what} has expired"))
        }
        What::FirstPacket { user, direction, peer } => {
            Some(relayed(cast, cast.place(user)?, *direction, *peer))
        }
        What::FirstRefusedPacket { user, direction, peer, reason } => {
            let mut details = vec![reason.clone()];
            details.extend(peer.map(|peer| format!("{} {peer}", towards(*direction))));
            Some(vec![broken(cast.place(user)?, *direction, label("Packet not relayed", details))])
        }
        What::FirstLostPacket { user, direction } => {
            let label = label("Packet lost", vec!["by a fault".to_owned()]);
            Some(vec![broken(cast.place(user)?, *direction, label)])
        }
        What::AllocationClosed {
            user,
            reason,
            bytes_up,
            bytes_down,
            refused_packets,
            lost_packets,
        } => {
            let id = cast.place(user)?.id();
            let mut text =
                format!("{id}: allocation closed ({reason}), {bytes_up} B up, {bytes_down} B down");
            for (number, words) in [(refused_packets, "not relayed"), (lost_packets, "lost")] {
                if *number > 0 {
                    text += &format!(", {number} packets {words}");
                }
            }
            note(Place::Turn, text)
        }
        What::Fault { fault, user } => {
            let of = user.as_ref().and_then(|user| cast.place(user)).map(Place::id);
            let of = of.map(|id| format!(" for {id}")).unwrap_or_default();
            note(Place::Signaling, format!("Fault of a test{of}: {fault}"))
        }
        What::Over { reason, user } => {
            let by = user.as_ref().and_then(|user| cast.place(user)).map(Place::id);
            let by = by.map(|id| format!(" by {id}")).unwrap_or_default();
            let (first, last) = cast.everyone();
            Some(vec![Mark::Note(first, last, format!("Call is over: {reason}{by}"))])
        }
    }
}

fn request(
    cast: &Cast,
    user: &UserId,
    event: &str,
    error: Option<&str>,
    facts: &Facts,
) -> Option<Vec<Mark>> {
    let from = cast.place(user)?;
    let mut words = labels::event(event, facts, true);
    words.details.extend(error.map(|code| format!("refused: {code}")));
    let mut marks = vec![arrow(from, Place::Signaling, Line::Solid, words)];
    let path = facts.path.as_deref().filter(|path| matches!(*path, "host" | "srflx" | "prflx"));
    if let (Some(path), Some(to), None) = (path, cast.other(user), error) {
        let direct = label("Direct P2P media stream", vec![path.to_owned()]);
        marks.push(arrow(from, to, Line::Dashed, direct));
    }
    Some(marks)
}

/// Returns the arrows of a packet that an allocation has relayed. The part between the relay and
/// the peer is drawn if the peer is a client: a relayed address is that of the relay itself.
fn relayed(cast: &Cast, user: Place, direction: Way, peer: SocketAddr) -> Vec<Mark> {
    let words = labels::packet("Relay media", towards(direction), peer, cast.relayed_for(peer));
    let client = cast.client(peer).filter(|client| *client != user);
    let path = match direction {
        Way::ToPeer => [Some(user), Some(Place::Turn), client],
        Way::ToClient => [client, Some(Place::Turn), Some(user)],
    };
    let pairs = path.windows(2).filter_map(|pair| Some((pair[0]?, pair[1]?)));
    let arrow = |(from, to)| {
        let (line, label) = (Line::Solid, words.clone());
        Mark::Arrow(Arrow { from, to, line, is_relayed: true, label })
    };
    pairs.map(arrow).collect()
}

fn towards(direction: Way) -> &'static str {
    match direction {
        Way::ToPeer => "to",
        Way::ToClient => "from",
    }
}

fn broken(user: Place, direction: Way, label: Label) -> Mark {
    match direction {
        Way::ToPeer => arrow(user, Place::Turn, Line::Broken, label),
        Way::ToClient => arrow(Place::Turn, user, Line::Broken, label),
    }
}

fn arrow(from: Place, to: Place, line: Line, label: Label) -> Mark {
    Mark::Arrow(Arrow { from, to, line, is_relayed: false, label })
}

fn label(name: &str, details: Vec<String>) -> Label {
    Label { name: name.to_owned(), form: "", details }
}

fn note(place: Place, text: impl Into<String>) -> Option<Vec<Mark>> {
    Some(vec![Mark::Note(place, place, text.into())])
}
