//! EVEN-PORT and RESERVATION-TOKEN: two ports side by side, for RTP and RTCP (RFC 8656 §7.2).

use std::net::SocketAddr;

use ::stun::attributes::{ATTR_EVEN_PORT, ATTR_RESERVATION_TOKEN, ATTR_XOR_RELAYED_ADDRESS};

use super::{
    super::{
        answer::Answer,
        case::Case,
        client::Client,
        request::{IPV4, IPV6, Request},
        target::Target,
        verdict::{Fault, Step, Verdict, ensure},
    },
    allocate::{ADDITIONAL_ADDRESS_FAMILY, dual, needs_dual},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "ports/even",
        "RFC 8656 §7.2",
        "EVEN-PORT gives an even port, and no token unless it asks for the next port",
        even,
    ),
    Case::new(
        "ports/reserve",
        "RFC 8656 §7.2",
        "EVEN-PORT with its R bit gives an even port and a RESERVATION-TOKEN",
        |target| reserve(target).map(|_| ()),
    ),
    Case::new(
        "ports/redeem",
        "RFC 8656 §7.2",
        "a RESERVATION-TOKEN gives the next port of the same address, on another 5-tuple",
        redeem,
    ),
    Case::new(
        "ports/redeem-twice",
        "RFC 8656 §7.2",
        "a RESERVATION-TOKEN that has been used is a 508",
        redeem_twice,
    ),
    Case::new(
        "ports/unknown-token",
        "RFC 8656 §7.2",
        "a RESERVATION-TOKEN that was never given is a 508",
        |target| refused(target, with_token(b"not one."), 508),
    ),
    Case::new(
        "ports/token-and-even-port",
        "RFC 8656 §7.2",
        "RESERVATION-TOKEN and EVEN-PORT together are a 400",
        |target| refused(target, with_token(b"not one.").with(ATTR_EVEN_PORT, &[0]), 400),
    ),
    Case::new(
        "ports/token-and-family",
        "RFC 8656 §7.2",
        "RESERVATION-TOKEN and REQUESTED-ADDRESS-FAMILY together are a 400",
        |target| refused(target, with_token(b"not one.").family(IPV4), 400),
    ),
    Case::new(
        "ports/token-and-second-family",
        "RFC 8656 §7.2",
        "RESERVATION-TOKEN and ADDITIONAL-ADDRESS-FAMILY together are a 400",
        |target| {
            needs_dual(target)?;
            let family = [IPV6, 0, 0, 0];
            let request = with_token(b"not one.").with(ADDITIONAL_ADDRESS_FAMILY, &family);
            refused(target, request, 400)
        },
    ),
    Case::new(
        "ports/reserve-and-second-family",
        "RFC 8656 §7.2",
        "EVEN-PORT with its R bit and ADDITIONAL-ADDRESS-FAMILY together are a 400",
        |target| {
            needs_dual(target)?;
            refused(target, dual().with(ATTR_EVEN_PORT, &[0x80]), 400)
        },
    ),
];

fn with_token(token: &[u8]) -> Request {
    Request::allocate().with(ATTR_RESERVATION_TOKEN, token)
}

fn refused(target: &Target, request: Request, code: u16) -> Verdict {
    Client::challenged(target)?.ask(&request)?.refused(code).map(|_| ())
}

/// Creates an allocation with an even port; skips the case if the server has no pair of ports left.
fn even_port(target: &Target, client: &mut Client<'_>, flags: u8) -> Verdict<(Answer, SocketAddr)> {
    let answer = client.ask(&target.allocate().with(ATTR_EVEN_PORT, &[flags]))?;
    if answer.code() == Some(508) {
        return Err(Fault::skipped("the server has no such ports left (508)"));
    }
    let answer = answer.success()?;
    let relayed = answer.address(ATTR_XOR_RELAYED_ADDRESS)?;
    ensure(relayed.port().is_multiple_of(2), "an even port", relayed.port())?;
    Ok((answer, relayed))
}

fn even(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let (answer, _) = even_port(target, &mut client, 0)?;
    let token = answer.get(ATTR_RESERVATION_TOKEN).is_some();
    ensure(!token, "no RESERVATION-TOKEN", "a RESERVATION-TOKEN that was not asked for")
}

/// Creates an allocation with a port reserved next to it; returns its client, its address and the
/// token.
fn reserve(target: &Target) -> Verdict<(Client<'_>, SocketAddr, Vec<u8>)> {
    let mut client = Client::challenged(target)?;
    let (answer, relayed) = even_port(target, &mut client, 0x80)?;
    let token = answer.need(ATTR_RESERVATION_TOKEN)?;
    ensure(token.len() == 8, "a RESERVATION-TOKEN of 8 bytes", token.len())?;
    Ok((client, relayed, token))
}

fn redeem(target: &Target) -> Verdict {
    let (_first, even, token) = reserve(target)?;
    let mut client = Client::challenged(target)?;
    let answer = client.ask(&with_token(&token)).and_then(Answer::success).step("the token")?;
    let relayed = answer.address(ATTR_XOR_RELAYED_ADDRESS)?;
    let next = SocketAddr::new(even.ip(), even.port() + 1);
    ensure(relayed == next, &format!("XOR-RELAYED-ADDRESS {next}"), relayed)
}

fn redeem_twice(target: &Target) -> Verdict {
    let (_first, _, token) = reserve(target)?;
    let mut client = Client::challenged(target)?;
    client.ask(&with_token(&token)).and_then(Answer::success).step("the token")?;
    let again = Client::challenged(target)?.ask(&with_token(&token));
    again.and_then(|answer| answer.refused(508)).step("the token again").map(|_| ())
}
