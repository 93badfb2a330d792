//! A TURN client over a blocking socket or stream, for tests that look at the messages themselves.
//! It panics on failures that a test does not expect.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::{SocketAddr, UdpSocket},
};

use callbox_client::{
    Answer, HEADER, Login, Message, Refusal, Request, Session, attribute, length, mapped_address,
    pad, relayed_address, send_indication, transaction,
};
use stun::{
    attributes::{ATTR_CONNECTION_ID, ATTR_DONT_FRAGMENT, AttrType},
    message::METHOD_CONNECTION_ATTEMPT,
};

use super::{DEADLINE, PASSWORD, USER};

/// RFC 8016 §4.
pub(crate) const MOBILITY_TICKET: AttrType = AttrType(0x8030);

/// A transport for messages to and from a server.
pub(crate) trait Wire {
    fn put(&self, message: &[u8]);
    /// Waits for the next message, with its padding.
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
pub(crate) struct Framed<S>(RefCell<S>);

impl<S: Read + Write> Framed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(stream.into())
    }

    /// Returns the stream, once no more messages go over it.
    pub(crate) fn into_inner(self) -> S {
        self.0.into_inner()
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut stream = self.0.borrow_mut();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    /// Reads until the other side closes it; returns `None` if it does not before the deadline.
    pub(crate) fn rest(&self) -> Option<Vec<u8>> {
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
        self.write(&pad(message));
    }

    fn take(&self) -> Vec<u8> {
        let mut header = [0; HEADER];
        let mut stream = self.0.borrow_mut();
        stream.read_exact(&mut header).expect("a message before the deadline");
        let mut message = header.to_vec();
        message.resize(length(header), 0);
        stream.read_exact(&mut message[HEADER..]).expect("the rest of it");
        message
    }
}

/// A client with an allocation.
pub(crate) struct PlainClient<W = UdpSocket> {
    pub socket: W,
    pub relayed: SocketAddr,
    /// The MOBILITY-TICKET of its Allocate, if it asked for one.
    pub ticket: Option<Vec<u8>>,
    login: RefCell<Login>,
    session: RefCell<Session>,
}

fn connect(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

impl PlainClient {
    /// Opens an allocation at the server.
    pub(crate) fn allocate(server: SocketAddr) -> Self {
        Self::allocate_over(connect(server))
    }

    /// Opens an allocation with these credentials, in this realm.
    pub(crate) fn allocate_as(
        server: SocketAddr,
        realm: &str,
        username: &str,
        password: &str,
    ) -> Self {
        let allocated = Self::try_allocate_as(server, realm, username, password);
        allocated.unwrap_or_else(|code| panic!("Allocate is refused with {code}"))
    }

    /// Opens an allocation with these credentials; returns the code if it is refused.
    pub(crate) fn try_allocate_as(
        server: SocketAddr,
        realm: &str,
        username: &str,
        password: &str,
    ) -> Result<Self, u16> {
        let mut client = Self::new(connect(server), Login::new(username, password));
        let allocated = client.allocate_by(&Request::allocate());
        assert_eq!(client.login.borrow().realm(), realm);
        allocated.map(|()| client).map_err(|refusal| refusal.code)
    }

    /// Opens an allocation with DONT-FRAGMENT in the request.
    pub(crate) fn allocate_unfragmented(server: SocketAddr) -> Self {
        let request = Request::allocate().with(attribute(ATTR_DONT_FRAGMENT, &[]));
        Self::allocate_with(connect(server), &request)
    }
}

impl<W: Wire> PlainClient<W> {
    /// Opens an allocation at the server at the other end.
    pub(crate) fn allocate_over(socket: W) -> Self {
        Self::allocate_with(socket, &Request::allocate())
    }

    /// Opens an allocation that relays TCP.
    pub(crate) fn allocate_tcp(socket: W) -> Self {
        Self::allocate_with(socket, &Request::allocate_tcp())
    }

    /// Opens an allocation with a request of the test's own.
    pub(crate) fn allocate_with(socket: W, request: &Request) -> Self {
        let mut client = Self::new(socket, Login::new(USER, PASSWORD));
        client.allocate_by(request).unwrap_or_else(|refusal| panic!("{refusal}"));
        client
    }

    fn allocate_by(&mut self, request: &Request) -> Result<(), Refusal> {
        let allocated = self.ask(request)?;
        self.relayed = relayed_address(&allocated).unwrap();
        self.ticket = allocated.get(MOBILITY_TICKET).ok();
        Ok(())
    }

    /// Creates a client without an allocation.
    fn new(socket: W, login: Login) -> Self {
        let relayed = ([0, 0, 0, 0], 0).into();
        Self { socket, relayed, ticket: None, login: login.into(), session: RefCell::default() }
    }

    /// Creates a client of the same user at another address, which has its nonce.
    pub(crate) fn of_same_user<V: Wire>(&self, socket: V) -> PlainClient<V> {
        let mut other = PlainClient::new(socket, self.login.borrow().clone());
        other.relayed = self.relayed;
        let challenge = other.answer(&Request::refresh());
        assert!(matches!(challenge, Answer::Challenge { .. }), "{challenge:?}");
        other
    }

    /// Has the server connect to a peer, and returns the stream that leads there (RFC 6062).
    pub(crate) fn connect_to(&self, peer: SocketAddr, data: W) -> W {
        let made = self.request(&Request::connect(peer));
        self.bind_to(&made, data)
    }

    /// Binds a stream to the connection in a message of the server.
    pub(crate) fn bind_to(&self, told: &Message, data: W) -> W {
        let data = self.of_same_user(data);
        data.request(&Request::connection_bind(&told.get(ATTR_CONNECTION_ID).unwrap()));
        data.socket
    }

    /// Waits for the next message, which must be a ConnectionAttempt.
    pub(crate) fn connection_attempt(&self) -> Message {
        let attempt = parse(&self.receive());
        assert_eq!(attempt.typ.method, METHOD_CONNECTION_ATTEMPT);
        attempt
    }

    /// Asks for a permission.
    pub(crate) fn permit(&self, peer: SocketAddr) {
        assert_eq!(self.try_permit(peer), None);
    }

    /// Asks for a permission; returns the code if it is refused.
    pub(crate) fn try_permit(&self, peer: SocketAddr) -> Option<u16> {
        self.try_request(&Request::create_permission(peer))
    }

    /// Binds a channel to a peer.
    pub(crate) fn bind(&self, number: u16, peer: SocketAddr) {
        assert_eq!(self.try_bind(number, peer), None);
    }

    /// Binds a channel to a peer; returns the code if it is refused.
    pub(crate) fn try_bind(&self, number: u16, peer: SocketAddr) -> Option<u16> {
        self.try_request(&Request::channel_bind(number, peer))
    }

    /// Sends a Send indication, which has no response.
    pub(crate) fn send(&self, peer: SocketAddr, payload: &[u8]) {
        self.socket.put(&send_indication(peer, payload).unwrap().raw);
    }

    /// Sends a request, which must succeed.
    pub(crate) fn request(&self, request: &Request) -> Message {
        self.ask(request).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// Sends a request; returns the code if it is refused.
    pub(crate) fn try_request(&self, request: &Request) -> Option<u16> {
        self.ask(request).err().map(|refusal| refusal.code)
    }

    /// Sends a request with the required credentials.
    fn ask(&self, request: &Request) -> Result<Message, Refusal> {
        loop {
            match self.answer(request) {
                Answer::Success(answer) => return Ok(answer),
                Answer::Challenge { can_retry: true, .. } => {}
                Answer::Challenge { refusal, .. } | Answer::Refused(refusal) => {
                    return Err(refusal);
                }
            }
        }
    }

    /// Sends a request once.
    fn answer(&self, request: &Request) -> Answer {
        let (mut login, mut session) = (self.login.borrow_mut(), self.session.borrow_mut());
        let request = session.encode(&login, request).unwrap();
        self.socket.put(&request);
        let answer = self.receive();
        assert_eq!(transaction(&answer), transaction(&request));
        session.read(&mut login, &answer).unwrap()
    }

    /// Waits for the next message.
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.socket.take()
    }
}

/// Reads a STUN message.
pub(crate) fn parse(bytes: &[u8]) -> Message {
    let mut message = Message::new();
    message.unmarshal_binary(bytes).unwrap();
    message
}

/// Returns the address in a Binding response.
pub(crate) fn mapped(response: &[u8]) -> SocketAddr {
    mapped_address(&parse(response)).unwrap()
}
