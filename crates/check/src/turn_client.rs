//! A TURN client over UDP, TCP or TLS.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use callbox_client::{
    Answer, Data, HEADER, Login, Message, Request, Session, channel_data, length, mapped_address,
    pad, relayed_address, send_indication, transaction,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    server::{Server, Transport},
    stream::{self, Stream},
};

/// The time until a request is sent again over UDP, the first time and at most.
const RTO: Duration = Duration::from_millis(200);
const MAX_RTO: Duration = Duration::from_millis(1600);

/// The number of times that a request is signed anew.
const MAX_CHALLENGES: usize = 3;

/// The channel that a client binds.
const CHANNEL: u16 = 0x4000;

/// The way to the server.
enum Link {
    Udp { socket: UdpSocket, server: SocketAddr },
    Stream(Box<dyn Stream>),
}

impl Link {
    async fn connect(server: &Server) -> anyhow::Result<Self> {
        let address = server.address();
        let tls = match server.transport() {
            Transport::Udp => {
                let socket = UdpSocket::bind(server.unspecified()).await?;
                return Ok(Self::Udp { socket, server: address });
            }
            Transport::Tcp => None,
            Transport::Tls(tls) => Some(tls),
        };
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Self::Stream(match tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(stream::secure(tcp, tls).await?),
        }))
    }

    fn is_lossy(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp { socket, server } => socket.send_to(message, *server).await.map(|_| ()),
            Self::Stream(stream) => {
                stream.write_all(&pad(message)).await?;
                stream.flush().await
            }
        }
    }

    /// Receives a message. Over a stream, a message that is waited for no longer may be lost in
    /// part.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Udp { socket, .. } => {
                let mut message = vec![0; usize::from(u16::MAX)];
                let (len, _) = socket.recv_from(&mut message).await?;
                message.truncate(len);
                Ok(message)
            }
            Self::Stream(stream) => {
                let mut header = [0; HEADER];
                stream.read_exact(&mut header).await?;
                let mut message = header.to_vec();
                message.resize(length(header), 0);
                stream.read_exact(&mut message[HEADER..]).await?;
                Ok(message)
            }
        }
    }
}

/// A TURN client with one five-tuple, one allocation and one channel.
pub(super) struct TurnClient {
    link: Link,
    login: Login,
    session: Session,
    /// The peer of the channel.
    bound: Option<SocketAddr>,
    /// Messages that came while the client waited for an answer.
    early: VecDeque<Vec<u8>>,
}

impl TurnClient {
    /// Connects to a server.
    pub(crate) async fn connect(server: &Server, login: Login) -> anyhow::Result<Self> {
        let connected = Link::connect(server).await;
        let link = match server.transport() {
            Transport::Udp => connected?,
            Transport::Tcp | Transport::Tls(_) => {
                connected.with_context(|| format!("no connection to {}", server.name()))?
            }
        };
        let (session, early) = (Session::default(), VecDeque::new());
        Ok(Self { link, login, session, bound: None, early })
    }

    /// Returns the client's address as the server sees it.
    pub(crate) async fn binding(&mut self) -> anyhow::Result<SocketAddr> {
        let answer = self.request(&Request::binding()).await?;
        mapped_address(&answer).context("the server does not say which address it sees")
    }

    /// Allocates a relayed address.
    pub(crate) async fn allocate(&mut self) -> anyhow::Result<SocketAddr> {
        let answer = self.request(&Request::allocate()).await?;
        relayed_address(&answer).context("the server gives no relayed address")
    }

    /// Asks for a permission.
    pub(crate) async fn create_permission(&mut self, peer: SocketAddr) -> anyhow::Result<()> {
        self.request(&Request::create_permission(peer)).await.map(|_| ())
    }

    /// Binds the channel.
    pub(crate) async fn bind_channel(&mut self, peer: SocketAddr) -> anyhow::Result<()> {
        self.request(&Request::channel_bind(CHANNEL, peer)).await?;
        self.bound = Some(peer);
        Ok(())
    }

    /// Sends data to a peer, over the channel if it is bound to that one.
    pub(crate) async fn send(&mut self, peer: SocketAddr, payload: &[u8]) -> anyhow::Result<()> {
        let message = match self.bound {
            Some(bound) if bound == peer => channel_data(CHANNEL, payload),
            _ => send_indication(peer, payload)?.raw,
        };
        Ok(self.link.send(&message).await?)
    }

    /// Waits for data from a peer.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<(Vec<u8>, SocketAddr)> {
        loop {
            let message = match self.early.pop_front() {
                Some(message) => message,
                None => self.link.receive().await?,
            };
            match (Data::read(&message), self.bound) {
                (Some(Data::Indication(peer, payload)), _)
                | (Some(Data::Channel(CHANNEL, payload)), Some(peer)) => {
                    return Ok((payload.to_vec(), peer));
                }
                _ => {}
            }
        }
    }

    /// Gives the allocation back, without waiting for the answer: if the request is lost, the
    /// allocation expires.
    pub(crate) async fn close(mut self) {
        if let Ok(request) = self.session.encode(&self.login, &Request::release()) {
            let _ = self.link.send(&request).await;
        }
    }

    /// Sends a request until it is answered, and signs it if the server wants that.
    async fn request(&mut self, request: &Request) -> anyhow::Result<Message> {
        for _ in 0..MAX_CHALLENGES {
            let bytes = self.session.encode(&self.login, request)?;
            let answer = self.exchange(&bytes).await?;
            match self.session.read(&mut self.login, &answer)? {
                Answer::Success(answer) => return Ok(answer),
                Answer::Challenge { can_retry: true, .. } => {}
                Answer::Challenge { refusal, .. } | Answer::Refused(refusal) => bail!(refusal),
            }
        }
        bail!("the server asks for another nonce each time")
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut wait = RTO;
        loop {
            self.link.send(request).await?;
            if !self.link.is_lossy() {
                return self.answer(request).await;
            }
            if let Ok(answer) = timeout(wait, self.answer(request)).await {
                return answer;
            }
            wait = MAX_RTO.min(2 * wait);
        }
    }

    async fn answer(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let message = self.link.receive().await?;
            if Data::read(&message).is_some() {
                self.early.push_back(message);
            } else if transaction(&message) == transaction(request) {
                return Ok(message);
            }
        }
    }
}
