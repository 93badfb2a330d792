//! A TURN server on loopback that is a bridge to a real one, over UDP, TCP or TLS.
//!
//! webrtc-rs reaches TURN servers over UDP alone. The bridge passes on its messages over the first
//! transport that works, in the order of the URIs, framed as RFC 8656 §12.5 has it where the
//! transport is a stream. A transport works if an Allocate request is answered; the next one is
//! tried after [`PATIENCE`]. So an agent has one relayed candidate, over its best transport, as the
//! preferences of browsers have it.

mod link;
mod uri;
mod way;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{net::UdpSocket, time};

use self::link::Link;
pub(crate) use self::{uri::TurnUri, way::Way};
use crate::outcome::Transport;

/// The time in which the server has to answer over a transport before the next one is tried.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest datagram that a client sends.
const LONGEST: usize = 65_536;

/// The types of messages that the bridge looks at (RFC 8489 §5).
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];

/// An ERROR-CODE attribute of 400 without a reason (RFC 8489 §14.8).
const BAD_REQUEST: [u8; 8] = [0x00, 0x09, 0, 4, 0, 0, 4, 0];

/// A bridge. It ends with its runtime.
#[derive(Debug)]
pub(crate) struct Bridge {
    address: SocketAddr,
    transport: Arc<OnceLock<Transport>>,
}

impl Bridge {
    /// Opens a socket on loopback, and serves the client that comes.
    pub(crate) async fn start(servers: Vec<TurnUri>, way: Way) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let transport = Arc::new(OnceLock::new());
        let mut served =
            Served { socket, servers, way, client: None, transport: Arc::clone(&transport) };
        tokio::spawn(async move { served.serve().await });
        Ok(Self { address, transport })
    }

    /// Returns the address of the server that the client sees.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
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
    client: Option<SocketAddr>,
    transport: Arc<OnceLock<Transport>>,
}

impl Served {
    async fn serve(&mut self) -> io::Result<()> {
        let first = self.receive().await?;
        let Some((mut link, answer)) = self.choose(&first).await? else {
            // The client gives up by itself.
            return Ok(());
        };
        self.answer(&answer).await?;
        loop {
            tokio::select! {
                message = self.receive() => link.send(message?),
                message = link.receive() => match message {
                    Some(message) => self.answer(&message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Finds the first transport that works, and returns it with the first answer.
    async fn choose(&self, first: &[u8]) -> io::Result<Option<(Link, Vec<u8>)>> {
        for server in &self.servers {
            let attempt = async {
                let mut link = Link::open(server, &self.way).await?;
                link.send(first.to_vec());
                loop {
                    tokio::select! {
                        // Of datagrams the client's retransmissions are needed, too.
                        message = self.receive_of_client() => link.send(message?),
                        answer = link.receive() => {
                            let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
                            return Ok::<_, io::Error>((link, answer.ok_or_else(closed)?));
                        }
                    }
                }
            };
            if let Ok(Ok(chosen)) = time::timeout(PATIENCE, attempt).await {
                let _ = self.transport.set(server.transport());
                return Ok(Some(chosen));
            }
        }
        Ok(None)
    }

    /// Returns the next message that is for the server.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let (message, client) = receive(&self.socket).await?;
        self.client = Some(client);
        Ok(message)
    }

    async fn receive_of_client(&self) -> io::Result<Vec<u8>> {
        receive(&self.socket).await.map(|(message, _)| message)
    }

    async fn answer(&self, message: &[u8]) -> io::Result<()> {
        if let Some(client) = self.client {
            self.socket.send_to(message, client).await?;
        }
        Ok(())
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
