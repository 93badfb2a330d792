//! A server with wrong responses, to check that the conformance suite notices them.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use stun::{
    addr::MappedAddress,
    attributes::{
        ATTR_CONNECTION_ID, ATTR_DATA, ATTR_LIFETIME, ATTR_MESSAGE_INTEGRITY, ATTR_NONCE,
        ATTR_OTHER_ADDRESS, ATTR_PASSWORD_ALGORITHMS, ATTR_REALM, ATTR_REQUESTED_TRANSPORT,
        ATTR_RESPONSE_ORIGIN, ATTR_XOR_PEER_ADDRESS, ATTR_XOR_RELAYED_ADDRESS,
        ATTR_XORMAPPED_ADDRESS, AttrType,
    },
    error_code::{ErrorCode, ErrorCodeAttribute},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{
        CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE,
        METHOD_BINDING, METHOD_CONNECT, METHOD_DATA, Message, MessageClass, MessageType, Method,
        Setter,
    },
    xoraddr::XorMappedAddress,
};

/// RFC 7635 §6.1, which the crate does not know.
const THIRD_PARTY_AUTHORIZATION: AttrType = AttrType(0x802E);

/// The kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Every request succeeds, with wrong values and a wrong signature; data goes to the last known
    /// client, one byte longer. Connections to peers may be opened from anywhere and never end;
    /// those from peers wait for ever.
    Yes,
    /// The same, with lifetimes of hours.
    Long,
    /// Binding returns the right address, and an OTHER-ADDRESS that never responds.
    Other,
    /// Every signed request is a 400, and Binding a 500; password algorithms are not listed.
    No,
    /// A challenge has no NONCE.
    NoNonce,
    /// The nonce cookie is invalid, and the server name for access tokens is not UTF-8.
    NoCookie,
}

/// Starts a wrong server that ends with the test's process; returns its address.
pub(crate) fn start(wrong: Wrong) -> SocketAddr {
    let server = Server::new(wrong);
    let address = server.socket.local_addr().unwrap();
    thread::spawn(move || server.run());
    address
}

/// The same over TCP, where in addition it takes the bytes of one read for one message.
pub(crate) fn start_tcp(wrong: Wrong) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || Server::new(wrong).serve(&mut stream.unwrap()));
        }
    });
    address
}

/// Binds a socket with an odd port, which EVEN-PORT must not return.
fn odd_port() -> UdpSocket {
    let odd = |socket: &UdpSocket| socket.local_addr().unwrap().port() % 2 == 1;
    let mut sockets = std::iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").unwrap());
    sockets.find(odd).unwrap()
}

struct Server {
    wrong: Wrong,
    socket: UdpSocket,
    relays: [UdpSocket; 2],
    /// The relayed TCP address, which accepts no connections.
    listener: TcpListener,
    /// Connections to peers.
    connections: Vec<TcpStream>,
    count: u16,
    /// The number of allocations of each client.
    allocated: HashMap<SocketAddr, usize>,
    /// The peer that was named last.
    peer: Option<SocketAddr>,
}

impl Server {
    fn new(wrong: Wrong) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let relays = [odd_port(), odd_port()];
        for relay in &relays {
            relay.set_nonblocking(true).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (connections, allocated) = (Vec::new(), HashMap::new());
        Self { wrong, socket, relays, listener, connections, count: 0, allocated, peer: None }
    }

    fn serve(mut self, stream: &mut TcpStream) {
        let from = stream.peer_addr().unwrap();
        let mut buffer = [0; 2048];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            let answer = self.take(&buffer[..len], from);
            let _ = stream.write_all(&answer);
        }
    }

    fn run(mut self) {
        let mut buffer = [0; 2048];
        loop {
            if let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
                let answer = self.take(&buffer[..len], from);
                let _ = self.socket.send_to(&answer, from);
            }
            for at in 0..self.relays.len() {
                while let Ok((len, _)) = self.relays[at].recv_from(&mut buffer) {
                    self.to_clients(&buffer[..len]);
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) -> Vec<u8> {
        if self.wrong == Wrong::Yes {
            self.to_peer(bytes);
        }
        match bytes.first() {
            Some(0..=3) if bytes.len() >= 20 => self.answer(bytes, from),
            _ => b"what?".to_vec(),
        }
    }

    fn answer(&mut self, bytes: &[u8], from: SocketAddr) -> Vec<u8> {
        let mut typ = MessageType::default();
        typ.read_value(u16::from_be_bytes([bytes[0], bytes[1]]));
        let mut asked = Message::new();
        let signed =
            asked.unmarshal_binary(bytes).is_ok() && asked.attributes.get(ATTR_MESSAGE_INTEGRITY).1;
        let mut peer = XorMappedAddress::default();
        if peer.get_from_as(&asked, ATTR_XOR_PEER_ADDRESS).is_ok() {
            self.peer = Some((peer.ip, peer.port).into());
        }
        let method = typ.method;
        if !signed && method != METHOD_BINDING && typ.class != CLASS_INDICATION {
            // Unknown attributes before credentials is the wrong order.
            let unknown = asked.attributes.0.iter().any(|attribute| attribute.typ.value() > 0x7F00);
            return match unknown {
                true => error(method, bytes, 420).raw,
                false => self.challenge(method, bytes),
            };
        }
        match self.wrong {
            Wrong::No if method == METHOD_BINDING => error(method, bytes, 500).raw,
            Wrong::No => error(method, bytes, 400).raw,
            _ => self.success(method, bytes, &asked, from),
        }
    }

    fn challenge(&self, method: Method, bytes: &[u8]) -> Vec<u8> {
        let mut answer = error(method, bytes, 401);
        answer.add(ATTR_REALM, "realm".repeat(50).as_bytes());
        match self.wrong {
            Wrong::NoNonce => {}
            Wrong::NoCookie => answer.add(ATTR_NONCE, b"obMatJos2!!!!"),
            // Base64 of the two bits of RFC 8489 §18.1.
            _ => answer.add(ATTR_NONCE, b"obMatJos2wAAAthe-same"),
        }
        if self.wrong == Wrong::Yes {
            answer.add(ATTR_PASSWORD_ALGORITHMS, &[0, 1, 0, 0, 0, 2, 0, 0]);
        }
        let name: &[u8] = if self.wrong == Wrong::NoCookie { b"\xff" } else { b"turn.example" };
        answer.add(THIRD_PARTY_AUTHORIZATION, name);
        answer.raw
    }

    fn success(
        &mut self,
        method: Method,
        bytes: &[u8],
        asked: &Message,
        from: SocketAddr,
    ) -> Vec<u8> {
        let mut answer = begin(method, CLASS_SUCCESS_RESPONSE, bytes);
        self.count = self.count.wrapping_add(1);
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], self.count));
        if self.wrong == Wrong::Other {
            add_address(&mut answer, from, ATTR_XORMAPPED_ADDRESS);
            add_plain_address(&mut answer, elsewhere, ATTR_RESPONSE_ORIGIN);
            add_plain_address(&mut answer, ([127, 0, 0, 2], 9).into(), ATTR_OTHER_ADDRESS);
        } else {
            add_address(&mut answer, elsewhere, ATTR_XORMAPPED_ADDRESS);
        }
        if method == METHOD_ALLOCATE {
            let times = self.allocated.entry(from).or_default();
            let over_tcp = asked.get(ATTR_REQUESTED_TRANSPORT).is_ok_and(|value| value[0] == 6);
            let relay = match over_tcp {
                true => self.listener.local_addr(),
                false => self.relays[*times % 2].local_addr(),
            };
            *times += 1;
            add_address(&mut answer, relay.unwrap(), ATTR_XOR_RELAYED_ADDRESS);
        }
        if method == METHOD_CONNECT {
            self.connections.extend(self.peer.and_then(|peer| TcpStream::connect(peer).ok()));
        }
        let lifetime: u32 = if self.wrong == Wrong::Long { 9000 } else { 7 };
        answer.add(ATTR_LIFETIME, &lifetime.to_be_bytes());
        answer.add(ATTR_CONNECTION_ID, &[7; 4]);
        MessageIntegrity(b"nobody's key".to_vec()).add_to(&mut answer).unwrap();
        FINGERPRINT.add_to(&mut answer).unwrap();
        answer.raw
    }

    fn to_peer(&self, message: &[u8]) {
        let Some(peer) = self.peer else { return };
        let data = match message {
            [0x40..=0x7F, _, _, _, data @ ..] => data.to_vec(),
            _ => {
                let mut sent = Message::new();
                let read = sent.unmarshal_binary(message).is_ok();
                if !read || sent.typ.class != CLASS_INDICATION {
                    return;
                }
                sent.get(ATTR_DATA).unwrap_or_default()
            }
        };
        let _ = self.relays[0].send_to(&[&data[..], b"!"].concat(), peer);
    }

    fn to_clients(&self, data: &[u8]) {
        let mut indication = begin(METHOD_DATA, CLASS_INDICATION, &[0; 20]);
        add_address(&mut indication, ([192, 0, 2, 1], 9).into(), ATTR_XOR_PEER_ADDRESS);
        indication.add(ATTR_DATA, &[data, b"!"].concat());
        for client in self.allocated.keys() {
            let _ = self.socket.send_to(&indication.raw, client);
        }
    }
}

fn begin(method: Method, class: MessageClass, asked: &[u8]) -> Message {
    let mut message = Message::new();
    message.typ = MessageType { method, class };
    message.transaction_id.0.copy_from_slice(&asked[8..20]);
    message.write_header();
    message
}

fn error(method: Method, asked: &[u8], code: u16) -> Message {
    let mut message = begin(method, CLASS_ERROR_RESPONSE, asked);
    let error = ErrorCodeAttribute { code: ErrorCode(code), reason: b"No".to_vec() };
    error.add_to(&mut message).unwrap();
    message
}

fn add_address(message: &mut Message, at: SocketAddr, typ: AttrType) {
    XorMappedAddress { ip: at.ip(), port: at.port() }.add_to_as(message, typ).unwrap();
}

fn add_plain_address(message: &mut Message, at: SocketAddr, typ: AttrType) {
    MappedAddress { ip: at.ip(), port: at.port() }.add_to_as(message, typ).unwrap();
}
