//! A TURN server on loopback that is a bridge to a real one, over UDP, TCP or TLS.
//!
//! webrtc-rs reaches TURN servers over UDP alone. The bridge passes on its messages over the first
//! transport that works, in the order of the URIs, framed as RFC 8656 §12.5 has it where the
//! transport is a stream. A transport works if an Allocate request is answered. The next one is
//! tried when the one before fails, or has had no answer for some time; then the first answer
//! decides. So an agent has one relayed candidate, over its best transport, as the preferences of
//! browsers have it.
//!
//! The agent begins with checks from its relayed candidate as soon as it has the address. The bridge
//! holds them back until the other peer knows the candidate ([`Bridge::open`]): it would take them
//! for checks from a peer-reflexive candidate otherwise, which it prefers to a relayed one, and
//! nominate that before direct pairs have been checked.

mod link;
mod uri;
mod way;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{net::UdpSocket, sync::watch, task::JoinSet, time};

use self::link::Link;
pub(crate) use self::{uri::TurnUri, way::Way};
use crate::outcome::Transport;

/// The time in which the server has to answer over a transport before the next one is tried, too.
/// The one for UDP is less than the time before an agent nominates a relayed candidate; a stream
/// fails by itself, unless somebody drops its packets.
const PATIENCE_UDP: Duration = Duration::from_millis(1500);
const PATIENCE_STREAM: Duration = Duration::from_secs(5);

/// The time between repetitions of the first request over UDP (RFC 8489 §6.2.1).
const REPETITION: Duration = Duration::from_millis(500);

/// The longest datagram that a client sends.
const LONGEST: usize = 65_536;

/// The types of messages that the bridge looks at (RFC 8489 §5).
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const ALLOCATE_REQUEST: [u8; 2] = [0x00, 0x03];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];

/// An ERROR-CODE attribute of 400 without a reason (RFC 8489 §14.8).
const BAD_REQUEST: [u8; 8] = [0x00, 0x09, 0, 4, 0, 0, 4, 0];

/// A bridge. It ends with its runtime.
#[derive(Debug)]
pub(crate) struct Bridge {
    address: SocketAddr,
    transport: Arc<OnceLock<Transport>>,
    opened: watch::Sender<bool>,
}

impl Bridge {
    /// Opens a socket on loopback, and serves the client that comes.
    pub(crate) async fn start(servers: Vec<TurnUri>, way: Way) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let transport = Arc::new(OnceLock::new());
        let (opened, is_open) = watch::channel(false);
        let known = Arc::clone(&transport);
        let mut served = Served { socket, servers, way, is_open, client: None, transport: known };
        tokio::spawn(async move { served.serve().await });
        Ok(Self { address, transport, opened })
    }

    /// Returns the address of the server that the client sees.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets data and permissions through.
    pub(crate) fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Returns the transport to the real server, once the server has answered.
    pub(crate) fn transport(&self) -> Option<Transport> {
        self.transport.get().copied()
    }
}

struct Served {
    socket: UdpSocket,
    servers: Vec<TurnUri>,
    way: Way,
    is_open: watch::Receiver<bool>,
    client: Option<SocketAddr>,
    transport: Arc<OnceLock<Transport>>,
}

impl Served {
    async fn serve(&mut self) -> io::Result<()> {
        let first = self.receive().await?;
        let chosen = tokio::select! {
            chosen = choose(&self.servers, &self.way, &first) => chosen,
            // The client repeats its request, as the attempts do.
            error = ignore_requests(&self.socket) => return Err(error),
        };
        let Some(Chosen { mut link, answer, transport }) = chosen else {
            // The client gives up by itself.
            return Ok(());
        };
        let _ = self.transport.set(transport);
        self.answer(&answer).await?;
        let mut held = Vec::new();
        let mut is_open = self.is_open.clone();
        loop {
            let is_closed = !*is_open.borrow();
            tokio::select! {
                message = self.receive() => match message? {
                    message if is_closed && !message.starts_with(&ALLOCATE_REQUEST) => {
                        held.push(message);
                    }
                    message => link.send(message),
                },
                Ok(()) = is_open.changed(), if is_closed => {
                    held.drain(..).for_each(|message| link.send(message));
                }
                message = link.receive() => match message {
                    Some(message) => self.answer(&message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Returns the next message that is for the server.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let (message, client) = receive(&self.socket).await?;
        self.client = Some(client);
        Ok(message)
    }

    async fn answer(&self, message: &[u8]) -> io::Result<()> {
        if let Some(client) = self.client {
            self.socket.send_to(message, client).await?;
        }
        Ok(())
    }
}

/// A transport that works, with the first answer over it.
struct Chosen {
    link: Link,
    answer: Vec<u8>,
    transport: Transport,
}

/// Finds the first transport that works.
async fn choose(servers: &[TurnUri], way: &Way, first: &[u8]) -> Option<Chosen> {
    let mut attempts = JoinSet::new();
    for server in servers {
        attempts.spawn(attempt(*server, way.clone(), first.to_vec()));
        let patience = match server.transport() {
            Transport::Udp => PATIENCE_UDP,
            Transport::Tcp | Transport::Tls => PATIENCE_STREAM,
        };
        if let Ok(Some(Ok(Ok(chosen)))) = time::timeout(patience, attempts.join_next()).await {
            return Some(chosen);
        }
    }
    while let Some(ended) = attempts.join_next().await {
        if let Ok(Ok(chosen)) = ended {
            return Some(chosen);
        }
    }
    None
}

/// Waits until the server answers a request.
async fn attempt(server: TurnUri, way: Way, request: Vec<u8>) -> io::Result<Chosen> {
    let mut link = Link::open(&server, &way).await?;
    let mut clock = time::interval(REPETITION);
    loop {
        tokio::select! {
            // A stream drops repetitions.
            _ = clock.tick() => link.send(request.clone()),
            answer = link.receive() => {
                let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
                return Ok(Chosen { link, answer, transport: server.transport() });
            }
        }
    }
}

/// Takes requests until the socket fails, and returns the error.
async fn ignore_requests(socket: &UdpSocket) -> io::Error {
    loop {
        if let Err(error) = receive(socket).await {
            return error;
        }
    }
}

/// Returns the next message for the server, and its sender. Binding requests are none of these: a
/// mapped address of a stream is not that of any socket for UDP, so they get an error.
async fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let message = &buffer[..length];
        match (message.starts_with(&BINDING_REQUEST), message.get(4..20)) {
            (true, Some(cookie_and_id)) => {
                let length = [0, 8];
                let error = [&BINDING_ERROR[..], &length, cookie_and_id, &BAD_REQUEST].concat();
                socket.send_to(&error, from).await?;
            }
            _ => return Ok((message.to_vec(), from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// An Allocate request without attributes.
    fn request() -> Vec<u8> {
        [&[0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[5; 12]].concat()
    }

    fn uri(address: SocketAddr, transport: &str) -> TurnUri {
        format!("turn:{address}?transport={transport}").parse().unwrap()
    }

    #[tokio::test]
    async fn the_first_transport_that_works_is_taken() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![
            uri(silent.local_addr().unwrap(), "udp"),
            uri(server.local_addr().unwrap(), "tcp"),
            // Nobody listens there.
            uri("127.0.0.1:1".parse().unwrap(), "tcp"),
        ];
        let bridge = Bridge::start(servers, Way::new(None, None).unwrap()).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(bridge.address()).await.unwrap();
        client.send(&request()).await.unwrap();
        assert_eq!(bridge.transport(), None);
        let (mut stream, _) = server.accept().await.unwrap();
        let mut bytes = vec![0; 20];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, request());
        let success = [&[1, 3][..], &bytes[2..]].concat();
        stream.write_all(&success).await.unwrap();
        let length = client.recv(&mut bytes).await.unwrap();
        assert_eq!(bytes[..length], success);
        assert_eq!(bridge.transport(), Some(Transport::Tcp));
        // A CreatePermission request waits, and an Allocate request does not.
        let permission = [&[0, 8][..], &request()[2..8], &[7; 12]].concat();
        client.send(&permission).await.unwrap();
        let second = [&request()[..8], &[6; 12]].concat();
        client.send(&second).await.unwrap();
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, second);
        bridge.open();
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, permission);
    }

    #[tokio::test]
    async fn a_binding_request_is_refused() {
        let bridge = Bridge::start(Vec::new(), Way::new(None, None).unwrap()).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(bridge.address()).await.unwrap();
        let binding = [&BINDING_REQUEST[..], &request()[2..]].concat();
        client.send(&binding).await.unwrap();
        let mut answer = [0; 64];
        let length = client.recv(&mut answer).await.unwrap();
        let id = &request()[4..];
        assert_eq!(answer[..length], [&BINDING_ERROR[..], &[0, 8], id, &BAD_REQUEST].concat());
    }
}
