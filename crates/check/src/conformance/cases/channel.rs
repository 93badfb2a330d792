//! ChannelBind and ChannelData (RFC 8656 §12).

use super::{
    super::{
        case::Case,
        client::{CHANNEL, Client},
        data::Data,
        delivery,
        request::{Request, channel_data},
        target::Target,
        verdict::{Fault, Step, Verdict},
    },
    permission::forbidden,
};

/// Another channel.
const OTHER: u16 = CHANNEL + 1;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "channel/bind",
        "RFC 8656 §12.2",
        "ChannelBind succeeds, and again to refresh it",
        bind,
    ),
    Case::new(
        "channel/range",
        "RFC 8656 §12.2",
        "the first and the last number, 0x4000 and 0x4FFF, can be bound",
        range,
    ),
    Case::new(
        "channel/out-of-range",
        "RFC 8656 §12.2",
        "numbers that never were channels are a 400",
        |target| numbers_refused(target, &[0, 0x3FFF, 0x8000, 0xFFFF]),
    ),
    Case::new(
        "channel/reserved-range",
        "RFC 8656 §12.2",
        "numbers from 0x5000 to 0x7FFF are a 400",
        reserved_range,
    ),
    Case::new(
        "channel/no-number",
        "RFC 8656 §12.2",
        "ChannelBind without CHANNEL-NUMBER is a 400",
        no_number,
    ),
    Case::new(
        "channel/no-peer",
        "RFC 8656 §12.2",
        "ChannelBind without XOR-PEER-ADDRESS is a 400",
        |target| refused(target, &Request::bare_bind().channel(CHANNEL), 400),
    ),
    Case::new(
        "channel/number-is-bound",
        "RFC 8656 §12.2",
        "a number that is bound to another peer is a 400",
        number_is_bound,
    ),
    Case::new(
        "channel/peer-is-bound",
        "RFC 8656 §12.2",
        "a peer that has another number is a 400",
        peer_is_bound,
    ),
    Case::new(
        "channel/each-allocation",
        "RFC 8656 §12",
        "allocations have their numbers each for itself",
        each_allocation,
    ),
    Case::new(
        "channel/without-allocation",
        "RFC 8656 §5",
        "ChannelBind where there is no allocation is a 437",
        without_allocation,
    ),
    Case::new(
        "channel/other-family",
        "RFC 8656 §12.2",
        "a peer of another family than the relayed address is a 443",
        |target| refused(target, &Request::bind(CHANNEL, target.other_family()), 443),
    ),
    Case::new(
        "channel/forbidden",
        "RFC 8656 §12.2",
        "a peer that the server denies is a 403",
        |target| forbidden(target, |at, peer| Request::bind(CHANNEL + at, peer)),
    ),
    Case::new(
        "channel/to-peer",
        "RFC 8656 §12.6",
        "ChannelData leaves the relayed address for the channel's peer",
        |target| sent(target, b"to the peer"),
    ),
    Case::new(
        "channel/to-peer-empty",
        "RFC 8656 §12.6",
        "ChannelData of length 0 is an empty datagram",
        |target| sent(target, b""),
    ),
    Case::new(
        "channel/from-peer",
        "RFC 8656 §12.5",
        "what a peer with a channel sends comes as ChannelData",
        |target| came(target, b"to the client"),
    ),
    Case::new(
        "channel/from-peer-empty",
        "RFC 8656 §12.7",
        "an empty datagram comes as ChannelData of length 0",
        |target| came(target, b""),
    ),
    Case::new(
        "channel/permits",
        "RFC 8656 §12.1",
        "a channel is a permission for its peer's address, whatever the port",
        permits,
    ),
    Case::new(
        "channel/send-indication",
        "RFC 8656 §12.5",
        "a client may use Send indications although there is a channel",
        send_indication,
    ),
    Case::new(
        "channel/unbound",
        "RFC 8656 §12.6",
        "ChannelData on a number that is not bound is dropped",
        unbound,
    ),
    Case::new(
        "channel/data-without-allocation",
        "RFC 8656 §5",
        "ChannelData where there is no allocation is ignored",
        data_without_allocation,
    ),
    Case::new(
        "channel/padding",
        "RFC 8656 §12.5",
        "ChannelData may be padded over UDP, and the padding is not relayed",
        padding,
    )
    .over_datagrams(),
    Case::new(
        "channel/length-lies",
        "RFC 8656 §12.6",
        "ChannelData that is shorter than it says is dropped",
        length_lies,
    )
    .over_datagrams(),
];

fn refused(target: &Target, request: &Request, code: u16) -> Verdict {
    Client::allocated(target)?.ask(request)?.refused(code).map(|_| ())
}

fn bind(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    client.bind(CHANNEL, &peer).step("again")
}

fn range(target: &Target) -> Verdict {
    let (mut client, first) = Client::bound(target)?;
    let last = target.peer()?;
    client.bind(0x4FFF, &last).step("0x4fff")?;
    for (number, peer) in [(CHANNEL, first), (0x4FFF, last)] {
        let message = channel_data(number, b"far apart", !target.transport.is_lossy());
        delivery::to_peer(target, &mut client, &peer, &message, b"far apart")?;
    }
    Ok(())
}

/// Binds each of these numbers, which must be refused with a 400.
fn numbers_refused(target: &Target, numbers: &[u16]) -> Verdict {
    let (mut client, peer) = (Client::allocated(target)?, target.peer()?);
    for number in numbers {
        let answer = client.ask(&Request::bind(*number, peer.address));
        answer.and_then(|answer| answer.refused(400)).step(&format!("0x{number:04x}"))?;
    }
    Ok(())
}

fn reserved_range(target: &Target) -> Verdict {
    let (mut client, peer) = (Client::allocated(target)?, target.peer()?);
    let answer = client.ask(&Request::bind(0x5000, peer.address))?;
    if answer.is_success() {
        return Err(Fault::skipped("the server binds 0x5000: it has the range of RFC 5766"));
    }
    answer.refused(400).step("0x5000")?;
    numbers_refused(target, &[0x5001, 0x7FFF])
}

fn no_number(target: &Target) -> Verdict {
    let peer = target.peer()?.address;
    refused(target, &Request::bare_bind().peer(peer), 400)
}

fn number_is_bound(target: &Target) -> Verdict {
    let (mut client, _peer) = Client::bound(target)?;
    let other = target.peer()?;
    client.ask(&Request::bind(CHANNEL, other.address))?.refused(400).map(|_| ())
}

fn peer_is_bound(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    client.ask(&Request::bind(OTHER, peer.address))?.refused(400).map(|_| ())
}

fn each_allocation(target: &Target) -> Verdict {
    let (mut one, first) = Client::bound(target)?;
    let (mut two, second) = Client::bound(target).step("the same number elsewhere")?;
    let message = channel_data(CHANNEL, b"one of two", !target.transport.is_lossy());
    delivery::to_peer(target, &mut one, &first, &message, b"one of two")?;
    delivery::to_peer(target, &mut two, &second, &message, b"one of two")
}

fn without_allocation(target: &Target) -> Verdict {
    let peer = target.peer()?.address;
    Client::challenged(target)?.ask(&Request::bind(CHANNEL, peer))?.refused(437).map(|_| ())
}

fn sent(target: &Target, data: &[u8]) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let message = channel_data(CHANNEL, data, !target.transport.is_lossy());
    delivery::to_peer(target, &mut client, &peer, &message, data)
}

fn came(target: &Target, data: &[u8]) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let form = Data::Channel(CHANNEL, data.to_vec());
    delivery::from_peer(target, &mut client, &peer, data, &form)
}

fn permits(target: &Target) -> Verdict {
    let (mut client, _peer) = Client::bound(target)?;
    let other = target.peer()?;
    let form = Data::Indication(other.address, b"another port".to_vec());
    delivery::from_peer(target, &mut client, &other, b"another port", &form)
}

fn send_indication(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let send = Request::send(peer.address, b"the longer way").bytes();
    delivery::to_peer(target, &mut client, &peer, &send, b"the longer way")
}

fn unbound(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let message = channel_data(OTHER, b"to whom?", !target.transport.is_lossy());
    client.send_unanswered(&message, "ChannelData")?;
    peer.silent(target.silence, "nothing at the peer")
}

fn data_without_allocation(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let message = channel_data(CHANNEL, b"from where?", !target.transport.is_lossy());
    client.send_unanswered(&message, "ChannelData")
}

fn padding(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    for data in [&b"1"[..], b"12", b"123", b"1234"] {
        let message = channel_data(CHANNEL, data, true);
        delivery::to_peer(target, &mut client, &peer, &message, data)?;
    }
    Ok(())
}

fn length_lies(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    let mut message = channel_data(CHANNEL, b"shorter", false);
    message[2..4].copy_from_slice(&100u16.to_be_bytes());
    client.send_unanswered(&message, "ChannelData that is too short")?;
    peer.silent(target.silence, "nothing at the peer")
}
