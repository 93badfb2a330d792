//! The steps that need a STUN or TURN server.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use callbox_client::{Login, Refusal};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{server::Server, stream, tls::Tls, turn_client::TurnClient};

/// The number of packets that are sent there and back to measure the time.
const ROUNDS: u32 = 10;

/// The time between two attempts with credentials that are to be refused.
const INTERVAL: Duration = Duration::from_millis(20);

/// The error code of a request with wrong credentials.
const UNAUTHORIZED: u16 = 401;

/// Makes a TLS handshake, which shows if clients accept the certificate, and for how long.
pub(super) async fn handshake(server: &Server, tls: &Tls) -> anyhow::Result<(String, ())> {
    let failed = || format!("no connection to {}", server.name());
    let tcp = TcpStream::connect(server.address()).await.with_context(failed)?;
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

/// Asks for the address that the server sees.
pub(super) async fn binding(server: &Server) -> anyhow::Result<(String, ())> {
    let seen = TurnClient::connect(server, Login::default()).await?.binding().await?;
    Ok((format!("seen as {seen}"), ()))
}

/// Tries credentials that are over, until the relay refuses them: it hears of the end of a call a
/// moment after the callee does.
pub(super) async fn refused(server: &Server, login: &Login) -> anyhow::Result<()> {
    loop {
        let mut client = TurnClient::connect(server, login.clone()).await?;
        match client.allocate().await {
            Ok(_) => client.close().await,
            Err(error) => match error.downcast_ref::<Refusal>() {
                Some(refusal) if refusal.code == UNAUTHORIZED => return Ok(()),
                _ => bail!("not refused, but: {error}"),
            },
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
    client: TurnClient,
    relayed: std::net::SocketAddr,
}

impl Side {
    async fn allocate(server: &Server, login: &Login) -> anyhow::Result<Self> {
        let mut client = TurnClient::connect(server, login.clone()).await?;
        let relayed = client.allocate().await?;
        Ok(Self { client, relayed })
    }

    /// Sends to the other side.
    async fn send(&mut self, to: &Self, payload: &[u8]) -> anyhow::Result<()> {
        self.client.send(to.relayed, payload).await
    }

    /// Waits for this payload; others before it are passed over.
    async fn receive(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        while self.client.receive().await?.0 != payload {}
        Ok(())
    }
}

impl Pair {
    /// Opens two allocations.
    pub(crate) async fn allocate(server: &Server, login: &Login) -> anyhow::Result<(String, Self)> {
        let near = Side::allocate(server, login).await?;
        let far = Side::allocate(server, login).await?;
        Ok((format!("{} and {}", near.relayed, far.relayed), Self { near, far }))
    }

    /// Asks for permissions both ways, and sends a first packet each way.
    pub(crate) async fn permission(&mut self) -> anyhow::Result<(String, ())> {
        let (near, far) = (&mut self.near, &mut self.far);
        near.client.create_permission(far.relayed).await?;
        far.client.create_permission(near.relayed).await?;
        near.send(far, b"hello").await?;
        far.send(near, b"hello").await?;
        let (data, from) = near.client.receive().await?;
        ensure!(data == b"hello" && from == far.relayed, "something else came, from {from}");
        Ok(("granted, both ways".into(), ()))
    }

    /// Binds channels both ways, and sends a packet over one.
    pub(crate) async fn channel(&mut self) -> anyhow::Result<(String, ())> {
        let (near, far) = (&mut self.near, &mut self.far);
        near.client.bind_channel(far.relayed).await?;
        far.client.bind_channel(near.relayed).await?;
        near.send(far, b"channel").await?;
        far.receive(b"channel").await?;
        Ok(("bound, and data went over it".into(), ()))
    }

    /// Sends packets there and back through both allocations.
    pub(crate) async fn round_trip(&mut self) -> anyhow::Result<(String, ())> {
        let (near, far) = (&mut self.near, &mut self.far);
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let payload = [b"round trip".as_slice(), &round.to_be_bytes()].concat();
            let began = Instant::now();
            near.send(far, &payload).await?;
            far.receive(&payload).await?;
            far.send(near, &payload).await?;
            near.receive(&payload).await?;
            times.push(began.elapsed());
        }
        times.sort();
        let median = times[times.len() / 2].as_secs_f64() * 1000.0;
        Ok((format!("{ROUNDS} packets there and back, median {median:.2} ms"), ()))
    }

    /// Gives the allocations back.
    pub(crate) async fn close(self) {
        self.near.client.close().await;
        self.far.client.close().await;
    }
}
