//! One connection of a TCP allocation to a peer (RFC 6062).

use std::{
    io::{self, Read},
    net::Shutdown,
};

use callbox_turn::StreamId;
use mio::{Interest, Registry, Token, event::Event, net::TcpStream};

use super::outgoing::Outgoing;

/// The size above which a buffer is released once it is empty.
const SMALL: usize = 16 << 10;

/// A connection to a peer.
pub(super) struct PeerConnection {
    socket: TcpStream,
    is_established: bool,
    /// True if the system has reported that nothing comes after the data that is there.
    is_ending: bool,
    /// The client's stream, once they are spliced.
    stream: Option<StreamId>,
    /// The bytes that the client has sent and the system has not taken yet.
    out: Outgoing,
    /// True once the client has ended: the end is sent when everything is written.
    ends: bool,
    /// True once the end of the data is sent.
    is_shut: bool,
}

/// The progress of a connection that was not established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is established now.
    Established,
    /// It cannot be established.
    Failed,
}

impl PeerConnection {
    /// Takes over the socket of a connection that is being made.
    pub(crate) fn connecting(socket: TcpStream) -> Self {
        Self {
            socket,
            is_established: false,
            is_ending: false,
            stream: None,
            out: Outgoing::default(),
            ends: false,
            is_shut: false,
        }
    }

    /// Takes over the socket of a connection that a peer has made.
    pub(crate) fn accepted(socket: TcpStream) -> Self {
        Self { is_established: true, ..Self::connecting(socket) }
    }

    /// Has the system report when the connection can be read and written.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.socket, token, interest)
    }

    /// Ends the system's reports.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        if let Err(error) = registry.deregister(&mut self.socket) {
            tracing::debug!(%error, "a connection to a peer was not registered");
        }
    }

    /// Notes an event. Returns the progress, if it was not established and its state is known now.
    pub(crate) fn note_event(&mut self, event: &Event) -> Option<Progress> {
        self.is_ending |= event.is_read_closed() || event.is_error();
        if self.is_established || !(event.is_writable() || event.is_error()) {
            return None;
        }
        if self.socket.take_error().map_or(true, |error| error.is_some()) {
            return Some(Progress::Failed);
        }
        // Writable, without an error and without a peer: the result is not known yet.
        self.socket.peer_addr().ok()?;
        self.is_established = true;
        Some(Progress::Established)
    }

    pub(crate) fn is_established(&self) -> bool {
        self.is_established
    }

    /// Returns true if a read that did not fill its buffer may have left something.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Returns the client's stream, once they are spliced.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// Splices it with the client's stream.
    pub(crate) fn splice(&mut self, stream: StreamId) {
        self.stream = Some(stream);
    }

    /// Reads the available bytes; returns 0 at the end.
    ///
    /// # Errors
    /// The system's error, `WouldBlock` if nothing is available.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }

    /// Queues bytes for the peer.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.out.push(bytes);
    }

    /// Returns the number of bytes that wait to be written to the peer.
    pub(crate) fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Sends the end of the data once everything queued is written.
    pub(crate) fn end_when_flushed(&mut self) {
        self.ends = true;
    }

    /// Writes the queued bytes, as far as the system takes them, and then the end if the connection
    /// is to end. Returns the number of bytes that still wait.
    ///
    /// # Errors
    /// The system's error, except `WouldBlock`.
    pub(crate) fn flush(&mut self) -> io::Result<usize> {
        match self.out.write_to(&mut self.socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => self.out.shrink(SMALL),
        }
        if self.ends && !self.is_shut && self.out.waiting() == 0 {
            self.is_shut = true;
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(self.out.waiting())
    }
}
