//! A peer, at the other end of a relayed address.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::verdict::{Fault, Verdict};

/// The bytes that each STUN message has after its length (RFC 8489 §5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A plain UDP socket.
pub(super) struct Peer {
    socket: UdpSocket,
    /// Its address.
    pub address: SocketAddr,
}

impl Peer {
    /// Opens a peer at an address of this machine.
    pub(super) fn open(ip: IpAddr) -> Verdict<Self> {
        let socket = UdpSocket::bind((ip, 0)).map_err(|error| {
            Fault::skipped(format!("no peer can be opened at {ip} (--peer-ip): {error}"))
        })?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Sends a datagram.
    pub(super) fn send(&self, data: &[u8], to: SocketAddr) -> Verdict {
        self.socket.send_to(data, to)?;
        Ok(())
    }

    /// Waits for a datagram; returns `None` if none comes in time.
    pub(super) fn receive(&self, until: Instant) -> Verdict<Option<(Vec<u8>, SocketAddr)>> {
        let mut buffer = [0; 65_536];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => return Ok(Some((buffer[..len].to_vec(), from))),
                // An ICMP error of a datagram sent before, or a timeout.
                Err(error) if error.kind() != ErrorKind::InvalidInput => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fails if a datagram comes. STUN messages do not count: clients of cases send text, and the
    /// port may have been that of another client, to which an answer comes late.
    pub(super) fn silent(&self, within: Duration, expected: &str) -> Verdict {
        let until = Instant::now() + within;
        while let Some((data, from)) = self.receive(until)? {
            if data.get(4..8) != Some(&MAGIC_COOKIE) {
                let came = format!("{} bytes at the peer, from {from}", data.len());
                return Err(Fault::failed(expected, came));
            }
        }
        Ok(())
    }
}
