//! A connection of TCP or TLS that the `turn` crate's client takes for a socket: it sends and
//! receives whole messages (RFC 8656 §12.5).

use std::{any::Any, io, net::SocketAddr};

use async_trait::async_trait;
use callbox_stun::{Frame, Kind, MAX_FRAME};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::TcpStream,
    sync::Mutex,
};
use webrtc_util::Conn;

use super::{
    stream::{Stream, secure},
    tls::Tls,
};

pub(super) struct Framed {
    local: SocketAddr,
    remote: SocketAddr,
    reading: Mutex<Reading>,
    writing: Mutex<WriteHalf<Box<dyn Stream>>>,
}

struct Reading {
    half: ReadHalf<Box<dyn Stream>>,
    /// What has come and was not taken.
    bytes: Vec<u8>,
}

impl Framed {
    /// Connects, over TLS if it is given.
    pub async fn connect(to: SocketAddr, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(tls) => Box::new(secure(stream, tls).await?),
        };
        let (half, writing) = split(stream);
        let reading = Reading { half, bytes: Vec::new() };
        Ok(Self { local, remote: to, reading: reading.into(), writing: writing.into() })
    }
}

type Result<T> = std::result::Result<T, webrtc_util::Error>;

#[async_trait]
impl Conn for Framed {
    async fn connect(&self, _: SocketAddr) -> Result<()> {
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        let Reading { half, bytes } = &mut *self.reading.lock().await;
        loop {
            match Frame::first(bytes, MAX_FRAME) {
                Frame::Whole { message, ends } => {
                    let taken = message.min(buffer.len());
                    buffer[..taken].copy_from_slice(&bytes[..taken]);
                    bytes.drain(..ends);
                    return Ok(taken);
                }
                Frame::Part if half.read_buf(bytes).await? > 0 => {}
                Frame::Part => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Frame::Broken | Frame::TooLong => {
                    return Err(io::Error::from(io::ErrorKind::InvalidData).into());
                }
            }
        }
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Ok((self.recv(buffer).await?, self.remote))
    }

    async fn send(&self, data: &[u8]) -> Result<usize> {
        let mut message = data.to_vec();
        if Kind::of(data) == Kind::ChannelData {
            message.resize(data.len().next_multiple_of(4), 0);
        }
        let mut writing = self.writing.lock().await;
        writing.write_all(&message).await?;
        writing.flush().await?;
        Ok(data.len())
    }

    async fn send_to(&self, data: &[u8], _: SocketAddr) -> Result<usize> {
        self.send(data).await
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.remote)
    }

    async fn close(&self) -> Result<()> {
        // The other side may have closed it already.
        let _ = self.writing.lock().await.shutdown().await;
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
