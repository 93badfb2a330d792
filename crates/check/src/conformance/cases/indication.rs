//! Send and Data indications (RFC 8656 §11).

use ::stun::attributes::{ATTR_DONT_FRAGMENT, ATTR_XOR_PEER_ADDRESS, AttrType};

use super::{
    super::{
        answer::Answer,
        case::Case,
        client::Client,
        data::Data,
        delivery,
        peer::Peer,
        request::Request,
        target::Target,
        verdict::{Fault, Verdict, ensure},
    },
    allocate::dont_fragment,
    stun::UNKNOWN_REQUIRED,
};

/// ICMP (RFC 8656 §18.13).
const ICMP: AttrType = AttrType(0x8004);

pub(super) const CASES: &[Case] = &[
    Case::new(
        "indication/send",
        "RFC 8656 §11.2",
        "the data of a Send indication leaves the relayed address for the peer",
        |target| sent(target, Request::bare_send().data(b"to the peer"), b"to the peer"),
    ),
    Case::new(
        "indication/send-empty",
        "RFC 8656 §11.2",
        "a Send indication with empty DATA is an empty datagram",
        |target| sent(target, Request::bare_send().data(b""), b""),
    ),
    Case::new(
        "indication/send-fingerprint",
        "RFC 8656 §5",
        "a Send indication may carry FINGERPRINT",
        send_fingerprint,
    ),
    Case::new(
        "indication/each-peer",
        "RFC 8656 §11.2",
        "each Send indication goes to the port that it names",
        each_peer,
    ),
    Case::new(
        "indication/data",
        "RFC 8656 §11.3",
        "what the peer sends comes as a Data indication that names it",
        |target| came(target, b"to the client"),
    ),
    Case::new(
        "indication/data-empty",
        "RFC 8656 §11.3",
        "an empty datagram comes as a Data indication with empty DATA",
        |target| came(target, b""),
    ),
    Case::new(
        "indication/no-data",
        "RFC 8656 §11.2",
        "a Send indication without DATA is dropped",
        |target| dropped(target, |peer| Request::bare_send().peer(peer.address)),
    ),
    Case::new(
        "indication/no-peer",
        "RFC 8656 §11.2",
        "a Send indication without XOR-PEER-ADDRESS is dropped",
        |target| dropped(target, |_| Request::bare_send().data(b"to whom?")),
    ),
    Case::new(
        "indication/unknown-required",
        "RFC 8489 §6.3.2",
        "an indication with an unknown attribute that must be understood is dropped",
        |target| {
            dropped(target, |peer| {
                Request::send(peer.address, b"what?").with(UNKNOWN_REQUIRED, b"what?")
            })
        },
    ),
    Case::new(
        "indication/without-allocation",
        "RFC 8656 §5",
        "a Send indication where there is no allocation is ignored",
        without_allocation,
    ),
    Case::new(
        "indication/dont-fragment",
        "RFC 8656 §11.2",
        "where DONT-FRAGMENT is accepted, a Send indication with it is relayed",
        send_dont_fragment,
    ),
    Case::new(
        "indication/icmp",
        "RFC 8656 §11.5",
        "that a peer's port is closed comes as a Data indication with ICMP",
        icmp,
    ),
];

fn sent(target: &Target, send: Request, data: &[u8]) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    delivered(target, &mut client, &peer, send.peer(peer.address), data)
}

fn delivered(
    target: &Target,
    client: &mut Client<'_>,
    peer: &Peer,
    send: Request,
    data: &[u8],
) -> Verdict {
    delivery::to_peer(target, client, peer, &send.bytes(), data)
}

fn send_fingerprint(target: &Target) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    let send = Request::send(peer.address, b"with a sum").fingerprint();
    delivered(target, &mut client, &peer, send, b"with a sum")
}

fn each_peer(target: &Target) -> Verdict {
    let (mut client, first) = Client::permitted(target)?;
    let second = target.peer()?;
    for (peer, data) in [(&first, b"first"), (&second, b"other"), (&first, b"again")] {
        delivered(target, &mut client, peer, Request::send(peer.address, data), data)?;
    }
    Ok(())
}

fn came(target: &Target, data: &[u8]) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    let form = Data::Indication(peer.address, data.to_vec());
    delivery::from_peer(target, &mut client, &peer, data, &form)
}

fn dropped(target: &Target, send: impl Fn(&Peer) -> Request) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    client.send_unanswered(&send(&peer).bytes(), "an indication")?;
    peer.silent(target.silence, "nothing at the peer")
}

fn without_allocation(target: &Target) -> Verdict {
    let (mut client, peer) = (Client::challenged(target)?, target.peer()?);
    let send = Request::send(peer.address, b"from where?");
    client.send_unanswered(&send.bytes(), "an indication")?;
    peer.silent(target.silence, "nothing at the peer")
}

/// ICMP's type and code for a closed port, 7 and 9 bits, then 4 bytes of no use here (RFC 8656
/// §18.13).
const PORT_UNREACHABLE: [[u8; 2]; 2] = [[3 << 1, 3], [1 << 1, 4]];

fn icmp(target: &Target) -> Verdict {
    let (mut client, peer) = Client::permitted(target)?;
    let closed = peer.address;
    drop(peer);
    client.send(&Request::send(closed, b"is anybody there?").bytes())?;
    let Some(bytes) = client.next(target.silence)? else {
        return Err(Fault::skipped("the server tells nothing of ICMP errors"));
    };
    let indication = Answer::parse(&bytes)?;
    let about = indication.address(ATTR_XOR_PEER_ADDRESS)?;
    ensure(about == closed, &format!("XOR-PEER-ADDRESS {closed}"), about)?;
    let value = indication.need(ICMP)?;
    let right = value.len() == 8 && PORT_UNREACHABLE.iter().any(|error| value[2..4] == *error);
    ensure(right, "ICMP with the type and code of a closed port", format!("{value:02x?}"))
}

fn send_dont_fragment(target: &Target) -> Verdict {
    dont_fragment(target)?;
    let (mut client, peer) = Client::permitted(target)?;
    let send = Request::send(peer.address, b"in one piece").with(ATTR_DONT_FRAGMENT, &[]);
    delivered(target, &mut client, &peer, send, b"in one piece")
}
