//! A UDP socket that asks a STUN server for its address.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use callbox_client::{Message, Request, attribute, mapped_address};
use stun::{
    attributes::{ATTR_CHANGE_REQUEST, AttrType},
    message::BINDING_SUCCESS,
};

/// RESPONSE-PORT (RFC 5780 §7.5).
const ATTR_RESPONSE_PORT: AttrType = AttrType(0x0027);

/// The time after which a server that should answer counts as unreachable.
const DEADLINE: Duration = Duration::from_secs(3);

/// The time between two requests that are the same.
const RETRANSMISSION: Duration = Duration::from_millis(250);

/// The time in which a packet arrives that is not filtered, after one that was sent later has been
/// answered.
const LATE: Duration = Duration::from_millis(250);

/// A socket, and the requests that it has sent.
pub(super) struct Asker {
    socket: UdpSocket,
    /// Their transaction IDs.
    sent: HashSet<[u8; 12]>,
}

impl Asker {
    /// Opens a socket for servers of the same family as `server`.
    pub(super) fn new(server: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Ok(Self { socket: UdpSocket::bind((any, 0))?, sent: HashSet::new() })
    }

    /// Returns the port of the socket.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Returns the socket.
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Returns the address that a server sees, or `None` if it cannot be reached.
    pub(super) fn mapped(&mut self, server: SocketAddr) -> io::Result<Option<SocketAddr>> {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            let request = self.send(server, Request::binding())?;
            if let Some(answer) = self.wait(RETRANSMISSION, |id| *id == request)? {
                return Ok(mapped_address(&answer));
            }
        }
        Ok(None)
    }

    /// Returns true if a server answers soon.
    pub(super) fn reaches(&mut self, server: SocketAddr) -> io::Result<bool> {
        let request = self.send(server, Request::binding())?;
        Ok(self.wait(LATE, |id| *id == request)?.is_some())
    }

    /// Returns true if the answer of a server arrives that comes from another port, or from another
    /// address and another port.
    pub(super) fn gets_from_elsewhere(
        &mut self,
        server: SocketAddr,
        another_address: bool,
    ) -> io::Result<bool> {
        let flags = if another_address { 0b110 } else { 0b010 };
        let change = attribute(ATTR_CHANGE_REQUEST, &[0, 0, 0, flags]);
        let request = self.send(server, Request::binding().with(change))?;
        // An answer to this one arrives in any case, so the other one is not late by much.
        let control = self.send(server, Request::binding())?;
        let end = Instant::now() + DEADLINE;
        let mut is_filtered = false;
        while Instant::now() < end {
            let time = if is_filtered { LATE } else { DEADLINE };
            match self.wait_for_either(time, request, control)? {
                Some(id) if id == request => return Ok(true),
                Some(_) => is_filtered = true,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Asks a server to send its answer to another port of the same external address.
    pub(super) fn direct_answer(&mut self, server: SocketAddr, port: u16) -> io::Result<[u8; 12]> {
        let port = attribute(ATTR_RESPONSE_PORT, &port.to_be_bytes());
        self.send(server, Request::binding().with(port))
    }

    /// Returns true if an answer with this transaction ID arrives, of whoever's request.
    pub(super) fn receives(&mut self, id: [u8; 12]) -> io::Result<bool> {
        self.sent.insert(id);
        Ok(self.wait(LATE, |received| *received == id)?.is_some())
    }

    /// Returns true if this packet arrives.
    pub(super) fn receives_packet(&self, packet: &[u8]) -> io::Result<bool> {
        let end = Instant::now() + LATE;
        let mut buffer = [0; 1500];
        while let Some(length) = self.receive(&mut buffer, end)? {
            if buffer[..length] == *packet {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn send(&mut self, server: SocketAddr, request: Request) -> io::Result<[u8; 12]> {
        let message = request.to_message().map_err(io::Error::other)?;
        self.sent.insert(message.transaction_id.0);
        match self.socket.send_to(&message.raw, server) {
            // An ICMP error for an earlier packet, or a router that refuses this one.
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {}
            result => drop(result?),
        }
        Ok(message.transaction_id.0)
    }

    fn wait_for_either(
        &mut self,
        time: Duration,
        one: [u8; 12],
        other: [u8; 12],
    ) -> io::Result<Option<[u8; 12]>> {
        let answer = self.wait(time, |id| *id == one || *id == other)?;
        Ok(answer.map(|answer| answer.transaction_id.0))
    }

    /// Waits for the answer to a request.
    fn wait(
        &mut self,
        time: Duration,
        fits: impl Fn(&[u8; 12]) -> bool,
    ) -> io::Result<Option<Message>> {
        let end = Instant::now() + time;
        let mut buffer = [0; 1500];
        while let Some(length) = self.receive(&mut buffer, end)? {
            let mut message = Message::new();
            message.raw = buffer[..length].to_vec();
            if message.decode().is_err() || message.typ != BINDING_SUCCESS {
                continue;
            }
            let id = message.transaction_id.0;
            if fits(&id) && self.sent.remove(&id) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Waits for a packet, and returns its length.
    fn receive(&self, buffer: &mut [u8], end: Instant) -> io::Result<Option<usize>> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(buffer) {
                Ok((length, _)) => return Ok(Some(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // ICMP errors for earlier packets are no answers.
                Err(_) => {}
            }
        }
    }
}
