//! Permissions: the addresses that may send to an allocation, and be sent to (RFC 8656 §9, §10).

use std::net::SocketAddr;

use ::stun::attributes::ATTR_XOR_PEER_ADDRESS;

use super::super::{
    answer::Answer,
    case::Case,
    client::Client,
    data::Data,
    delivery,
    request::Request,
    target::Target,
    verdict::{Fault, Step, Verdict},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "permission/create",
        "RFC 8656 §10.2",
        "CreatePermission succeeds, and again to refresh it",
        create,
    ),
    Case::new(
        "permission/no-peer",
        "RFC 8656 §10.2",
        "CreatePermission without XOR-PEER-ADDRESS is a 400",
        |target| refused(target, &Request::permission(), 400),
    ),
    Case::new(
        "permission/malformed-peer",
        "RFC 8656 §10.2",
        "CreatePermission with an XOR-PEER-ADDRESS that is none is a 400",
        malformed_peer,
    ),
    Case::new(
        "permission/without-allocation",
        "RFC 8656 §5",
        "CreatePermission where there is no allocation is a 437",
        without_allocation,
    ),
    Case::new(
        "permission/other-family",
        "RFC 8656 §10.2",
        "a peer of another family than the relayed address is a 443",
        |target| refused(target, &Request::permission().peer(target.other_family()), 443),
    ),
    Case::new(
        "permission/forbidden",
        "RFC 8656 §10.2",
        "a peer that the server denies is a 403",
        |target| forbidden(target, |_, peer| Request::permission().peer(peer)),
    ),
    Case::new(
        "permission/all-or-none",
        "RFC 8656 §10.2",
        "with a peer among several that is denied, none is permitted",
        all_or_none,
    ),
    Case::new(
        "permission/none-from-peer",
        "RFC 8656 §9",
        "what a peer without a permission sends is dropped",
        none_from_peer,
    ),
    Case::new(
        "permission/none-to-peer",
        "RFC 8656 §11.2",
        "what is sent to a peer without a permission is dropped",
        none_to_peer,
    ),
    Case::new(
        "permission/any-port",
        "RFC 8656 §9",
        "a permission is for an address, whatever the port",
        any_port,
    ),
    Case::new(
        "permission/other-address",
        "RFC 8656 §9",
        "a permission for one address is none for another",
        other_address,
    ),
    Case::new(
        "permission/several",
        "RFC 8656 §10.2",
        "CreatePermission with several peers permits each of them",
        several,
    ),
    Case::new(
        "permission/other-allocation",
        "RFC 8656 §9",
        "a permission of one allocation is none of another",
        other_allocation,
    ),
];

fn refused(target: &Target, request: &Request, code: u16) -> Verdict {
    Client::allocated(target)?.ask(request)?.refused(code).map(|_| ())
}

fn create(target: &Target) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    client.permit(&peer).step("again")
}

fn malformed_peer(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    for value in
        [&[0, 1, 0, 9, 1, 2][..], &[0, 1, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8], &[0, 9, 0, 9, 1, 2, 3, 4]]
    {
        let request = Request::permission().with(ATTR_XOR_PEER_ADDRESS, value);
        let answer = client.ask(&request).and_then(|answer| answer.refused(400));
        answer.step(&format!("{value:02x?}"))?;
    }
    Ok(())
}

fn without_allocation(target: &Target) -> Verdict {
    let peer = target.peer()?.address;
    Client::challenged(target)?.ask(&Request::permission().peer(peer))?.refused(437).map(|_| ())
}

/// Addresses that nobody has, and that no server has a reason to relay to.
pub(super) const DENIED: [&str; 3] = ["0.0.0.0:9", "224.0.0.1:9", "255.255.255.255:9"];

/// Checks that a peer which the server denies is refused with 403. The choice of such peers is the
/// server's.
pub(super) fn forbidden(target: &Target, ask: fn(u16, SocketAddr) -> Request) -> Verdict {
    if target.peer_ip.is_ipv6() {
        return Err(Fault::skipped("the addresses to try are IPv4 ones"));
    }
    let mut client = Client::allocated(target)?;
    let mut denied = 0;
    for (number, address) in (0..).zip(DENIED) {
        let peer = address.parse().expect("the list is of addresses");
        let answer = client.ask(&ask(number, peer))?;
        if !answer.is_success() {
            answer.refused(403).step(address)?;
            denied += 1;
        }
    }
    match denied {
        0 => Err(Fault::skipped("the server denies neither 0.0.0.0 nor multicast, as it may")),
        _ => Ok(()),
    }
}

fn all_or_none(target: &Target) -> Verdict {
    let (mut client, peer) = (Client::allocated(target)?, target.peer()?);
    let nobody = "0.0.0.0:9".parse().expect("it is an address");
    let answer = client.ask(&Request::permission().peer(peer.address).peer(nobody))?;
    if answer.is_success() {
        return Err(Fault::skipped("the server does not deny 0.0.0.0, as it may"));
    }
    peer.send(b"is it open?", client.relayed()?)?;
    client.silent("nothing at the client: the request was refused")
}

fn none_from_peer(target: &Target) -> Verdict {
    let (mut client, peer) = (Client::allocated(target)?, target.peer()?);
    peer.send(b"not permitted", client.relayed()?)?;
    client.silent("nothing at the client")
}

fn none_to_peer(target: &Target) -> Verdict {
    let (mut client, peer) = (Client::allocated(target)?, target.peer()?);
    let send = Request::send(peer.address, b"not permitted");
    client.send_unanswered(&send.bytes(), "a Send indication")?;
    peer.silent(target.silence, "nothing at the peer")
}

fn any_port(target: &Target) -> Verdict {
    let (mut client, _other) = Client::permitted(target)?;
    let peer = target.peer()?;
    let form = Data::Indication(peer.address, b"another port".to_vec());
    delivery::from_peer(target, &mut client, &peer, b"another port", &form)?;
    let send = Request::send(peer.address, b"and back").bytes();
    delivery::to_peer(target, &mut client, &peer, &send, b"and back")
}

fn other_address(target: &Target) -> Verdict {
    let other = target.other_peer()?;
    let (mut client, _peer) = Client::permitted(target)?;
    other.send(b"not permitted", client.relayed()?)?;
    client.silent("nothing at the client")?;
    let send = Request::send(other.address, b"not permitted");
    client.send(&send.bytes())?;
    other.silent(target.silence, "nothing at the peer")
}

fn several(target: &Target) -> Verdict {
    let (mut client, peer, other) =
        (Client::allocated(target)?, target.peer()?, target.other_peer()?);
    let request = Request::permission().peer(peer.address).peer(other.address);
    client.ask(&request).and_then(Answer::success).step("CreatePermission")?;
    for peer in [peer, other] {
        let form = Data::Indication(peer.address, b"permitted".to_vec());
        delivery::from_peer(target, &mut client, &peer, b"permitted", &form)?;
    }
    Ok(())
}

fn other_allocation(target: &Target) -> Verdict {
    let (_permitted, peer) = Client::permitted(target)?;
    let mut other = Client::allocated(target)?;
    peer.send(b"not permitted here", other.relayed()?)?;
    other.silent("nothing at the client without a permission")
}
