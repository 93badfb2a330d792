//! The connection to the server. Everything that differs between UDP, TCP and TLS is here.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned};

use crate::tls::Tls;

/// The largest message that is read.
const MAX_MESSAGE: usize = 65_536;

/// The transports that a case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transports {
    /// All of them.
    Any,
    /// Those that keep the bounds of messages and may lose them.
    Datagrams,
    /// Those that keep no bounds.
    Streams,
}

/// The transport of messages.
#[derive(Debug)]
pub(super) enum Transport {
    /// A datagram for each message.
    Udp,
    /// A stream, in which each message says how long it is.
    Tcp,
    /// A stream within TLS.
    Tls(Tls),
}

impl Transport {
    /// Connects from a new port.
    pub(super) fn connect(
        &self,
        server: SocketAddr,
        within: Duration,
    ) -> io::Result<Box<dyn Link>> {
        match self {
            Self::Udp => {
                let socket = UdpSocket::bind(any_port(server))?;
                // A message from elsewhere is not taken for an answer (RFC 8489 §6.3.1.2).
                socket.connect(server)?;
                Ok(Box::new(Datagrams(socket)))
            }
            Self::Tcp => {
                let socket = connect(server, within)?;
                let stream = Box::new(socket.try_clone()?);
                Ok(Box::new(Stream { stream, socket, buffer: Vec::new() }))
            }
            Self::Tls(Tls { config, name }) => {
                let socket = connect(server, within)?;
                let mut session = ClientConnection::new(config.clone(), name.clone())
                    .map_err(io::Error::other)?;
                let mut stream = socket.try_clone()?;
                stream.set_read_timeout(Some(within))?;
                while session.is_handshaking() {
                    session.complete_io(&mut stream).map_err(|error| {
                        io::Error::new(error.kind(), format!("no TLS: {error} (see --ca-cert)"))
                    })?;
                }
                let stream = Box::new(StreamOwned::new(session, stream));
                Ok(Box::new(Stream { stream, socket, buffer: Vec::new() }))
            }
        }
    }

    /// Returns its name on the command line.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
        }
    }

    /// Returns true if cases for these transports are for this one.
    pub(super) fn is_one_of(&self, transports: Transports) -> bool {
        match transports {
            Transports::Any => true,
            Transports::Datagrams => self.is_lossy(),
            Transports::Streams => !self.is_lossy(),
        }
    }

    /// Returns true if messages may be lost, so that requests have to be sent again (RFC 8489
    /// §6.2.1).
    pub(super) fn is_lossy(&self) -> bool {
        matches!(self, Self::Udp)
    }
}

/// Returns the unspecified address and port of a server's family.
pub(super) fn any_port(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    }
}

fn connect(server: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&server, within)?;
    // A case that splits a message needs its pieces sent as they are.
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(within))?;
    Ok(socket)
}

/// A connection, or a socket with one remote address.
pub(super) trait Link {
    /// Sends bytes: of a message, several or a part of one. Over UDP they are one datagram.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits for the next message; returns `None` if none comes in time.
    ///
    /// # Errors
    /// The connection has ended, or the next bytes are no message.
    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>>;

    /// Waits for bytes of a stream; returns none of them at its end, and `None` if none come in
    /// time.
    fn bytes(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>>;

    /// Returns the local address.
    fn local(&self) -> io::Result<SocketAddr>;
}

struct Datagrams(UdpSocket);

impl Link for Datagrams {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes).map(|_| ())
    }

    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            let Some(left) = left(until) else { return Ok(None) };
            self.0.set_read_timeout(Some(left))?;
            match self.0.recv(&mut buffer) {
                Ok(len) => {
                    buffer.truncate(len);
                    return Ok(Some(buffer));
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn bytes(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        self.receive(until)
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A stream, and the bytes that were read from it and not taken.
struct Stream<S> {
    stream: Box<S>,
    /// The socket under the stream, whose timeout is that of the stream.
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Link for Stream<S> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some((message, whole)) = bounds(&self.buffer)? {
                let rest = self.buffer.split_off(whole);
                let mut taken = std::mem::replace(&mut self.buffer, rest);
                taken.truncate(message);
                return Ok(Some(taken));
            }
            match self.read(until)? {
                Some(0) => {
                    let text = "the server closed the connection";
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn bytes(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        if self.buffer.is_empty() {
            match self.read(until) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // The connection was reset, which ends it too.
                Err(error) if is_end(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(std::mem::take(&mut self.buffer)))
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl<S: Read> Stream<S> {
    /// Waits for bytes and adds them to the buffer; returns how many they were, which is 0 at the
    /// end of the stream, and `None` if none come in time.
    fn read(&mut self, until: Instant) -> io::Result<Option<usize>> {
        let mut bytes = [0; 4096];
        loop {
            let Some(left) = left(until) else { return Ok(None) };
            self.socket.set_read_timeout(Some(left))?;
            match self.stream.read(&mut bytes) {
                Ok(len) => {
                    self.buffer.extend_from_slice(&bytes[..len]);
                    return Ok(Some(len));
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the length of the first message of a stream, without its padding and with it; `None` if
/// it has not come whole. ChannelData is padded to four bytes, which its length does not count (RFC
/// 8656 §12.5); the length of a STUN message leaves out its header (RFC 8489 §5).
fn bounds(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(&[first, _, l0, l1]) = bytes.first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let message = match first {
        0..=3 => 20 + length,
        0x40..=0x7F => 4 + length,
        other => {
            let text = format!("the stream is out of step: a message begins with 0x{other:02x}");
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
    };
    let whole = message.next_multiple_of(4);
    Ok((bytes.len() >= whole).then_some((message, whole)))
}

fn left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_at_the_ends_of_messages() {
        let channel_data = [0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        assert_eq!(bounds(&channel_data).unwrap(), Some((9, 12)));
        assert_eq!(bounds(&channel_data[..11]).unwrap(), None);
        let mut stun = [0; 28];
        stun[3] = 8;
        assert_eq!(bounds(&stun).unwrap(), Some((28, 28)));
        assert_eq!(bounds(&stun[..27]).unwrap(), None);
        assert_eq!(bounds(&[0x40]).unwrap(), None);
        assert!(bounds(&[0x80, 0, 0, 0]).is_err());
    }
}
