//! Data on its way through the server. It may be lost, so it is sent again; it must not change.

use std::time::{Duration, Instant};

use super::{
    client::Client,
    data::Data,
    peer::Peer,
    request::Request,
    target::Target,
    verdict::{Fault, Step, Verdict},
};

/// The number of times that data is sent before it counts as not delivered.
const ATTEMPTS: u32 = 5;

/// The time for which nothing must come of a part of a message.
const PART: Duration = Duration::from_millis(10);

/// Sends a message until its data arrives at the peer, from the relayed address and as it was.
pub(super) fn to_peer(
    target: &Target,
    client: &mut Client<'_>,
    peer: &Peer,
    message: &[u8],
    data: &[u8],
) -> Verdict {
    to_peer_in_pieces(target, client, peer, &[message], data)
}

/// Sends a message in pieces, one after the other, until its data arrives at the peer.
pub(super) fn to_peer_in_pieces(
    target: &Target,
    client: &mut Client<'_>,
    peer: &Peer,
    pieces: &[&[u8]],
    data: &[u8],
) -> Verdict {
    let relayed = client.relayed()?;
    let mut other = None;
    for attempt in 0..ATTEMPTS {
        for (index, piece) in pieces.iter().enumerate() {
            client.send(piece)?;
            if index + 1 < pieces.len() {
                peer.silent(PART, "nothing at the peer before the whole message has come")?;
            }
        }
        let until = Instant::now() + to_peer_timeout(target, attempt);
        while let Some((came, from)) = peer.receive(until)? {
            if came == data && from == relayed {
                return if attempt > 0 {
                    ensure_prompt(target, client, peer, data)
                } else {
                    Ok(())
                };
            }
            // It may be a late copy of earlier data, so the next attempts are made all the same.
            other = Some(format!("{} from {from}", show(&came)));
        }
    }
    let expected = format!("{} at the peer, from {relayed}", show(data));
    Err(Fault::failed(expected, other.unwrap_or_else(|| "nothing".into())))
}

/// Fails if the server kept data that came over a stream until more came. Data that arrives after
/// it was sent again may have been lost before; on a stream nothing is lost on the way to the
/// server, so that copies which arrive now were kept.
fn ensure_prompt(target: &Target, client: &mut Client<'_>, peer: &Peer, data: &[u8]) -> Verdict {
    if target.transport.is_lossy() {
        return Ok(());
    }
    client.exchange(&Request::binding()).step("a Binding after it")?;
    match peer.receive(Instant::now() + target.silence)? {
        Some((came, _)) if came == data => {
            let expected = format!("{} at the peer, as soon as it was sent", show(data));
            Err(Fault::failed(expected, "it came only when more was sent behind it"))
        }
        _ => Ok(()),
    }
}

/// Has the peer send data until it arrives at the client in this form.
pub(super) fn from_peer(
    target: &Target,
    client: &mut Client<'_>,
    peer: &Peer,
    data: &[u8],
    form: &Data,
) -> Verdict {
    let relayed = client.relayed()?;
    let mut other = None;
    for _ in 0..ATTEMPTS {
        peer.send(data, relayed)?;
        let until = Instant::now() + attempt_timeout(target);
        while let Some(came) = client.data(until.saturating_duration_since(Instant::now()))? {
            if came == *form {
                return Ok(());
            }
            // It may be a late copy of earlier data.
            other = Some(show_data(&came));
        }
    }
    Err(Fault::failed(show_data(form), other.unwrap_or_else(|| "nothing".into())))
}

/// Returns the time of one attempt to send data to a peer. On a stream, the first has all the time
/// of an answer: what a busy server relays late must not be sent again, or [`ensure_prompt`] takes
/// the second copy for data that the server kept.
fn to_peer_timeout(target: &Target, attempt: u32) -> Duration {
    if attempt == 0 && !target.transport.is_lossy() {
        target.timeout
    } else {
        attempt_timeout(target)
    }
}

/// Returns the time of one attempt.
fn attempt_timeout(target: &Target) -> Duration {
    target.timeout / ATTEMPTS
}

fn show(data: &[u8]) -> String {
    let begin: String = data.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let dots = if data.len() > 8 { "…" } else { "" };
    match data {
        [] => "an empty datagram".into(),
        _ => format!("{} bytes ({begin}{dots})", data.len()),
    }
}

fn show_data(data: &Data) -> String {
    match data {
        Data::Indication(peer, data) => format!("a Data indication from {peer}: {}", show(data)),
        Data::Channel(number, data) => format!("ChannelData on 0x{number:04x}: {}", show(data)),
    }
}
