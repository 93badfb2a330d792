//! A connection to a TURN server over one transport, as a pair of queues of messages.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use callbox_client::pad;
use callbox_stun::{Frame, Kind, MAX_FRAME};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
    sync::mpsc,
};

use super::{LONGEST, TurnUri, Way};
use crate::outcome::Transport;

/// The number of messages that wait for a slow connection. More are lost, as datagrams would be.
const QUEUE: usize = 256;

/// The bytes of a request that identify its transaction (RFC 8489 §5).
const TRANSACTION: std::ops::Range<usize> = 8..20;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Link {
    to_server: mpsc::Sender<Vec<u8>>,
    from_server: mpsc::Receiver<Vec<u8>>,
}

impl Link {
    /// Connects to the server.
    pub(super) async fn open(server: &TurnUri, way: &Way) -> io::Result<Self> {
        let (to_server, outgoing) = mpsc::channel(QUEUE);
        let (incoming, from_server) = mpsc::channel(QUEUE);
        match server.transport() {
            Transport::Udp => {
                let socket = connected(server.address()).await?;
                tokio::spawn(datagrams(socket, outgoing, incoming));
            }
            Transport::Tcp => {
                let stream = way.connect(server.address()).await?;
                tokio::spawn(messages(stream, outgoing, incoming));
            }
            Transport::Tls => {
                let stream = way.connect_securely(server.address()).await?;
                tokio::spawn(messages(stream, outgoing, incoming));
            }
        }
        Ok(Self { to_server, from_server })
    }

    /// Sends a message, unless too many wait.
    pub(super) fn send(&self, message: Vec<u8>) {
        let _ = self.to_server.try_send(message);
    }

    /// Returns the next message, or `None` if the connection has ended.
    pub(super) async fn receive(&mut self) -> Option<Vec<u8>> {
        self.from_server.recv().await
    }
}

async fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match server {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(server).await?;
    Ok(socket)
}

/// Passes on datagrams until the queues are closed.
async fn datagrams(
    socket: UdpSocket,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: mpsc::Sender<Vec<u8>>,
) {
    let mut buffer = vec![0; LONGEST];
    loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                // One that cannot be sent is lost.
                Some(message) => drop(socket.send(&message).await),
                None => return,
            },
            // An ICMP error of an earlier datagram is no end.
            received = socket.recv(&mut buffer) => if let Ok(length) = received {
                let _ = incoming.try_send(buffer[..length].to_vec());
            },
        }
    }
}

/// Passes on messages to and from a stream until it ends or the queues are closed.
async fn messages(
    stream: impl AsyncRead + AsyncWrite,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        let mut last = Vec::new();
        while let Some(message) = outgoing.recv().await {
            if is_repetition(&message, &mut last) {
                continue;
            }
            writer.write_all(&pad(&message)).await?;
            writer.flush().await?;
        }
        Ok(())
    };
    let read = async {
        let mut bytes = Vec::new();
        loop {
            if reader.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            while let Frame::Whole { message, ends } = Frame::first(&bytes, MAX_FRAME) {
                let _ = incoming.try_send(bytes[..message].to_vec());
                bytes.drain(..ends);
            }
        }
    };
    tokio::select! {
        result = write => result,
        result = read => result,
    }
}

/// Returns true for a request that was sent already: a stream loses nothing (RFC 8489 §6.2.2).
fn is_repetition(message: &[u8], last: &mut Vec<u8>) -> bool {
    match (Kind::of(message), message.get(TRANSACTION)) {
        (Kind::Stun, Some(transaction)) => {
            let is_repetition = transaction == *last;
            *last = transaction.to_vec();
            is_repetition
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channel 0x4001 with two bytes of data.
    const CHANNEL_DATA: [u8; 6] = [0x40, 1, 0, 2, 7, 8];

    #[tokio::test]
    async fn messages_of_a_stream_are_told_apart() {
        let (mut server, client) = tokio::io::duplex(1024);
        let (to_server, outgoing) = mpsc::channel(QUEUE);
        let (incoming, from_server) = mpsc::channel(QUEUE);
        let mut link = Link { to_server, from_server };
        tokio::spawn(messages(client, outgoing, incoming));
        let request = [&[0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[9; 12]].concat();
        link.send(request.clone());
        link.send(request.clone());
        link.send(CHANNEL_DATA.to_vec());
        let mut bytes = vec![0; request.len() + 8];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [&request[..], &CHANNEL_DATA, &[0, 0]].concat());
        // The answer comes in two parts that are none of messages.
        server.write_all(&bytes[..7]).await.unwrap();
        server.write_all(&bytes[7..]).await.unwrap();
        assert_eq!(link.receive().await.unwrap(), request);
        assert_eq!(link.receive().await.unwrap(), CHANNEL_DATA);
        drop(server);
        assert_eq!(link.receive().await, None);
    }
}
