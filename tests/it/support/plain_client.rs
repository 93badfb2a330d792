//! A TURN client over a plain socket or stream, for tests that look at the messages themselves.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::{SocketAddr, UdpSocket},
};

use stun::{
    attributes::{
        ATTR_CONNECTION_ID, ATTR_DATA, ATTR_DONT_FRAGMENT, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME,
        AttrType, RawAttribute,
    },
    error_code::ErrorCodeAttribute,
    integrity::MessageIntegrity,
    message::*,
    textattrs::TextAttribute,
};
use turn::proto::{
    channum::ChannelNumber, peeraddr::PeerAddress, relayaddr::RelayedAddress,
    reqtrans::RequestedTransport,
};

use super::{DEADLINE, PASSWORD, REALM, USER};

/// RFC 8016 §4.
pub const MOBILITY_TICKET: AttrType = AttrType(0x8030);

/// What messages go over.
pub trait Wire {
    fn put(&self, message: &[u8]);
    /// The next message, padding and all.
    fn take(&self) -> Vec<u8>;
}

impl Wire for UdpSocket {
    fn put(&self, message: &[u8]) {
        self.send(message).unwrap();
    }

    fn take(&self) -> Vec<u8> {
        let mut buffer = vec![0; 70_000];
        let len = self.recv(&mut buffer).expect("a datagram before the deadline");
        buffer.truncate(len);
        buffer
    }
}

/// Messages over TCP or TLS (RFC 8656 §12.5).
pub struct Framed<S>(RefCell<S>);

impl<S: Read + Write> Framed<S> {
    pub fn new(stream: S) -> Self {
        Self(stream.into())
    }

    /// The stream, once no more messages go over it.
    pub fn into_inner(self) -> S {
        self.0.into_inner()
    }

    /// Writes bytes as they are.
    pub fn write(&self, bytes: &[u8]) {
        let mut stream = self.0.borrow_mut();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    /// What comes until the other side closes it; `None` if it does not, before the deadline.
    pub fn rest(&self) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        match self.0.borrow_mut().read_to_end(&mut rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
            _ => Some(rest),
        }
    }
}

impl<S: Read + Write> Wire for Framed<S> {
    fn put(&self, message: &[u8]) {
        let mut padded = message.to_vec();
        padded.resize(message.len().next_multiple_of(4), 0);
        self.write(&padded);
    }

    fn take(&self) -> Vec<u8> {
        let mut message = vec![0; 4];
        let mut stream = self.0.borrow_mut();
        stream.read_exact(&mut message).expect("a message before the deadline");
        let len = usize::from(u16::from_be_bytes([message[2], message[3]]));
        let is_channel_data = message[0] >> 6 == 1;
        let rest = if is_channel_data { len.next_multiple_of(4) } else { 16 + len };
        message.resize(4 + rest, 0);
        stream.read_exact(&mut message[4..]).expect("the rest of it");
        message
    }
}

/// A client with an allocation.
pub struct PlainClient<W = UdpSocket> {
    pub socket: W,
    pub relayed: SocketAddr,
    /// The MOBILITY-TICKET of its Allocate, if it asked for one.
    pub ticket: Option<Vec<u8>>,
    username: String,
    realm: String,
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

fn connect(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

impl PlainClient {
    /// Opens an allocation at the server.
    pub fn allocate(server: SocketAddr) -> Self {
        Self::allocate_as(server, REALM, USER, PASSWORD)
    }

    /// The same with these credentials.
    pub fn allocate_as(server: SocketAddr, realm: &str, username: &str, password: &str) -> Self {
        let wanted = transport(turn::proto::PROTO_UDP);
        Self::allocate_by(connect(server), &|| vec![wanted()], realm, username, password)
    }

    /// The same where it may be refused: gives the code.
    pub fn try_allocate_as(
        server: SocketAddr,
        realm: &str,
        username: &str,
        password: &str,
    ) -> Option<u16> {
        let udp = transport(turn::proto::PROTO_UDP);
        let mut client = Self::new(connect(server), realm, username, password);
        client.challenge(&[udp()]);
        client.try_request(METHOD_ALLOCATE, &[udp()])
    }

    /// The same with DONT-FRAGMENT in the request.
    pub fn allocate_unfragmented(server: SocketAddr) -> Self {
        Self::allocate_with(connect(server), &|| {
            vec![Box::new(RawAttribute { typ: ATTR_DONT_FRAGMENT, length: 0, value: Vec::new() })]
        })
    }
}

impl<W: Wire> PlainClient<W> {
    /// Opens an allocation at the server at the other end.
    pub fn allocate_over(socket: W) -> Self {
        Self::allocate_with(socket, &Vec::new)
    }

    /// The same with more attributes in the request.
    pub fn allocate_with(socket: W, more: &dyn Fn() -> Vec<Box<dyn Setter>>) -> Self {
        let udp = transport(turn::proto::PROTO_UDP);
        let wanted = || [udp()].into_iter().chain(more()).collect();
        Self::allocate_by(socket, &wanted, REALM, USER, PASSWORD)
    }

    /// Opens one that relays TCP.
    pub fn allocate_tcp(socket: W) -> Self {
        let tcp = transport(turn::proto::PROTO_TCP);
        Self::allocate_by(socket, &|| vec![tcp()], REALM, USER, PASSWORD)
    }

    /// The same user, from another address.
    pub fn of_same_user<V: Wire>(&self, socket: V) -> PlainClient<V> {
        let (username, realm) = (self.username.clone(), self.realm.clone());
        let (nonce, key) = (String::new(), self.key.clone());
        let (relayed, ticket) = (self.relayed, None);
        let mut other = PlainClient { socket, relayed, ticket, username, realm, nonce, key };
        let challenge = other.exchange(&message(METHOD_REFRESH, &[]).raw);
        other.nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text;
        other
    }

    /// Has the server connect to a peer, and gives the stream that leads there (RFC 6062).
    pub fn connect_to(&self, peer: SocketAddr, data: W) -> W {
        let made = self.request(METHOD_CONNECT, &[peer_attribute(peer)]);
        self.bind_to(&made, data)
    }

    /// Makes a stream one with the connection that the server has told of.
    pub fn bind_to(&self, told: &Message, data: W) -> W {
        let value = told.get(ATTR_CONNECTION_ID).unwrap();
        let number = RawAttribute { typ: ATTR_CONNECTION_ID, length: 4, value };
        let data = self.of_same_user(data);
        data.request(METHOD_CONNECTION_BIND, &[Box::new(number)]);
        data.socket
    }

    /// The next message, which says that a peer has connected.
    pub fn connection_attempt(&self) -> Message {
        let mut attempt = Message::new();
        attempt.unmarshal_binary(&self.receive()).unwrap();
        assert_eq!(attempt.typ.method, METHOD_CONNECTION_ATTEMPT);
        attempt
    }

    /// A client without an allocation.
    fn new(socket: W, realm: &str, username: &str, password: &str) -> Self {
        let (username, realm) = (username.to_owned(), realm.to_owned());
        let key = MessageIntegrity::new_long_term_integrity(
            username.clone(),
            realm.clone(),
            password.to_owned(),
        );
        let (relayed, nonce) = (([0, 0, 0, 0], 0).into(), String::new());
        Self { socket, relayed, ticket: None, username, realm, nonce, key }
    }

    /// Asks for an allocation as one does that has no nonce yet.
    fn challenge(&mut self, wanted: &[Box<dyn Setter>]) {
        let challenge = self.exchange(&message(METHOD_ALLOCATE, wanted).raw);
        self.nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text;
    }

    fn allocate_by(
        socket: W,
        wanted: &dyn Fn() -> Vec<Box<dyn Setter>>,
        realm: &str,
        username: &str,
        password: &str,
    ) -> Self {
        let mut client = Self::new(socket, realm, username, password);
        client.challenge(&wanted());
        let mut relayed = RelayedAddress::default();
        let allocated = client.request(METHOD_ALLOCATE, &wanted());
        relayed.get_from(&allocated).unwrap();
        client.ticket = allocated.get(MOBILITY_TICKET).ok();
        client.relayed = SocketAddr::new(relayed.ip, relayed.port);
        client
    }

    /// Lets a peer's address send, by indications.
    pub fn permit(&self, peer: SocketAddr) {
        assert_eq!(self.try_permit(peer), None);
    }

    /// The same where it may be refused: gives the code.
    pub fn try_permit(&self, peer: SocketAddr) -> Option<u16> {
        self.try_request(METHOD_CREATE_PERMISSION, &[peer_attribute(peer)])
    }

    /// Binds a channel to a peer.
    pub fn bind(&self, number: u16, peer: SocketAddr) {
        assert_eq!(self.try_bind(number, peer), None);
    }

    /// The same where it may be refused: gives the code.
    pub fn try_bind(&self, number: u16, peer: SocketAddr) -> Option<u16> {
        let attributes: [Box<dyn Setter>; 2] =
            [Box::new(ChannelNumber(number)), peer_attribute(peer)];
        self.try_request(METHOD_CHANNEL_BIND, &attributes)
    }

    /// A Send indication, of which nobody hears what becomes of it.
    pub fn send(&self, peer: SocketAddr, payload: &[u8]) {
        let data =
            RawAttribute { typ: ATTR_DATA, length: payload.len() as u16, value: payload.to_vec() };
        let mut indication = message(METHOD_SEND, &[peer_attribute(peer), Box::new(data)]);
        indication.typ.class = CLASS_INDICATION;
        indication.write_header();
        self.socket.put(&indication.raw);
    }

    /// A signed request; gives the answer.
    fn ask(&self, method: Method, attributes: &[Box<dyn Setter>]) -> Message {
        let mut request = message(method, attributes);
        let texts = [&self.username, &self.realm, &self.nonce];
        for (typ, text) in [ATTR_USERNAME, ATTR_REALM, ATTR_NONCE].into_iter().zip(texts) {
            TextAttribute::new(typ, text.clone()).add_to(&mut request).unwrap();
        }
        self.key.add_to(&mut request).unwrap();
        self.exchange(&request.raw)
    }

    /// A signed request; gives the success.
    pub fn request(&self, method: Method, attributes: &[Box<dyn Setter>]) -> Message {
        let answer = self.ask(method, attributes);
        assert_eq!(answer.typ.class, CLASS_SUCCESS_RESPONSE, "{method}: {answer}");
        answer
    }

    /// The same where it may be refused: gives the code.
    pub fn try_request(&self, method: Method, attributes: &[Box<dyn Setter>]) -> Option<u16> {
        code(&self.ask(method, attributes))
    }

    fn exchange(&self, request: &[u8]) -> Message {
        self.socket.put(request);
        let mut answer = Message::new();
        answer.unmarshal_binary(&self.receive()).unwrap();
        assert_eq!(answer.transaction_id.0, request[8..20]);
        answer
    }

    /// The next message.
    pub fn receive(&self) -> Vec<u8> {
        self.socket.take()
    }
}

/// The code of an error, or none of a success.
fn code(answer: &Message) -> Option<u16> {
    (answer.typ.class == CLASS_ERROR_RESPONSE).then(|| {
        let mut code = ErrorCodeAttribute::default();
        code.get_from(answer).unwrap();
        code.code.0
    })
}

/// REQUESTED-TRANSPORT.
fn transport(protocol: turn::proto::Protocol) -> impl Fn() -> Box<dyn Setter> {
    move || Box::new(RequestedTransport { protocol })
}

/// XOR-PEER-ADDRESS.
pub fn peer_attribute(at: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress { ip: at.ip(), port: at.port() })
}

/// A ChannelData message.
pub fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &(payload.len() as u16).to_be_bytes(), payload].concat()
}
