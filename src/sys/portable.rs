//! The same with a plain call for each datagram, for systems that have no batches.

use std::io;

use mio::net::UdpSocket;

use super::{Received, Transmit};

/// There is nothing to enable here.
///
/// # Errors
/// Always: the system cannot.
pub fn enable_gro<S>(_: &S) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A buffer for one datagram at a time.
pub struct ReceiveBatch {
    headroom: usize,
    buffer: Box<[u8]>,
    received: Option<Received>,
}

impl ReceiveBatch {
    /// A buffer for a read of up to `len` bytes with `headroom` bytes free in front.
    pub fn new(_: usize, len: usize, headroom: usize) -> Self {
        Self { headroom, buffer: vec![0; headroom + len].into(), received: None }
    }

    /// Receives one datagram, without waiting if the socket is non-blocking.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if there was nothing.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let (len, source) = socket.recv_from(&mut self.buffer[self.headroom..])?;
        self.received = Some(Received { source, len, segment: len });
        Ok(1)
    }

    /// What was received.
    pub fn received(&self, _: usize) -> Option<Received> {
        self.received
    }

    /// The buffer, headroom first.
    pub fn slot(&mut self, _: usize) -> &mut [u8] {
        &mut self.buffer
    }

    /// The received bytes.
    pub fn bytes(&self, _: usize) -> &[u8] {
        let len = self.received.map_or(0, |received| received.len);
        &self.buffer[self.headroom..self.headroom + len]
    }
}

/// Datagrams to be sent one after the other.
#[derive(Default)]
pub struct SendBatch {
    transmits: Vec<Transmit>,
}

impl SendBatch {
    /// Adds what is to be sent.
    pub fn push(&mut self, transmit: Transmit) {
        self.transmits.push(transmit);
    }

    /// Sends everything from `buffer` and forgets it. Gives how many of the transmits the system
    /// took; it stops at the first that it does not.
    ///
    /// # Errors
    /// What the system says of the first one.
    pub fn send(&mut self, socket: &UdpSocket, buffer: &[u8]) -> io::Result<usize> {
        let transmits = std::mem::take(&mut self.transmits);
        for (at, transmit) in transmits.iter().enumerate() {
            let bytes = &buffer[transmit.start..transmit.start + transmit.len];
            for datagram in bytes.chunks(transmit.segment.max(1)) {
                let sent = match transmit.to {
                    Some(to) => socket.send_to(datagram, to),
                    None => socket.send(datagram),
                };
                match sent {
                    Ok(_) => {}
                    Err(error) if at == 0 => return Err(error),
                    Err(_) => return Ok(at),
                }
            }
        }
        Ok(transmits.len())
    }
}
