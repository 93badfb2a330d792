//! STUN and TURN with the `turn` crate's client, which is not the code that the server runs on.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
};
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use super::{INTERVAL, framed::Framed, stream, text, tls::Tls};

/// How many packets are sent around to measure the time.
const ROUNDS: u32 = 10;

/// Where a STUN or TURN server is.
pub(super) struct Server {
    pub address: SocketAddr,
    transport: Transport,
}

enum Transport {
    Udp,
    Tcp,
    Tls(Tls),
}

impl Server {
    /// Reads a URI of STUN or TURN (RFC 7064, RFC 7065). `ca_cert` is for `turns`.
    pub async fn resolve(uri: &str, ca_cert: Option<&Path>) -> anyhow::Result<Self> {
        let (scheme, rest) = uri.split_once(':').unwrap_or_default();
        let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
        // RFC 7064 §3.2 and RFC 7065 §3.1: the ports where a URI says none.
        let usual = if scheme == "turns" { 5349 } else { 3478 };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let place = if has_port { host.to_owned() } else { format!("{host}:{usual}") };
        let transport = match (scheme, query) {
            ("stun" | "turn", "" | "transport=udp") => Transport::Udp,
            ("turn", "transport=tcp") => Transport::Tcp,
            ("turns", "" | "transport=tcp") => Transport::Tls(Tls::new(&place, ca_cert)?),
            _ => bail!("{uri} is neither for UDP nor for TCP or TLS"),
        };
        let found = stream::resolve(&place).await.with_context(|| uri.to_owned())?;
        Ok(Self { address: found[0], transport })
    }

    /// What it is called in a report.
    pub fn name(&self) -> String {
        match self.transport {
            Transport::Udp => self.address.to_string(),
            Transport::Tcp => format!("{}/tcp", self.address),
            Transport::Tls(_) => format!("{}/tls", self.address),
        }
    }

    /// What its certificate must be for, if it is talked to over TLS.
    pub fn tls(&self) -> Option<&Tls> {
        match &self.transport {
            Transport::Tls(tls) => Some(tls),
            Transport::Udp | Transport::Tcp => None,
        }
    }

    /// Whether this machine can send there at all.
    pub fn is_reachable(&self) -> bool {
        let socket = std::net::UdpSocket::bind(self.unspecified());
        socket.and_then(|socket| socket.connect(self.address)).is_ok()
    }

    fn unspecified(&self) -> SocketAddr {
        match self.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        }
    }

    async fn connect(&self) -> anyhow::Result<Framed> {
        let connected = Framed::connect(self.address, self.tls()).await;
        connected.with_context(|| format!("no connection to {}", self.name()))
    }

    async fn client(
        &self,
        credentials: Option<&Credentials>,
    ) -> anyhow::Result<(Client, Arc<Watched>)> {
        let conn: Arc<dyn Conn + Send + Sync> = match self.transport {
            Transport::Udp => Arc::new(UdpSocket::bind(self.unspecified()).await?),
            Transport::Tcp | Transport::Tls(_) => Arc::new(self.connect().await?),
        };
        let watched = Arc::new(Watched { conn, channel_data: AtomicU64::new(0) });
        let config = ClientConfig {
            stun_serv_addr: self.address.to_string(),
            turn_serv_addr: self.address.to_string(),
            username: credentials.map_or(String::new(), |c| c.username.clone()),
            password: credentials.map_or(String::new(), |c| c.password.clone()),
            realm: String::new(),
            software: String::new(),
            rto_in_ms: 0,
            conn: watched.clone(),
            vnet: None,
        };
        let client = Client::new(config).await?;
        client.listen().await?;
        Ok((client, watched))
    }
}

/// What opens the relay.
pub(super) struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// Reads `turnCredentials`.
    pub fn read(value: &Value) -> anyhow::Result<Self> {
        ensure!(value.is_object(), "the server gives no turnCredentials");
        Ok(Self { username: text(value, "username")?, password: text(value, "password")? })
    }
}

/// Makes a TLS handshake, which shows if clients accept the certificate, and for how long.
pub(super) async fn handshake(server: &Server, tls: &Tls) -> anyhow::Result<(String, ())> {
    let failed = || format!("no connection to {}", server.name());
    let tcp = TcpStream::connect(server.address).await.with_context(failed)?;
    let mut stream = stream::secure(tcp, tls).await.with_context(failed)?;
    let term = stream::term(&stream);
    // The server may have closed it already.
    let _ = stream.shutdown().await;
    let name = tls.name.to_str();
    let detail = match term {
        Some(term) => format!("the certificate is for {name}, and {term}"),
        None => format!("the certificate is for {name}, and valid"),
    };
    Ok((detail, ()))
}

/// A Binding request: where does the server see us?
pub(super) async fn binding(server: &Server) -> anyhow::Result<(String, ())> {
    let (client, _) = server.client(None).await?;
    let seen = client.send_binding_request().await?;
    client.close().await?;
    Ok((format!("seen as {seen}"), ()))
}

/// Tries credentials that are over, until the relay refuses them: it hears of the end of a call a
/// moment after the callee does.
pub(super) async fn refused(server: &Server, credentials: &Credentials) -> anyhow::Result<()> {
    loop {
        let (client, _) = server.client(Some(credentials)).await?;
        let allocated = client.allocate().await;
        let done = match &allocated {
            Ok(conn) => {
                conn.close().await?;
                false
            }
            Err(error) if error.to_string().contains("401") => true,
            Err(error) => bail!("not refused, but: {error}"),
        };
        client.close().await?;
        if done {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Two allocations, each the other's peer: so the check needs no address of its own that the
/// server could reach.
pub(super) struct Pair {
    near: Side,
    far: Side,
}

struct Side {
    client: Client,
    watched: Arc<Watched>,
    conn: Box<dyn Conn + Send + Sync>,
    relayed: SocketAddr,
}

impl Side {
    async fn allocate(server: &Server, credentials: &Credentials) -> anyhow::Result<Self> {
        let (client, watched) = server.client(Some(credentials)).await?;
        let conn = Box::new(client.allocate().await?);
        let relayed = conn.local_addr()?;
        Ok(Self { client, watched, conn, relayed })
    }

    async fn receive(&self) -> anyhow::Result<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 1500];
        let (len, from) = self.conn.recv_from(&mut buffer).await?;
        Ok((buffer[..len].to_vec(), from))
    }

    async fn close(self) {
        // The allocation is refreshed with a lifetime of zero; if that is lost, it runs out.
        let _ = self.conn.close().await;
        let _ = self.client.close().await;
    }
}

/// Opens two allocations.
pub(super) async fn allocate_two(
    server: &Server,
    credentials: &Credentials,
) -> anyhow::Result<(String, Pair)> {
    let near = Side::allocate(server, credentials).await?;
    let far = Side::allocate(server, credentials).await?;
    Ok((format!("{} and {}", near.relayed, far.relayed), Pair { near, far }))
}

impl Pair {
    /// Permissions both ways, and a first packet each way.
    pub async fn permission(&mut self) -> anyhow::Result<(String, ())> {
        let (near, far) = (&self.near, &self.far);
        // The client asks for a permission before its first packet to a peer. The first one there
        // may come before the peer's own permission; it is for that one.
        near.conn.send_to(b"hello", far.relayed).await?;
        far.conn.send_to(b"hello", near.relayed).await?;
        let (data, from) = near.receive().await?;
        ensure!(data == b"hello" && from == far.relayed, "something else came, from {from}");
        Ok(("granted, both ways".into(), ()))
    }

    /// Sends until a packet went out over a channel and arrived.
    pub async fn channel(&mut self) -> anyhow::Result<(String, ())> {
        let (near, far) = (&self.near, &self.far);
        for number in 0u32.. {
            let before = near.watched.channel_data.load(Ordering::Relaxed);
            near.conn.send_to(&number.to_be_bytes(), far.relayed).await?;
            let by_channel = near.watched.channel_data.load(Ordering::Relaxed) > before;
            if by_channel {
                while far.receive().await?.0 != number.to_be_bytes() {}
                break;
            }
            tokio::time::sleep(INTERVAL).await;
        }
        Ok(("bound, and data went over it".into(), ()))
    }

    /// There and back through both allocations, several times.
    pub async fn round_trip(&mut self) -> anyhow::Result<(String, ())> {
        let (near, far) = (&self.near, &self.far);
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let payload = [b"round trip".as_slice(), &round.to_be_bytes()].concat();
            let began = Instant::now();
            near.conn.send_to(&payload, far.relayed).await?;
            while far.receive().await?.0 != payload {}
            far.conn.send_to(&payload, near.relayed).await?;
            while near.receive().await?.0 != payload {}
            times.push(began.elapsed());
        }
        times.sort();
        let median = times[times.len() / 2].as_secs_f64() * 1000.0;
        Ok((format!("{ROUNDS} packets there and back, median {median:.2} ms"), ()))
    }

    /// Gives the allocations back.
    pub async fn close(self) {
        self.near.close().await;
        self.far.close().await;
    }
}

/// A socket or connection that counts what goes out over channels: the client does not tell.
struct Watched {
    conn: Arc<dyn Conn + Send + Sync>,
    channel_data: AtomicU64,
}

type Result<T> = std::result::Result<T, webrtc_util::Error>;

#[async_trait]
impl Conn for Watched {
    async fn connect(&self, address: SocketAddr) -> Result<()> {
        self.conn.connect(address).await
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.conn.recv(buffer).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.conn.recv_from(buffer).await
    }

    async fn send(&self, data: &[u8]) -> Result<usize> {
        self.conn.send(data).await
    }

    async fn send_to(&self, data: &[u8], to: SocketAddr) -> Result<usize> {
        // RFC 8656 §12: the first two bits tell a channel number from a STUN message.
        if data.first().is_some_and(|first| first >> 6 == 0b01) {
            self.channel_data.fetch_add(1, Ordering::Relaxed);
        }
        self.conn.send_to(data, to).await
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        self.conn.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<()> {
        self.conn.close().await
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
