//! Mobility (RFC 8016) over real sockets: clients that change their address, and so their worker,
//! over UDP and TCP.

use std::net::{SocketAddr, TcpStream, UdpSocket};

use callbox_client::{Request, attribute, channel_data};

use crate::{
    common::{DEADLINE, Server},
    support::plain_client::{Framed, MOBILITY_TICKET, PlainClient, Wire},
};

fn start() -> Server {
    let users = ["--realm", crate::support::REALM, "--user", "static:pass", "--workers", "3"];
    Server::with(&[&users[..], &["--mobility"]].concat())
}

fn udp(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.turn()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn tcp(server: &Server) -> Framed<TcpStream> {
    let stream = TcpStream::connect(server.turn()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Framed::new(stream)
}

/// Moves the allocation of a client to another socket.
fn moved<V: Wire>(from: &PlainClient<impl Wire>, ticket: &mut Vec<u8>, to: V) -> PlainClient<V> {
    let client = from.of_same_user(to);
    let answer = client.request(&Request::refresh().with(attribute(MOBILITY_TICKET, ticket)));
    *ticket = answer.get(MOBILITY_TICKET).expect("another ticket");
    client
}

struct Peer(UdpSocket);

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    fn at(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Checks that data is relayed both ways.
    fn talks_with(&self, client: &PlainClient<impl Wire>) {
        let mut buffer = [0; 100];
        client.socket.put(&channel_data(0x4001, b"up"));
        assert_eq!(self.0.recv_from(&mut buffer).unwrap(), (2, client.relayed));
        self.sends_to(client);
    }

    fn sends_to(&self, client: &PlainClient<impl Wire>) {
        self.0.send_to(b"down", client.relayed).unwrap();
        assert_eq!(client.receive(), channel_data(0x4001, b"down"));
    }
}

fn allocate<W: Wire>(wire: W, peer: &Peer) -> (PlainClient<W>, Vec<u8>) {
    let request = Request::allocate().with(attribute(MOBILITY_TICKET, &[]));
    let client = PlainClient::allocate_with(wire, &request);
    client.bind(0x4001, peer.at());
    peer.talks_with(&client);
    let ticket = client.ticket.clone().expect("a ticket");
    (client, ticket)
}

#[test]
fn a_client_moves_between_addresses() {
    let (server, peer) = (start(), Peer::new());
    let (mut client, mut ticket) = allocate(udp(&server), &peer);
    // Enough clients that each worker gets some.
    for _ in 0..12 {
        let next = moved(&client, &mut ticket, udp(&server));
        peer.sends_to(&client);
        peer.talks_with(&next);
        // A request is answered by the worker that has the allocation, whichever worker receives
        // it.
        next.permit("127.0.0.2:1".parse().unwrap());
        client = next;
    }
    assert_eq!(server.metric("callbox_allocations"), 1.0);
    client.request(&Request::release());
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
    // The old address can allocate again.
    let again = PlainClient::allocate_over(client.socket);
    again.bind(0x4001, peer.at());
    peer.talks_with(&again);
}

#[test]
fn a_client_moves_from_udp_to_tcp_and_back() {
    let (server, peer) = (start(), Peer::new());
    let (mut client, mut ticket) = allocate(udp(&server), &peer);
    for _ in 0..6 {
        let over_tcp = moved(&client, &mut ticket, tcp(&server));
        peer.talks_with(&over_tcp);
        client = moved(&over_tcp, &mut ticket, udp(&server));
        peer.talks_with(&client);
    }
    let over_tcp = moved(&client, &mut ticket, tcp(&server));
    peer.talks_with(&over_tcp);
    // The stream breaks, and the client returns with another one.
    drop(over_tcp.socket.into_inner());
    let again = moved(&client, &mut ticket, tcp(&server));
    peer.talks_with(&again);
    assert_eq!(server.metric("callbox_allocations"), 1.0);
}
