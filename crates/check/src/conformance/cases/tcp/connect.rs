//! Connect: a connection to a peer.

use ::stun::attributes::ATTR_XOR_PEER_ADDRESS;

use super::{
    super::{
        super::{
            case::Case,
            client::Client,
            request::Request,
            target::Target,
            verdict::{Fault, Verdict, ensure},
        },
        permission::DENIED,
    },
    Connection, Pending, allocated, connect_to,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tcp/connect",
        "RFC 6062 §5.2",
        "Connect makes a connection from the relayed address to the peer, with a CONNECTION-ID",
        connect,
    )
    .over_streams(),
    Case::new(
        "tcp/connection-ids",
        "RFC 6062 §5.2",
        "connections to two peers have two CONNECTION-IDs",
        connection_ids,
    )
    .over_streams(),
    Case::new(
        "tcp/connect-without-allocation",
        "RFC 6062 §5.2",
        "Connect where there is no allocation is a 437",
        connect_without_allocation,
    )
    .over_streams(),
    Case::new(
        "tcp/connect-no-peer",
        "RFC 6062 §5.2",
        "Connect without XOR-PEER-ADDRESS is a 400",
        |target| allocated(target)?.ask(&Request::bare_connect())?.refused(400).map(|_| ()),
    )
    .over_streams(),
    Case::new(
        "tcp/connect-malformed-peer",
        "RFC 6062 §5.2",
        "Connect with an XOR-PEER-ADDRESS that is none is a 400",
        connect_malformed_peer,
    )
    .over_streams(),
    Case::new(
        "tcp/connect-twice",
        "RFC 6062 §5.2",
        "a second Connect to a peer whose connection is not bound yet is a 446",
        connect_twice,
    )
    .over_streams(),
    Case::new(
        "tcp/connect-twice-bound",
        "RFC 6062 §5.2",
        "a second Connect to a peer whose connection is bound is a 446",
        connect_twice_bound,
    )
    .over_streams(),
    Case::new(
        "tcp/connect-refused",
        "RFC 6062 §5.2",
        "Connect to a port where nobody listens is a 447",
        connect_refused,
    )
    .over_streams(),
    Case::new(
        "tcp/connect-forbidden",
        "RFC 6062 §5.2",
        "Connect to a peer that the server denies is a 403",
        connect_forbidden,
    )
    .over_streams(),
];

fn connect(target: &Target) -> Verdict {
    let pending = Pending::make(target)?;
    let (relayed, remote) = (pending.client.relayed()?, pending.peer_connection.remote);
    ensure(remote == relayed, &format!("a connection from {relayed}"), remote)
}

fn connection_ids(target: &Target) -> Verdict {
    let mut first = Pending::make(target)?;
    let other = target.tcp_peer()?;
    let second = connect_to(&mut first.client, other.address)?;
    ensure(first.number != second, "two numbers", format!("{second} twice"))
}

fn connect_without_allocation(target: &Target) -> Verdict {
    drop(allocated(target)?);
    let peer = target.tcp_peer()?;
    Client::challenged(target)?.ask(&Request::connect(peer.address))?.refused(437).map(|_| ())
}

fn connect_malformed_peer(target: &Target) -> Verdict {
    let mut client = allocated(target)?;
    let request = Request::bare_connect().with(ATTR_XOR_PEER_ADDRESS, &[0, 1, 0, 9, 1, 2]);
    client.ask(&request)?.refused(400).map(|_| ())
}

fn connect_twice(target: &Target) -> Verdict {
    let mut pending = Pending::make(target)?;
    pending.client.ask(&Request::connect(pending.peer.address))?.refused(446).map(|_| ())
}

fn connect_twice_bound(target: &Target) -> Verdict {
    let mut connection = Connection::make(target)?;
    let again = Request::connect(connection.peer.address);
    connection.client.ask(&again)?.refused(446)?;
    connection.both_ways()
}

fn connect_refused(target: &Target) -> Verdict {
    let mut client = allocated(target)?;
    let closed = target.closed_port()?;
    let answer = client.ask(&Request::connect(closed.address))?;
    if answer.code() == Some(403) {
        client.granted(answer, closed.address)?;
        return Ok(());
    }
    answer.refused(447).map(|_| ())
}

fn connect_forbidden(target: &Target) -> Verdict {
    if target.peer_ip.is_ipv6() {
        return Err(Fault::skipped("the addresses to try are IPv4 ones"));
    }
    let mut client = allocated(target)?;
    let mut denied = 0;
    for address in DENIED {
        let peer = address.parse().expect("the list is of addresses");
        match client.ask(&Request::connect(peer))?.code() {
            Some(403) => denied += 1,
            // The server has tried to connect.
            Some(447) | None => {}
            Some(other) => {
                return Err(Fault::failed(
                    format!("{address}: error 403"),
                    format!("error {other}"),
                ));
            }
        }
    }
    match denied {
        0 => Err(Fault::skipped("the server denies neither 0.0.0.0 nor multicast, as it may")),
        _ => Ok(()),
    }
}
