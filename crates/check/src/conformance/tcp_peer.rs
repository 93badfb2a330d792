//! A peer over TCP (RFC 6062), which accepts connections and opens them.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpListener};
use socket2::{Domain, Socket, Type};

use super::verdict::{Fault, Verdict};

/// A listener at an address of this machine.
pub(super) struct TcpPeer {
    listener: TcpListener,
    poll: Poll,
    /// Its address.
    pub address: SocketAddr,
}

impl TcpPeer {
    /// Opens a peer at an address of this machine.
    pub(super) fn open(ip: IpAddr) -> Verdict<Self> {
        let mut listener = TcpListener::bind((ip, 0).into()).map_err(|error| {
            Fault::skipped(format!("no peer can be opened at {ip} (--peer-ip): {error}"))
        })?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
        Ok(Self { listener, poll, address })
    }

    /// Waits for the next connection.
    pub(super) fn accept(&mut self, within: Duration) -> Verdict<PeerConnection> {
        let until = Instant::now() + within;
        loop {
            match self.listener.accept() {
                Ok((stream, from)) => {
                    let stream = TcpStream::from(stream);
                    stream.set_nonblocking(false)?;
                    return Ok(PeerConnection::new(stream, from, within)?);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::failed("a connection at the peer", "none"));
            }
            match self.poll.poll(&mut Events::with_capacity(1), Some(left)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
        }
    }
}

/// A port at which nobody listens. It stays taken, so that no other process listens at it while a
/// case goes on.
pub(super) struct ClosedPort {
    _socket: Socket,
    /// Its address.
    pub address: SocketAddr,
}

impl ClosedPort {
    /// Takes a port at an address of this machine.
    pub(super) fn open(ip: IpAddr) -> Verdict<Self> {
        let address = SocketAddr::new(ip, 0);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&address.into()).map_err(|error| {
            Fault::skipped(format!("no port can be taken at {ip} (--peer-ip): {error}"))
        })?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| Fault::failed("a socket address", "an address of another kind"))?;
        Ok(Self { _socket: socket, address })
    }
}

/// A connection of a peer.
pub(super) struct PeerConnection {
    stream: TcpStream,
    /// The peer's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

impl PeerConnection {
    /// Connects from an address of this machine.
    pub(super) fn connect(ip: IpAddr, to: SocketAddr, within: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(ip, 0).into())?;
        socket.connect_timeout(&to.into(), within)?;
        Self::new(socket.into(), to, within)
    }

    fn new(stream: TcpStream, remote: SocketAddr, within: Duration) -> io::Result<Self> {
        stream.set_write_timeout(Some(within))?;
        let local = stream.local_addr()?;
        Ok(Self { stream, local, remote })
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Verdict {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for bytes; returns none of them at the end of the connection, and `None` if none come
    /// in time.
    pub(super) fn bytes(&mut self, within: Duration) -> Verdict<Option<Vec<u8>>> {
        self.stream.set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(len) => return Ok(Some(buffer[..len].to_vec())),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(None),
                    // The connection was reset, which ends it too.
                    ErrorKind::ConnectionReset => return Ok(Some(Vec::new())),
                    _ => return Err(error.into()),
                },
            }
        }
    }
}
