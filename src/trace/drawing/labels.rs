//! The words of the arrows and notes.

use std::net::SocketAddr;

use super::item::Label;
use crate::trace::{
    details::{
        CandidateAddress, EventFate, Facts, SessionChange, TracedCandidate, Transport, TurnFate,
    },
    document::What,
};

/// Returns the words of an event: of a request of a client, or of one that the server sends.
pub(super) fn event(name: &str, facts: &Facts, is_request: bool) -> Label {
    let form = match (name, is_request) {
        ("call:initiate", true) => " { targetUserId, callType }",
        ("call:incoming", false) => " { callerId, callType }",
        ("call:accept" | "call:reject" | "call:cancel" | "call:end", true) => " { callId }",
        ("ice:candidate", true) => " { candidate }",
        ("signal:offer" | "signal:answer", true) => " { sdp }",
        ("ice:candidate" | "signal:offer" | "signal:answer", false) => " (relay)",
        _ => "",
    };
    let mut details = Vec::new();
    match name {
        "call:initiate" | "call:incoming" | "call:upgrade" | "call:upgraded" => {
            details.extend(facts.call_type.clone());
        }
        "call:state" | "call:sync" | "room:sync" => details.extend(facts.state.clone()),
        _ => {}
    }
    details.extend(facts.reason.clone());
    details.extend(facts.path.as_ref().map(|path| format!("path {path}")));
    details.extend(facts.candidate.as_ref().map(candidate));
    Label { name: name.to_owned(), form, details }
}

fn candidate(candidate: &TracedCandidate) -> String {
    let with =
        |kind: &str, address: &CandidateAddress| format!("{kind} {}", transport(address.transport));
    match candidate {
        TracedCandidate::Host(address) => with("host", address),
        TracedCandidate::Srflx(address) => with("srflx", address),
        TracedCandidate::Prflx(address) => with("prflx", address),
        TracedCandidate::Relay(address) => with("relay", address),
        TracedCandidate::End => "end of candidates".to_owned(),
        TracedCandidate::Unreadable => "unreadable".to_owned(),
    }
}

/// Returns the name of a protocol.
pub(super) fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}

/// Returns the fault that an event met with.
pub(super) fn fate(fate: EventFate) -> String {
    let words = match fate {
        EventFate::Dropped => "dropped by a fault",
        EventFate::Delayed => "held back by a fault",
        EventFate::Duplicated => "sent twice by a fault",
    };
    words.to_owned()
}

/// Returns the words of a request to the relay, with its outcome; empty ones for another step.
pub(super) fn turn(what: &What) -> Label {
    let mut label = Label { name: String::new(), form: "", details: Vec::new() };
    let What::Turn {
        transport: via,
        method,
        error,
        refusal,
        relayed,
        peers,
        channel,
        lifetime,
        fault,
        ..
    } = what
    else {
        return label;
    };
    label.name.clone_from(method);
    let details = &mut label.details;
    if method == "Allocate" {
        details.push(transport(*via).to_owned());
    }
    if method == "Refresh" && *lifetime == Some(0) {
        details.push("lifetime 0".to_owned());
    }
    details.extend(channel.map(|number| format!("0x{number:04x}")));
    details.extend(match (peers.as_slice(), method.as_str()) {
        ([], _) => None,
        ([peer], "CreatePermission") => Some(format!("for {}", peer.ip())),
        ([peer], _) => Some(format!("for {peer}")),
        (peers, _) => Some(format!("for {} peers", peers.len())),
    });
    details.push(match (error, refusal, fault) {
        (_, _, Some(TurnFate::Silenced)) => "not answered: a fault".to_owned(),
        (Some(code), _, Some(TurnFate::Answered)) => format!("error {code}: a fault"),
        (Some(code), Some(refusal), None) => format!("error {code}: {refusal}"),
        // Each client is asked for its credentials in this way.
        (Some(401), None, None) => "401: asks to log in".to_owned(),
        (Some(438), None, None) => "438: new nonce".to_owned(),
        (Some(code), None, None) => format!("error {code}"),
        (None, ..) => "ok".to_owned(),
    });
    details.extend(relayed.map(|relayed| format!("relayed {relayed}")));
    label
}

/// Returns the words of a packet with its peer, and the letter of the user whose relayed address
/// the peer is.
pub(super) fn packet(name: &str, towards: &str, peer: SocketAddr, letter: Option<String>) -> Label {
    let whose = letter.map(|letter| format!(" (relay of {letter})")).unwrap_or_default();
    let details = vec![format!("first packet {towards} {peer}{whose}")];
    Label { name: name.to_owned(), form: "", details }
}

/// Returns the words of a change of a connection.
pub(super) fn session(change: SessionChange) -> &'static str {
    match change {
        SessionChange::Lost => "Connection to the server lost",
        SessionChange::Resumed => "Connection to the server resumed",
        SessionChange::Closed => "Connection to the server closed",
        SessionChange::Left => "Client has left",
    }
}
