//! Allocations that relay TCP (RFC 6062): connections to peers and from them, each bound to a
//! stream of the client.

mod allocate;
mod attempt;
mod bind;
mod connect;
mod data;
mod ends;

use std::net::SocketAddr;

use ::stun::attributes::ATTR_CONNECTION_ID;

use super::super::{
    answer::{Answer, describe},
    case::Case,
    client::Client,
    request::Request,
    target::Target,
    tcp_peer::{PeerConnection, TcpPeer},
    verdict::{Fault, Step, Verdict},
};

/// The cases, part by part.
pub(super) const PARTS: [&[Case]; 6] =
    [allocate::CASES, connect::CASES, bind::CASES, data::CASES, attempt::CASES, ends::CASES];

/// Returns the answer to an Allocate; skips the case if the server relays no TCP.
fn relays_tcp(answer: Answer) -> Verdict<Answer> {
    match answer.code() {
        Some(442) => Err(Fault::skipped("the server relays no TCP (442), as it may")),
        _ => Ok(answer),
    }
}

/// Creates a client with an allocation of TCP.
fn allocated(target: &Target) -> Verdict<Client<'_>> {
    let mut client = Client::challenged(target)?;
    relays_tcp(client.ask(&target.allocate_tcp())?)?.success().step("Allocate")?;
    client.relayed()?;
    Ok(client)
}

/// Has the server connect to a peer; returns the connection's number.
fn connect_to(client: &mut Client<'_>, peer: SocketAddr) -> Verdict<u32> {
    let answer = client.ask(&Request::connect(peer))?;
    let number = client.granted(answer, peer).and_then(|answer| answer.number(ATTR_CONNECTION_ID));
    number.step("Connect")
}

/// Opens a stream of the client. It begins with realm and nonce of the control connection, and goes
/// on with a nonce of its own if the server sends one.
fn stream<'t>(target: &'t Target, control: &Client<'_>) -> Verdict<Client<'t>> {
    let mut stream = Client::connect(target)?;
    stream.log_in(control.login()?);
    Ok(stream)
}

/// Opens a stream of the client that is bound to a connection.
fn bound<'t>(target: &'t Target, control: &Client<'_>, number: u32) -> Verdict<Client<'t>> {
    let mut stream = stream(target, control)?;
    let answer = stream.ask(&Request::connection_bind(number));
    answer.and_then(Answer::success).step("ConnectionBind")?;
    Ok(stream)
}

/// A connection that the client has asked for, not bound yet.
struct Pending<'t> {
    target: &'t Target,
    client: Client<'t>,
    peer: TcpPeer,
    number: u32,
    peer_connection: PeerConnection,
}

impl<'t> Pending<'t> {
    fn make(target: &'t Target) -> Verdict<Self> {
        let (mut client, mut peer) = (allocated(target)?, target.tcp_peer()?);
        let number = connect_to(&mut client, peer.address)?;
        let peer_connection = peer.accept(target.timeout)?;
        Ok(Self { target, client, peer, number, peer_connection })
    }

    fn bind(self) -> Verdict<Connection<'t>> {
        let stream = bound(self.target, &self.client, self.number)?;
        let Self { target, client, peer, peer_connection, .. } = self;
        Ok(Connection { target, client, peer, stream, peer_connection })
    }
}

/// A connection that is bound.
struct Connection<'t> {
    target: &'t Target,
    client: Client<'t>,
    peer: TcpPeer,
    stream: Client<'t>,
    peer_connection: PeerConnection,
}

impl<'t> Connection<'t> {
    fn make(target: &'t Target) -> Verdict<Self> {
        Pending::make(target)?.bind()
    }

    /// Sends data each way.
    fn both_ways(&mut self) -> Verdict {
        both_ways(self.target, &mut self.stream, &mut self.peer_connection)
    }
}

fn both_ways(
    target: &Target,
    stream: &mut Client<'_>,
    peer_connection: &mut PeerConnection,
) -> Verdict {
    to_peer(target, stream, peer_connection, b"from the client")?;
    from_peer(target, stream, peer_connection, b"from the peer")
}

fn to_peer(
    target: &Target,
    stream: &mut Client<'_>,
    peer_connection: &mut PeerConnection,
    data: &[u8],
) -> Verdict {
    stream.send(data)?;
    arrives(data, || peer_connection.bytes(target.timeout)).step("at the peer")
}

fn from_peer(
    target: &Target,
    stream: &mut Client<'_>,
    peer_connection: &mut PeerConnection,
    data: &[u8],
) -> Verdict {
    peer_connection.send(data)?;
    arrives(data, || stream.bytes(target.timeout)).step("on the client's stream")
}

/// Fails unless exactly these bytes come, in any pieces.
fn arrives(data: &[u8], mut next: impl FnMut() -> Verdict<Option<Vec<u8>>>) -> Verdict {
    let mut rest = data;
    while !rest.is_empty() {
        let at = data.len() - rest.len();
        let expected = format!("{} bytes as they were sent", data.len());
        let came = match next()? {
            None => Err(format!("{at} of them")),
            Some(bytes) if bytes.is_empty() => Err(format!("the end after {at} of them")),
            Some(bytes) => {
                rest.strip_prefix(&bytes[..]).ok_or(format!("others after {at} of them"))
            }
        };
        rest = came.map_err(|came| Fault::failed(expected, came))?;
    }
    Ok(())
}

/// Fails unless the end comes next.
fn ends(what: &str, mut next: impl FnMut() -> Verdict<Option<Vec<u8>>>) -> Verdict {
    match next()? {
        Some(bytes) if bytes.is_empty() => Ok(()),
        Some(bytes) => Err(Fault::failed(format!("the end of {what}"), describe(&bytes))),
        None => Err(Fault::failed(format!("the end of {what}"), "it stays open")),
    }
}
