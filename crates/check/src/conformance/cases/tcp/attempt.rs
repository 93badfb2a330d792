//! ConnectionAttempt: a peer that connects to the relayed address.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use ::stun::{
    attributes::{ATTR_CONNECTION_ID, ATTR_XOR_PEER_ADDRESS},
    message::{CLASS_INDICATION, METHOD_CONNECTION_ATTEMPT},
};

use super::{
    super::super::{
        answer::Answer,
        case::Case,
        client::Client,
        request::Request,
        target::Target,
        tcp_peer::PeerConnection,
        verdict::{Fault, Step, Verdict, ensure},
    },
    allocated, arrives, both_ways, bound, ends,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "tcp/attempt",
        "RFC 6062 §5.3",
        "a permitted peer that connects is announced by ConnectionAttempt, with address and number",
        |target| Attempt::make(target).map(|_| ()),
    )
    .over_streams(),
    Case::new(
        "tcp/attempt-data",
        "RFC 6062 §5.4",
        "a connection from a peer can be bound, and carries data both ways",
        attempt_data,
    )
    .over_streams(),
    Case::new(
        "tcp/attempt-early-data",
        "RFC 6062 §5.4",
        "what a peer sends when it has connected arrives after ConnectionBind",
        attempt_early_data,
    )
    .over_streams(),
    Case::new(
        "tcp/attempt-without-permission",
        "RFC 6062 §5.3",
        "a peer without a permission that connects is closed at once, and not announced",
        attempt_without_permission,
    )
    .over_streams(),
];

/// A connection that a peer has made, and that the server has announced to the client.
struct Attempt<'t> {
    client: Client<'t>,
    number: u32,
    peer_connection: PeerConnection,
}

impl<'t> Attempt<'t> {
    fn make(target: &'t Target) -> Verdict<Self> {
        Self::make_with_early_data(target, b"")
    }

    /// Makes a connection on which the peer sends these bytes at once.
    fn make_with_early_data(target: &'t Target, early: &[u8]) -> Verdict<Self> {
        let mut client = allocated(target)?;
        // A permission is for an address, whatever the port.
        let peer = SocketAddr::new(target.peer_ip, 9);
        let answer = client.ask(&Request::permission().peer(peer))?;
        client.granted(answer, peer).step("CreatePermission")?;
        let mut peer_connection =
            PeerConnection::connect(target.peer_ip, client.relayed()?, target.timeout)
                .map_err(|error| not_accepted(&error))?;
        peer_connection.send(early)?;
        let Some(bytes) = client.next(target.timeout)? else {
            return Err(Fault::failed("a ConnectionAttempt", "nothing"));
        };
        let indication = Answer::parse(&bytes)?;
        let is_attempt = (indication.typ().method, indication.typ().class)
            == (METHOD_CONNECTION_ATTEMPT, CLASS_INDICATION);
        ensure(is_attempt, "a ConnectionAttempt indication", indication.describe())?;
        let (peer, local) = (indication.address(ATTR_XOR_PEER_ADDRESS)?, peer_connection.local);
        ensure(peer == local, &format!("XOR-PEER-ADDRESS {local}"), peer)?;
        let number = indication.number(ATTR_CONNECTION_ID)?;
        Ok(Self { client, number, peer_connection })
    }
}

fn not_accepted(error: &io::Error) -> Fault {
    Fault::failed("a connection to the relayed address", error.to_string())
}

fn attempt_data(target: &Target) -> Verdict {
    let mut attempt = Attempt::make(target)?;
    let mut stream = bound(target, &attempt.client, attempt.number)?;
    both_ways(target, &mut stream, &mut attempt.peer_connection)
}

fn attempt_early_data(target: &Target) -> Verdict {
    let mut attempt = Attempt::make_with_early_data(target, b"early")?;
    let mut stream = bound(target, &attempt.client, attempt.number)?;
    arrives(b"early", || stream.bytes(target.timeout))?;
    both_ways(target, &mut stream, &mut attempt.peer_connection)
}

fn attempt_without_permission(target: &Target) -> Verdict {
    let mut client = allocated(target)?;
    match PeerConnection::connect(target.peer_ip, client.relayed()?, target.timeout) {
        Ok(mut peer_connection) => {
            ends("the peer's connection", || peer_connection.bytes(target.timeout))?
        }
        // The server closed it before it was open.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => return Err(not_accepted(&error)),
    }
    client.silent("nothing at the client")
}
