//! Refresh: an allocation's longer life, and its end (RFC 8656 §8.2). Its lifetimes are in
//! `lifetime`.

use ::stun::attributes::ATTR_LIFETIME;

use super::super::{
    answer::Answer,
    case::Case,
    client::{CHANNEL, Client},
    request::{IPV4, IPV6, Request},
    target::Target,
    verdict::{Step, Verdict, ensure},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "refresh/without-allocation",
        "RFC 8656 §5",
        "a Refresh where there is no allocation is a 437",
        without_allocation,
    ),
    Case::new(
        "refresh/delete",
        "RFC 8656 §8.2",
        "a Refresh with a LIFETIME of 0 succeeds, and says so with LIFETIME 0",
        delete,
    ),
    Case::new(
        "refresh/deleted",
        "RFC 8656 §8.2",
        "after a Refresh with a LIFETIME of 0 another Refresh is a 437",
        deleted,
    ),
    Case::new(
        "refresh/deleted-channel",
        "RFC 8656 §8.2",
        "the channels of an allocation that was deleted lead nowhere",
        deleted_channel,
    ),
    Case::new(
        "refresh/deleted-address",
        "RFC 8656 §8.2",
        "the relayed address of an allocation that was deleted relays nothing",
        deleted_address,
    ),
    Case::new(
        "refresh/5-tuple-is-free",
        "RFC 8656 §8.2",
        "the 5-tuple of an allocation that was deleted may have another",
        five_tuple_is_free,
    ),
    Case::new(
        "refresh/family",
        "RFC 8656 §8.2",
        "a Refresh that names the allocation's family succeeds",
        |target| of_family(target, target.peer_ip.is_ipv4())?.success().map(|_| ()),
    ),
    Case::new(
        "refresh/other-family",
        "RFC 8656 §8.2",
        "a Refresh that names another family is a 443",
        |target| of_family(target, target.peer_ip.is_ipv6())?.refused(443).map(|_| ()),
    ),
];

fn without_allocation(target: &Target) -> Verdict {
    Client::challenged(target)?.ask(&Request::refresh())?.refused(437).map(|_| ())
}

fn delete(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    let answer = client.ask(&Request::refresh().lifetime(0))?.success()?;
    let lifetime = answer.number(ATTR_LIFETIME)?;
    ensure(lifetime == 0, "LIFETIME 0", format!("LIFETIME {lifetime}"))
}

fn deleted(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    client.ask(&Request::refresh().lifetime(0)).and_then(Answer::success).step("the end")?;
    client.ask(&Request::refresh())?.refused(437).map(|_| ())
}

fn deleted_channel(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    client.ask(&Request::refresh().lifetime(0)).and_then(Answer::success).step("the end")?;
    client.send_on(CHANNEL, b"too late")?;
    peer.silent(target.silence, "nothing at the peer")
}

fn deleted_address(target: &Target) -> Verdict {
    let (mut client, peer) = Client::bound(target)?;
    client.ask(&Request::refresh().lifetime(0)).and_then(Answer::success).step("the end")?;
    peer.send(b"too late", client.relayed()?)?;
    client.silent("nothing at the client")
}

fn five_tuple_is_free(target: &Target) -> Verdict {
    let mut client = Client::allocated(target)?;
    client.ask(&Request::refresh().lifetime(0)).and_then(Answer::success).step("the end")?;
    client.allocate().step("the second one").map(|_| ())
}

fn of_family(target: &Target, v4: bool) -> Verdict<Answer> {
    let family = if v4 { IPV4 } else { IPV6 };
    Client::allocated(target)?.ask(&Request::refresh().family(family))
}
