//! A TURN client over a plain socket, for tests that look at the datagrams themselves.

use std::net::{SocketAddr, UdpSocket};

use stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME},
    integrity::MessageIntegrity,
    message::*,
    textattrs::TextAttribute,
};
use turn::proto::{
    channum::ChannelNumber, peeraddr::PeerAddress, relayaddr::RelayedAddress,
    reqtrans::RequestedTransport,
};

use super::{DEADLINE, PASSWORD, REALM, USER};

/// A client with an allocation.
pub struct PlainClient {
    pub socket: UdpSocket,
    pub relayed: SocketAddr,
    nonce: String,
    key: MessageIntegrity,
}

fn message(method: Method, attributes: &[Box<dyn Setter>]) -> Message {
    let mut message = Message::new();
    message.typ = MessageType { method, class: CLASS_REQUEST };
    message.write_header();
    message.new_transaction_id().unwrap();
    for attribute in attributes {
        attribute.add_to(&mut message).unwrap();
    }
    message
}

impl PlainClient {
    /// Opens an allocation at the server.
    pub fn allocate(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let key = MessageIntegrity::new_long_term_integrity(
            USER.to_owned(),
            REALM.to_owned(),
            PASSWORD.to_owned(),
        );
        let mut client = Self { socket, relayed: server, nonce: String::new(), key };
        let udp = || -> Vec<Box<dyn Setter>> {
            vec![Box::new(RequestedTransport { protocol: turn::proto::PROTO_UDP })]
        };
        let challenge = client.exchange(&message(METHOD_ALLOCATE, &udp()).raw);
        client.nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text;
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&client.request(METHOD_ALLOCATE, &udp())).unwrap();
        client.relayed = SocketAddr::new(relayed.ip, relayed.port);
        client
    }

    /// Lets a peer's address send, by indications.
    pub fn permit(&self, peer: SocketAddr) {
        self.request(METHOD_CREATE_PERMISSION, &[peer_attribute(peer)]);
    }

    /// Binds a channel to a peer.
    pub fn bind(&self, number: u16, peer: SocketAddr) {
        self.request(METHOD_CHANNEL_BIND, &[Box::new(ChannelNumber(number)), peer_attribute(peer)]);
    }

    /// A signed request; gives the success.
    fn request(&self, method: Method, attributes: &[Box<dyn Setter>]) -> Message {
        let mut request = message(method, attributes);
        for (typ, text) in [(ATTR_USERNAME, USER), (ATTR_REALM, REALM), (ATTR_NONCE, &self.nonce)] {
            TextAttribute::new(typ, text.to_owned()).add_to(&mut request).unwrap();
        }
        self.key.add_to(&mut request).unwrap();
        let answer = self.exchange(&request.raw);
        assert_eq!(answer.typ.class, CLASS_SUCCESS_RESPONSE, "{method}: {answer}");
        answer
    }

    fn exchange(&self, request: &[u8]) -> Message {
        self.socket.send(request).unwrap();
        let mut answer = Message::new();
        answer.unmarshal_binary(&self.receive()).unwrap();
        assert_eq!(answer.transaction_id.0, request[8..20]);
        answer
    }

    /// The next datagram.
    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 70_000];
        let len = self.socket.recv(&mut buffer).expect("a datagram before the deadline");
        buffer.truncate(len);
        buffer
    }
}

fn peer_attribute(at: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress { ip: at.ip(), port: at.port() })
}

/// A ChannelData message.
pub fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &(payload.len() as u16).to_be_bytes(), payload].concat()
}
