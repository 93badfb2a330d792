//! The way to the server: messages out, messages in. Everything that differs between UDP, TCP and
//! TLS is here.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned};

use super::verdict::Over;
use crate::tls::Tls;

/// The largest message that is taken in.
const MAX_MESSAGE: usize = 65_536;

/// What carries the messages.
#[derive(Debug)]
pub(super) enum Way {
    /// A datagram for each message.
    Udp,
    /// A stream, in which each message says how long it is.
    Tcp,
    /// The same within TLS.
    Tls(Tls),
}

impl Way {
    /// Connects from a port of its own.
    pub fn connect(&self, server: SocketAddr, within: Duration) -> io::Result<Box<dyn Link>> {
        match self {
            Self::Udp => {
                let socket = UdpSocket::bind(any_port(server))?;
                // So a message from elsewhere is not taken for an answer (RFC 8489 §6.3.1.2).
                socket.connect(server)?;
                Ok(Box::new(Datagrams(socket)))
            }
            Self::Tcp => {
                let socket = stream(server, within)?;
                let way = Box::new(socket.try_clone()?);
                Ok(Box::new(Stream { way, socket, come: Vec::new() }))
            }
            Self::Tls(Tls { config, name }) => {
                let socket = stream(server, within)?;
                let mut session = ClientConnection::new(config.clone(), name.clone())
                    .map_err(io::Error::other)?;
                let mut way = socket.try_clone()?;
                way.set_read_timeout(Some(within))?;
                while session.is_handshaking() {
                    session.complete_io(&mut way).map_err(|error| {
                        io::Error::new(error.kind(), format!("no TLS: {error} (see --ca-cert)"))
                    })?;
                }
                let way = Box::new(StreamOwned::new(session, way));
                Ok(Box::new(Stream { way, socket, come: Vec::new() }))
            }
        }
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
        }
    }

    /// Which of the cases that are not for every transport are for this one.
    pub fn over(&self) -> Over {
        if self.loses() { Over::Datagrams } else { Over::Streams }
    }

    /// Whether messages may be lost, so that requests have to be sent again (RFC 8489 §6.2.1).
    pub fn loses(&self) -> bool {
        matches!(self, Self::Udp)
    }
}

/// No address and no port of a server's family.
pub(super) fn any_port(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    }
}

fn stream(server: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&server, within)?;
    // A case that tears a message wants its pieces on the way as they are.
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(within))?;
    Ok(socket)
}

/// A connection, or what stands for one.
pub(super) trait Link {
    /// Sends bytes: of a message, several or a part of one. Over UDP they are one datagram.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The next message; none if none comes in time.
    ///
    /// # Errors
    /// The connection is over, or what comes is no message.
    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>>;

    /// The next bytes of a stream, whatever they are, and none of them at its end; `None` if none
    /// come in time.
    fn bytes(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>>;

    /// Our end of it.
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

/// A stream, and what has come of a message that is not whole yet.
struct Stream<S> {
    way: Box<S>,
    /// The socket under the stream, whose timeout is that of the stream.
    socket: TcpStream,
    come: Vec<u8>,
}

impl<S: Read + Write> Link for Stream<S> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.way.write_all(bytes)?;
        self.way.flush()
    }

    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some((message, whole)) = bounds(&self.come)? {
                let rest = self.come.split_off(whole);
                let mut taken = std::mem::replace(&mut self.come, rest);
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
        if self.come.is_empty() {
            match self.read(until) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // It was closed, if not politely.
                Err(error) if is_end(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(std::mem::take(&mut self.come)))
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl<S: Read> Stream<S> {
    /// Takes in what has come, or waits for it; gives how much it was, which is nothing at the end
    /// of the stream. `None` if nothing comes in time.
    fn read(&mut self, until: Instant) -> io::Result<Option<usize>> {
        let mut buffer = [0; 4096];
        loop {
            let Some(left) = left(until) else { return Ok(None) };
            self.socket.set_read_timeout(Some(left))?;
            match self.way.read(&mut buffer) {
                Ok(len) => {
                    self.come.extend_from_slice(&buffer[..len]);
                    return Ok(Some(len));
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// How long the first message of a stream is, and how long with its padding; `None` if it has not
/// come whole. ChannelData is padded to four bytes, which its length does not count (RFC 8656
/// §12.5); the length of a STUN message leaves out its header (RFC 8489 §5).
fn bounds(come: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(&[first, _, l0, l1]) = come.first_chunk() else { return Ok(None) };
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
    Ok((come.len() >= whole).then_some((message, whole)))
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
    fn a_stream_is_cut_where_its_messages_end() {
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
