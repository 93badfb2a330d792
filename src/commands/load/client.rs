//! TURN clients that cost little: a socket each, and no task, timer or lock.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use ::stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME},
    error_code::ErrorCodeAttribute,
    integrity::MessageIntegrity,
    message::{
        BINDING_REQUEST, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE,
        METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH, Message, MessageType,
        Method, Setter,
    },
    textattrs::TextAttribute,
};
use ::turn::proto::{
    PROTO_UDP,
    channum::ChannelNumber,
    lifetime::Lifetime,
    peeraddr::PeerAddress,
    relayaddr::RelayedAddress,
    reqfamily::{REQUESTED_FAMILY_IPV6, RequestedAddressFamily},
    reqtrans::RequestedTransport,
};
use anyhow::{Context, bail};

use super::{Framing, LoadArgs, Path};

/// How many requests are on the way at a time.
const WAVE: usize = 64;

/// What is asked for as the peer's buffers.
const PEER_BUFFER: usize = 4 << 20;

/// How long an answer is waited for, and how often a request is sent again.
const TIMEOUT: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 6;

/// The channel that a client sends on.
pub(super) const CHANNEL: u16 = 0x4000;
/// The channel of the client that sends to this one.
const CHANNEL_BACK: u16 = 0x4001;
/// What data may come on.
pub(super) const CHANNELS: [u16; 2] = [CHANNEL, CHANNEL_BACK];

/// A client with its allocation.
pub(super) struct Client {
    pub socket: UdpSocket,
    pub relayed: SocketAddr,
    realm: String,
    nonce: String,
    key: MessageIntegrity,
}

/// All clients of a run.
pub(super) struct Clients {
    pub all: Vec<Client>,
    username: String,
}

type Attributes = Vec<Box<dyn Setter>>;

fn peer_attribute(at: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress { ip: at.ip(), port: at.port() })
}

impl Clients {
    /// The clients of a plain forwarder.
    pub fn plain(all: Vec<Client>) -> Self {
        Self { all, username: String::new() }
    }

    /// Opens a socket and an allocation for each client.
    pub fn allocate(args: &LoadArgs, username: &str, password: &str) -> anyhow::Result<Self> {
        let client = |_| {
            Ok(Client {
                socket: socket_to(args.server, args.client_ip)?,
                relayed: args.server,
                realm: String::new(),
                nonce: String::new(),
                key: MessageIntegrity::default(),
            })
        };
        let all: Vec<_> = (0..args.clients).map(client).collect::<anyhow::Result<_>>()?;
        let mut clients = Self { all, username: username.to_owned() };
        let attributes = |_: usize| -> Attributes {
            let mut all: Attributes = vec![Box::new(RequestedTransport { protocol: PROTO_UDP })];
            if args.server.is_ipv6() {
                all.push(Box::new(RequestedAddressFamily(REQUESTED_FAMILY_IPV6.0)));
            }
            all
        };
        for from in (0..clients.all.len()).step_by(WAVE) {
            let wave = from..(from + WAVE).min(clients.all.len());
            let challenges = clients
                .exchange(wave.clone(), |_, at| unsigned(METHOD_ALLOCATE, &attributes(at)))?;
            for (client, challenge) in clients.all[wave.clone()].iter_mut().zip(challenges) {
                let text = |typ| TextAttribute::get_from_as(&challenge, typ).map(|t| t.text);
                client.realm = text(ATTR_REALM).context("the server asks for no credentials")?;
                client.nonce = text(ATTR_NONCE)?;
                let (user, realm) = (username.to_owned(), client.realm.clone());
                client.key =
                    MessageIntegrity::new_long_term_integrity(user, realm, password.to_owned());
            }
            let answers = clients.request(wave.clone(), METHOD_ALLOCATE, attributes)?;
            for (client, answer) in clients.all[wave].iter_mut().zip(answers) {
                let mut address = RelayedAddress::default();
                address.get_from(&answer)?;
                client.relayed = SocketAddr::new(address.ip, address.port);
            }
        }
        Ok(clients)
    }

    /// Permissions and channels, as the run needs them. Gives the peer, where there is one.
    pub fn open_ways(&mut self, args: &LoadArgs) -> anyhow::Result<UdpSocket> {
        let local = self.all[0].socket.local_addr()?.ip();
        let peer = open_peer(args, local)?;
        let peer_address = peer.local_addr()?;
        let relayed: Vec<_> = self.all.iter().map(|client| client.relayed).collect();
        let count = relayed.len();
        let to = |at: usize| match args.path {
            Path::Up | Path::Down => peer_address,
            Path::Clients => relayed[(at + 1) % count],
        };
        let back = |at: usize| relayed[(at + count - 1) % count];
        for from in (0..count).step_by(WAVE) {
            let wave = from..(from + WAVE).min(count);
            if args.framing == Framing::Indication {
                self.request(wave, METHOD_CREATE_PERMISSION, |at| vec![peer_attribute(to(at))])?;
                continue;
            }
            let bind = |number, to: SocketAddr| -> Attributes {
                vec![Box::new(ChannelNumber(number)), peer_attribute(to)]
            };
            self.request(wave.clone(), METHOD_CHANNEL_BIND, |at| bind(CHANNEL, to(at)))?;
            // Between two clients they are each other's next, and the channel is there already.
            if args.path == Path::Clients && count > 2 {
                self.request(wave, METHOD_CHANNEL_BIND, |at| bind(CHANNEL_BACK, back(at)))?;
            }
        }
        Ok(peer)
    }

    /// Gives every allocation back. What is lost on the way expires by itself.
    pub fn close(&mut self) {
        for client in &mut self.all {
            let bytes = client.signed(
                &self.username,
                METHOD_REFRESH,
                &[Box::new(Lifetime(Duration::ZERO))],
            );
            if let Ok(bytes) = bytes {
                let _ = client.socket.send(&bytes);
            }
        }
    }

    fn request(
        &mut self,
        wave: std::ops::Range<usize>,
        method: Method,
        attributes: impl Fn(usize) -> Attributes,
    ) -> anyhow::Result<Vec<Message>> {
        let username = self.username.clone();
        let answers =
            self.exchange(wave, |client, at| client.signed(&username, method, &attributes(at)))?;
        for answer in &answers {
            if answer.typ.class != CLASS_SUCCESS_RESPONSE {
                let mut code = ErrorCodeAttribute::default();
                code.get_from(answer)?;
                bail!("the server answers {method} with {code}");
            }
        }
        Ok(answers)
    }

    /// Sends a request of each client, then takes in the answers.
    fn exchange(
        &mut self,
        wave: std::ops::Range<usize>,
        build: impl Fn(&mut Client, usize) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Vec<Message>> {
        let from = wave.start;
        let clients = &mut self.all[wave];
        let mut requests = Vec::with_capacity(clients.len());
        for (at, client) in clients.iter_mut().enumerate() {
            let request = build(client, from + at)?;
            client.socket.send(&request)?;
            requests.push(request);
        }
        let answer = |(client, request): (&Client, &Vec<u8>)| answer_to(&client.socket, request);
        clients.iter().zip(&requests).map(answer).collect()
    }
}

impl Client {
    /// A client of a plain forwarder.
    pub fn plain(socket: UdpSocket, relayed: SocketAddr) -> Self {
        let (realm, nonce, key) = Default::default();
        Self { socket, relayed, realm, nonce, key }
    }

    fn signed(
        &mut self,
        username: &str,
        method: Method,
        attributes: &[Box<dyn Setter>],
    ) -> anyhow::Result<Vec<u8>> {
        let mut message = begin(method, attributes)?;
        for (typ, text) in
            [(ATTR_USERNAME, username), (ATTR_REALM, &self.realm), (ATTR_NONCE, &self.nonce)]
        {
            TextAttribute::new(typ, text.to_owned()).add_to(&mut message)?;
        }
        self.key.add_to(&mut message)?;
        Ok(message.raw)
    }
}

fn begin(method: Method, attributes: &[Box<dyn Setter>]) -> anyhow::Result<Message> {
    let mut message = Message::new();
    message.typ = MessageType { method, class: CLASS_REQUEST };
    message.write_header();
    message.new_transaction_id()?;
    for attribute in attributes {
        attribute.add_to(&mut message)?;
    }
    Ok(message)
}

fn unsigned(method: Method, attributes: &[Box<dyn Setter>]) -> anyhow::Result<Vec<u8>> {
    Ok(begin(method, attributes)?.raw)
}

/// Waits for the answer to a request that was sent, and sends it again where none comes.
fn answer_to(socket: &UdpSocket, request: &[u8]) -> anyhow::Result<Message> {
    let mut buffer = [0; 2048];
    for _ in 0..ATTEMPTS {
        while let Ok(len) = socket.recv(&mut buffer) {
            // Anything else is of an earlier attempt.
            if len >= 20 && buffer[8..20] == request[8..20] {
                let mut message = Message::new();
                message.unmarshal_binary(&buffer[..len])?;
                return Ok(message);
            }
        }
        socket.send(request)?;
    }
    let at = socket.peer_addr()?;
    bail!("{at} does not answer; is it a TURN server, and does a firewall let UDP through?")
}

/// Opens the peer's socket, where the clients are if the arguments say nothing else.
pub(super) fn open_peer(args: &LoadArgs, local: IpAddr) -> anyhow::Result<UdpSocket> {
    let at = SocketAddr::new(args.peer_ip.unwrap_or(local), args.peer_port);
    let peer = UdpSocket::bind(at).with_context(|| {
        format!(
            "--peer-ip, --peer-port: the peer cannot be at {at}; is it free, and of this machine?"
        )
    })?;
    // One socket takes what all clients send. Less than is asked for is no error.
    let socket = socket2::SockRef::from(&peer);
    socket.set_recv_buffer_size(PEER_BUFFER)?;
    socket.set_send_buffer_size(PEER_BUFFER)?;
    Ok(peer)
}

/// A client's socket.
pub(super) fn socket_to(server: SocketAddr, from: Option<IpAddr>) -> anyhow::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((from.unwrap_or(any), 0)).context(
        "no socket for a client; is the limit of open files (`ulimit -n`) too low, or --client-ip \
         none of this machine's?",
    )?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    Ok(socket)
}

/// How many Binding requests a second are answered, over `duration`; `None` if it is zero.
pub(super) fn count_bindings(
    server: SocketAddr,
    duration: Duration,
) -> anyhow::Result<Option<f64>> {
    if duration.is_zero() {
        return Ok(None);
    }
    const SOCKETS: usize = 16;
    let mut request = Message::new();
    request.typ = BINDING_REQUEST;
    request.write_header();
    let socket = |_| {
        let socket = socket_to(server, None)?;
        socket.set_nonblocking(true)?;
        Ok(mio::net::UdpSocket::from_std(socket))
    };
    let sockets: Vec<_> = (0..SOCKETS).map(socket).collect::<anyhow::Result<_>>()?;
    let mut batch = crate::sys::SendBatch::default();
    let mut answers = crate::sys::ReceiveBatch::new(WAVE, 256, 0, 0);
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < duration {
        for socket in &sockets {
            for _ in 0..WAVE / 4 {
                batch.push(None, 0..request.raw.len(), request.raw.len());
            }
            batch.send(socket, &request.raw).taken()?;
        }
        for socket in &sockets {
            count += answers.receive(socket, 0..WAVE).unwrap_or(0);
        }
    }
    Ok(Some(count as f64 / started.elapsed().as_secs_f64()))
}
