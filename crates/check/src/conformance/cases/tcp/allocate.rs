//! Allocations of TCP, and attributes that they exclude.

use ::stun::attributes::{
    ATTR_DONT_FRAGMENT, ATTR_EVEN_PORT, ATTR_RESERVATION_TOKEN, ATTR_XOR_RELAYED_ADDRESS,
};

use super::{
    super::super::{
        case::Case,
        client::{CHANNEL, Client},
        request::{Request, TCP},
        target::Target,
        verdict::{Verdict, ensure},
    },
    allocated, relays_tcp,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tcp/allocate",
        "RFC 6062 §5.1",
        "REQUESTED-TRANSPORT 6 over a stream gives a relayed address, and no RESERVATION-TOKEN",
        allocate,
    )
    .over_streams(),
    Case::new(
        "tcp/allocate-over-udp",
        "RFC 6062 §5.1",
        "REQUESTED-TRANSPORT 6 over UDP is a 400",
        |target| allocate_refused(target, target.allocate_tcp()),
    )
    .over_datagrams(),
    Case::new(
        "tcp/even-port",
        "RFC 6062 §5.1",
        "EVEN-PORT with REQUESTED-TRANSPORT 6 is a 400",
        |target| allocate_refused(target, target.allocate_tcp().with(ATTR_EVEN_PORT, &[0])),
    )
    .over_streams(),
    Case::new(
        "tcp/reservation-token",
        "RFC 6062 §5.1",
        "RESERVATION-TOKEN with REQUESTED-TRANSPORT 6 is a 400",
        |target| {
            let request = Request::bare_allocate().transport(TCP);
            allocate_refused(target, request.with(ATTR_RESERVATION_TOKEN, b"not one."))
        },
    )
    .over_streams(),
    Case::new(
        "tcp/dont-fragment",
        "RFC 6062 §5.1",
        "DONT-FRAGMENT with REQUESTED-TRANSPORT 6 is a 400",
        dont_fragment,
    )
    .over_streams(),
    Case::new(
        "tcp/send-indication",
        "RFC 6062 §4.5",
        "a Send indication on an allocation of TCP relays nothing",
        send_indication,
    )
    .over_streams(),
    Case::new(
        "tcp/channel-bind",
        "RFC 6062 §4.5",
        "ChannelBind on an allocation of TCP is refused",
        channel_bind,
    )
    .over_streams(),
];

fn allocate(target: &Target) -> Verdict {
    let answer = relays_tcp(Client::challenged(target)?.ask(&target.allocate_tcp())?)?.success()?;
    answer.address(ATTR_XOR_RELAYED_ADDRESS)?;
    let token = answer.get(ATTR_RESERVATION_TOKEN).is_some();
    ensure(!token, "no RESERVATION-TOKEN", "a RESERVATION-TOKEN")
}

fn allocate_refused(target: &Target, request: Request) -> Verdict {
    relays_tcp(Client::challenged(target)?.ask(&request)?)?.refused(400).map(|_| ())
}

fn dont_fragment(target: &Target) -> Verdict {
    super::super::allocate::dont_fragment(target)?;
    allocate_refused(target, target.allocate_tcp().with(ATTR_DONT_FRAGMENT, &[]))
}

fn send_indication(target: &Target) -> Verdict {
    let (mut client, peer) = (allocated(target)?, target.peer()?);
    client.permit(&peer)?;
    let send = Request::send(peer.address, b"no datagrams");
    client.send_unanswered(&send.bytes(), "a Send indication")?;
    peer.silent(target.silence, "nothing at the peer")
}

fn channel_bind(target: &Target) -> Verdict {
    let (mut client, peer) = (allocated(target)?, target.peer()?);
    client.ask(&Request::bind(CHANNEL, peer.address))?.refused_somehow().map(|_| ())
}
