//! NAT behaviour discovery (RFC 5780): a server with two addresses and two ports answers from the
//! address and port that a request names.

use std::net::SocketAddr;

use ::stun::attributes::{
    ATTR_CHANGE_REQUEST, ATTR_MAPPED_ADDRESS, ATTR_OTHER_ADDRESS, ATTR_PADDING,
    ATTR_RESPONSE_ORIGIN, ATTR_RESPONSE_PORT, ATTR_XORMAPPED_ADDRESS,
};

use super::super::{
    answer::Answer,
    asker::Asker,
    case::Case,
    client::Client,
    request::Request,
    target::Target,
    verdict::{Fault, Step, Verdict, ensure},
};

/// The flags of CHANGE-REQUEST (RFC 5780 §7.2).
const CHANGE_IP: u8 = 4;
const CHANGE_PORT: u8 = 2;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "discovery/mapped-twice",
        "RFC 5780 §6.1",
        "MAPPED-ADDRESS and XOR-MAPPED-ADDRESS are both in the answer, and are the same",
        mapped_twice,
    )
    .over_datagrams(),
    Case::new(
        "discovery/origin",
        "RFC 5780 §6.1",
        "RESPONSE-ORIGIN is the address that was asked, and from where the answer comes",
        |target| change(target, None),
    )
    .over_datagrams(),
    Case::new(
        "discovery/other-address",
        "RFC 5780 §6.1",
        "OTHER-ADDRESS has another IP address and another port, whichever of the four is asked",
        other_address,
    )
    .over_datagrams(),
    Case::new(
        "discovery/change-nothing",
        "RFC 5780 §6.1",
        "CHANGE-REQUEST without flags is answered from the address that was asked",
        |target| change(target, Some(0)),
    )
    .over_datagrams(),
    Case::new(
        "discovery/change-port",
        "RFC 5780 §6.1",
        "CHANGE-REQUEST for the port is answered from the other port of the same IP address",
        |target| change(target, Some(CHANGE_PORT)),
    )
    .over_datagrams(),
    Case::new(
        "discovery/change-ip",
        "RFC 5780 §6.1",
        "CHANGE-REQUEST for the IP address is answered from the same port of the other one",
        |target| change(target, Some(CHANGE_IP)),
    )
    .over_datagrams(),
    Case::new(
        "discovery/change-both",
        "RFC 5780 §6.1",
        "CHANGE-REQUEST for both is answered from the address that OTHER-ADDRESS names",
        |target| change(target, Some(CHANGE_IP | CHANGE_PORT)),
    )
    .over_datagrams(),
    Case::new(
        "discovery/response-port",
        "RFC 5780 §6.1",
        "RESPONSE-PORT has the answer sent to that port",
        response_port,
    )
    .over_datagrams(),
    Case::new(
        "discovery/padding",
        "RFC 5780 §6.1",
        "a request with PADDING is answered with PADDING",
        padding,
    )
    .over_datagrams(),
    Case::new(
        "discovery/padding-and-port",
        "RFC 5780 §6.1",
        "PADDING and RESPONSE-PORT together are a 400",
        padding_and_response_port,
    )
    .over_datagrams(),
    Case::new(
        "discovery/not-offered",
        "RFC 5780 §6.1",
        "where no OTHER-ADDRESS is offered, CHANGE-REQUEST is a 420",
        not_offered,
    ),
    Case::new(
        "discovery/over-streams",
        "RFC 5780 §6.1",
        "CHANGE-REQUEST over a stream, whose answer can come no other way, is refused",
        over_streams,
    )
    .over_streams(),
];

fn changing(flags: u8) -> Request {
    Request::binding().with(ATTR_CHANGE_REQUEST, &[0, 0, 0, flags])
}

/// Sends a plain request and returns the answer. Skips the case if there is a NAT between, which
/// would block answers from another address, or to another port.
fn without_nat(target: &Target) -> Verdict<Answer> {
    let mut client = Client::connect(target)?;
    let answer = client.exchange(&Request::binding())?.success()?;
    if answer.address(ATTR_XORMAPPED_ADDRESS)? != client.local()? {
        return Err(Fault::skipped("there is a NAT on the way to the server"));
    }
    Ok(answer)
}

/// Returns the server's other address.
fn offered(target: &Target) -> Verdict<SocketAddr> {
    let answer = without_nat(target)?;
    if answer.get(ATTR_OTHER_ADDRESS).is_none() {
        return Err(Fault::skipped("the server offers no OTHER-ADDRESS, as it may"));
    }
    answer.plain_address(ATTR_OTHER_ADDRESS)
}

fn mapped_twice(target: &Target) -> Verdict {
    offered(target)?;
    let answer = without_nat(target)?;
    let mapped = answer.address(ATTR_XORMAPPED_ADDRESS)?;
    let plain = answer.plain_address(ATTR_MAPPED_ADDRESS)?;
    ensure(plain == mapped, &format!("MAPPED-ADDRESS {mapped}"), plain)
}

/// Fails unless an answer comes from this address, and says so.
fn check_source(expected: SocketAddr, answer: Answer, from: SocketAddr) -> Verdict<Answer> {
    let answer = answer.success()?;
    ensure(from == expected, &format!("an answer from {expected}"), from)?;
    let origin = answer.plain_address(ATTR_RESPONSE_ORIGIN)?;
    ensure(origin == expected, &format!("RESPONSE-ORIGIN {expected}"), origin)?;
    Ok(answer)
}

fn change(target: &Target, flags: Option<u8>) -> Verdict {
    let other = offered(target)?;
    let request = flags.map_or_else(Request::binding, changing);
    let pick = |flag| if flags.unwrap_or(0) & flag == 0 { target.server } else { other };
    let expected = SocketAddr::new(pick(CHANGE_IP).ip(), pick(CHANGE_PORT).port());
    let (answer, from) = Asker::open(target)?.ask(&request, target.server)?;
    // "regardless of the value of the CHANGE-REQUEST flags" (RFC 5780 §6.1).
    let named = check_source(expected, answer, from)?.plain_address(ATTR_OTHER_ADDRESS)?;
    ensure(named == other, &format!("OTHER-ADDRESS {other}"), named)
}

fn other_address(target: &Target) -> Verdict {
    let (one, two) = (target.server, offered(target)?);
    let differs = one.ip() != two.ip() && one.port() != two.port();
    ensure(differs, &format!("OTHER-ADDRESS with neither part of {one}"), two)?;
    let asker = Asker::open(target)?;
    let cross = |ip: SocketAddr, port: SocketAddr| SocketAddr::new(ip.ip(), port.port());
    for (destination, other) in
        [(cross(one, two), cross(two, one)), (cross(two, one), cross(one, two))]
            .into_iter()
            .chain([(two, one)])
    {
        let (answer, from) =
            asker.ask(&Request::binding(), destination).step(&destination.to_string())?;
        let answer = check_source(destination, answer, from)?;
        let named = answer.plain_address(ATTR_OTHER_ADDRESS)?;
        ensure(named == other, &format!("{destination}: OTHER-ADDRESS {other}"), named)?;
    }
    Ok(())
}

/// Both are optional without a second address, too (RFC 5780 §5).
fn optional(answer: Answer, name: &str) -> Verdict<Answer> {
    match answer.code() {
        Some(420) => {
            Err(Fault::skipped(format!("the server does not have {name} (420), as it may")))
        }
        _ => Ok(answer),
    }
}

fn response_port(target: &Target) -> Verdict {
    without_nat(target)?;
    let (asker, other) = (Asker::open(target)?, Asker::open(target)?);
    let to = |port: u16| Request::binding().with(ATTR_RESPONSE_PORT, &port.to_be_bytes());
    // The first request is for its own port: an error need not come to the other one.
    let (plain, _) = asker.ask(&to(asker.port()?), target.server)?;
    optional(plain, "RESPONSE-PORT")?.success()?;
    let (answer, _) = asker.ask_for(&other, &to(other.port()?), target.server)?;
    answer.success().map(|_| ())
}

fn padding(target: &Target) -> Verdict {
    let request = Request::binding().with(ATTR_PADDING, &[7; 1200]);
    let (answer, _) = Asker::open(target)?.ask(&request, target.server)?;
    optional(answer, "PADDING")?.success()?.need(ATTR_PADDING).map(|_| ())
}

fn padding_and_response_port(target: &Target) -> Verdict {
    let asker = Asker::open(target)?;
    let port = asker.port()?.to_be_bytes();
    let request = Request::binding().with(ATTR_PADDING, &[7; 16]).with(ATTR_RESPONSE_PORT, &port);
    let (answer, _) = asker.ask(&request, target.server)?;
    optional(answer, "PADDING and RESPONSE-PORT")?.refused(400).map(|_| ())
}

fn not_offered(target: &Target) -> Verdict {
    let mut client = Client::connect(target)?;
    let answer = client.exchange(&Request::binding())?.success()?;
    if answer.get(ATTR_OTHER_ADDRESS).is_some() {
        return Err(Fault::skipped("the server offers an OTHER-ADDRESS"));
    }
    client.exchange(&changing(CHANGE_IP | CHANGE_PORT))?.refused(420).map(|_| ())
}

fn over_streams(target: &Target) -> Verdict {
    let request = changing(CHANGE_IP | CHANGE_PORT);
    Client::connect(target)?.exchange(&request)?.refused_somehow().map(|_| ())
}
