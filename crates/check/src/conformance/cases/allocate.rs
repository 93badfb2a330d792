//! Allocate: attributes that are granted, and attributes that are refused (RFC 8656 §7.2).

use std::net::SocketAddr;

use ::stun::attributes::{
    ATTR_DONT_FRAGMENT, ATTR_LIFETIME, ATTR_REQUESTED_TRANSPORT, ATTR_UNKNOWN_ATTRIBUTES,
    ATTR_XOR_RELAYED_ADDRESS, AttrType,
};

use super::{
    super::{
        answer::Answer,
        case::Case,
        client::Client,
        request::{IPV4, IPV6, Request, UDP},
        target::Target,
        verdict::{Fault, Step, Verdict, ensure},
    },
    stun::mapped,
};

/// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11), which may be ignored.
pub(super) const ADDITIONAL_ADDRESS_FAMILY: AttrType = AttrType(0x8000);
/// ADDRESS-ERROR-CODE (RFC 8656 §18.12).
const ADDRESS_ERROR_CODE: AttrType = AttrType(0x8001);

pub(super) const CASES: &[Case] = &[
    Case::new(
        "allocate/success",
        "RFC 8656 §7.2",
        "a success has XOR-RELAYED-ADDRESS, LIFETIME and the client's XOR-MAPPED-ADDRESS",
        success,
    ),
    Case::new(
        "allocate/no-transport",
        "RFC 8656 §7.2",
        "an Allocate without REQUESTED-TRANSPORT is a 400",
        |target| refused(target, &Request::bare_allocate(), 400),
    ),
    Case::new(
        "allocate/malformed-transport",
        "RFC 8656 §7.2",
        "a malformed REQUESTED-TRANSPORT is a 400",
        |target| {
            refused(target, &Request::bare_allocate().with(ATTR_REQUESTED_TRANSPORT, &[UDP]), 400)
        },
    ),
    Case::new(
        "allocate/other-transport",
        "RFC 8656 §7.2",
        "a protocol that is not relayed is a 442",
        // 253 is for experiments (RFC 3692), so nobody relays it.
        |target| refused(target, &Request::bare_allocate().transport(253), 442),
    ),
    Case::new(
        "allocate/sent-again",
        "RFC 8656 §5",
        "an Allocate that is sent again gets the same relayed address again",
        sent_again,
    )
    .over_datagrams(),
    Case::new(
        "allocate/second",
        "RFC 8656 §7.2",
        "a second Allocate on a 5-tuple is a 437, and the first allocation stays",
        second,
    ),
    Case::new(
        "allocate/each-5-tuple",
        "RFC 8656 §6",
        "another 5-tuple of the same user gets another relayed address",
        each_5_tuple,
    ),
    Case::new(
        "allocate/ipv4-unless-asked",
        "RFC 8656 §7.2",
        "without REQUESTED-ADDRESS-FAMILY the relayed address is an IPv4 one",
        |target| of_family(target, &Request::allocate(), SocketAddr::is_ipv4),
    ),
    Case::new(
        "allocate/ipv4",
        "RFC 8656 §7.2",
        "REQUESTED-ADDRESS-FAMILY 1 gives an IPv4 address",
        |target| of_family(target, &Request::allocate().family(IPV4), SocketAddr::is_ipv4),
    ),
    Case::new(
        "allocate/ipv6",
        "RFC 8656 §7.2",
        "REQUESTED-ADDRESS-FAMILY 2 gives an IPv6 address",
        |target| of_family(target, &Request::allocate().family(IPV6), SocketAddr::is_ipv6),
    ),
    Case::new(
        "allocate/unknown-family",
        "RFC 8656 §7.2",
        "a REQUESTED-ADDRESS-FAMILY that there is not is a 440",
        unknown_family,
    ),
    Case::new(
        "allocate/both-families",
        "RFC 8656 §7.2",
        "ADDITIONAL-ADDRESS-FAMILY gives a second address, or says why not",
        both_families,
    ),
    Case::new(
        "allocate/additional-ipv4",
        "RFC 8656 §7.2",
        "ADDITIONAL-ADDRESS-FAMILY 1 is a 400",
        |target| {
            refused_if_dual(
                target,
                &Request::allocate().with(ADDITIONAL_ADDRESS_FAMILY, &[IPV4, 0, 0, 0]),
            )
        },
    ),
    Case::new(
        "allocate/family-twice",
        "RFC 8656 §7.2",
        "REQUESTED- and ADDITIONAL-ADDRESS-FAMILY together are a 400",
        |target| refused_if_dual(target, &dual().family(IPV4)),
    ),
    Case::new(
        "allocate/dont-fragment",
        "RFC 8656 §7.2",
        "DONT-FRAGMENT is accepted, or refused as an unknown attribute",
        dont_fragment,
    ),
];

/// Sends a request that must be refused with this code.
fn refused(target: &Target, request: &Request, code: u16) -> Verdict {
    Client::challenged(target)?.ask(request)?.refused(code).map(|_| ())
}

fn success(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let answer = client.allocate()?;
    let relayed = answer.address(ATTR_XOR_RELAYED_ADDRESS)?;
    ensure(relayed.port() != 0, "a relayed address with a port", relayed)?;
    answer.number(ATTR_LIFETIME)?;
    mapped(&client, &answer)
}

fn sent_again(target: &Target) -> Verdict {
    let mut client = Client::challenged(target)?;
    let request = Request::allocate().signed(&client.login()?);
    let first = client.exchange(&request)?.success()?.address(ATTR_XOR_RELAYED_ADDRESS)?;
    let second = client.exchange(&request).and_then(Answer::success).step("the second time")?;
    let second = second.address(ATTR_XOR_RELAYED_ADDRESS)?;
    ensure(first == second, &format!("XOR-RELAYED-ADDRESS {first} again"), second)
}

fn second(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    client.ask(&Request::allocate())?.refused(437)?;
    let refreshed = client.ask(&Request::refresh()).and_then(Answer::success);
    refreshed.step("a Refresh after it").map(|_| ())
}

fn each_5_tuple(target: &Target) -> Verdict {
    let (first, second) = (Client::allocated(target)?, Client::allocated(target)?);
    let same = first.relayed()? == second.relayed()?;
    ensure(!same, "two relayed addresses", format!("{} twice", first.relayed()?))
}

fn of_family(target: &Target, request: &Request, fits: fn(&SocketAddr) -> bool) -> Verdict {
    let mut client = Client::challenged(target)?;
    let answer = client.ask(request)?;
    if answer.code() == Some(440) {
        return Err(Fault::skipped("the server does not have this family (440)"));
    }
    let answer = knows_families(answer)?;
    let relayed = answer.success()?.address(ATTR_XOR_RELAYED_ADDRESS)?;
    ensure(fits(&relayed), "a relayed address of the family", relayed)
}

fn unknown_family(target: &Target) -> Verdict {
    let answer = Client::challenged(target)?.ask(&Request::allocate().family(3))?;
    knows_families(answer)?.refused(440).map(|_| ())
}

/// Skips the case for a server that is older than RFC 6156, which need not know of families.
fn knows_families(answer: Answer) -> Verdict<Answer> {
    if answer.code() == Some(420) {
        return Err(Fault::skipped("the server does not have REQUESTED-ADDRESS-FAMILY (420)"));
    }
    Ok(answer)
}

/// Creates an Allocate for an address of each family.
pub(super) fn dual() -> Request {
    Request::allocate().with(ADDITIONAL_ADDRESS_FAMILY, &[IPV6, 0, 0, 0])
}

/// Returns true if the server takes ADDITIONAL-ADDRESS-FAMILY: its answer names a second address.
pub(super) fn needs_dual(target: &Target) -> Verdict<Answer> {
    let answer = Client::challenged(target)?.ask(&dual())?.success()?;
    let two = answer.count(ATTR_XOR_RELAYED_ADDRESS) > 1;
    if !two && answer.get(ADDRESS_ERROR_CODE).is_none() {
        return Err(Fault::skipped("the server ignores ADDITIONAL-ADDRESS-FAMILY, as it may"));
    }
    Ok(answer)
}

fn both_families(target: &Target) -> Verdict {
    let answer = needs_dual(target)?;
    let count = answer.count(ATTR_XOR_RELAYED_ADDRESS);
    let alone = answer.get(ADDRESS_ERROR_CODE).is_some();
    let expected = "two relayed addresses, or one and ADDRESS-ERROR-CODE";
    let came = format!("{count} addresses, ADDRESS-ERROR-CODE: {alone}");
    ensure(count + usize::from(alone) == 2, expected, came)
}

fn refused_if_dual(target: &Target, request: &Request) -> Verdict {
    needs_dual(target)?;
    refused(target, request, 400)
}

/// Returns true if the server takes DONT-FRAGMENT.
pub(super) fn dont_fragment(target: &Target) -> Verdict {
    let request = Request::allocate().with(ATTR_DONT_FRAGMENT, &[]);
    let answer = Client::challenged(target)?.ask(&request)?;
    if answer.code() == Some(420) {
        let listed = answer.list(ATTR_UNKNOWN_ATTRIBUTES)?;
        let named = listed.contains(&ATTR_DONT_FRAGMENT.value());
        ensure(named, "UNKNOWN-ATTRIBUTES with 001a", format!("{listed:04x?}"))?;
        return Err(Fault::skipped("the server does not have DONT-FRAGMENT (420), as it may"));
    }
    answer.success().map(|_| ())
}
