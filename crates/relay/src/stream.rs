//! One client's stream: the data that is read from it and the data that waits to be written, plain
//! or under TLS.

use std::{
    any::Any,
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    time::Instant,
};

use callbox_stun::{Frame, MAX_FRAME};
use callbox_turn::{ConnectionId, FiveTuple};
use mio::net::TcpStream;
use rustls::ServerConnection;

use super::outgoing::{Outgoing, some};

/// The largest number of bytes that wait for a client that does not read, before data relayed to it
/// is dropped: a quarter of a second of an 8 Mbit/s video.
const MAX_QUEUE: usize = 256 << 10;

/// The number of bytes of answers that may wait in addition before the stream is closed: answers
/// are not dropped, since clients do not retransmit requests over TCP.
const MAX_ANSWERS: usize = 64 << 10;

/// The number of bytes that are encrypted before they are written. rustls keeps no more than 64
/// KiB.
const ENCRYPTED: usize = 32 << 10;

/// The largest overhead of a TLS record.
const RECORD: usize = 64;

/// The size above which a buffer is released once it is empty.
const SMALL: usize = 4 << 10;

/// A connection whose first bytes have shown that it is for the relay.
pub struct NewStream {
    /// The connection, in non-blocking mode.
    pub socket: std::net::TcpStream,
    /// The bytes that have been read from it already.
    pub received: Vec<u8>,
    /// The TLS session, with its handshake done, if the connection is under TLS.
    pub tls: Option<Box<ServerConnection>>,
    /// The client's address.
    pub client: SocketAddr,
    /// The local address that the client connected to.
    pub local: SocketAddr,
    /// The time when it was last of use to an allocation; at first, the time when it was accepted.
    pub used: Instant,
    /// The slot that it takes among the connections; it is freed when the stream is closed.
    pub lease: Box<dyn Any + Send>,
}

impl fmt::Debug for NewStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("NewStream").field("local", &self.local).field("tls", &tls).finish()
    }
}

/// The result of queueing data for a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It is queued.
    Yes,
    /// The client reads too slowly: the data was dropped.
    Dropped,
    /// The client reads nothing at all: the stream is to be closed.
    Stuck,
}

/// A stream that a worker owns.
pub(super) struct Stream {
    pub socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    pub tuple: FiveTuple,
    /// True if it is in the list of ready sources.
    pub ready: bool,
    /// True if it is in the list of streams with something to write.
    pub unsent: bool,
    /// True if the system has reported that nothing comes after the data that is there.
    pub ending: bool,
    /// The connection to a peer that it is spliced with.
    pub spliced: Option<ConnectionId>,
    /// True once it has been spliced: the data that is written is not framed as messages.
    pub raw: bool,
    /// True while it is not read.
    pub asleep: bool,
    /// True if it is spliced and the client has sent its end.
    pub said_all: bool,
    /// True if the end of the data is sent once everything queued is written; the client may go on
    /// sending.
    pub ends: bool,
    /// True once the end of the data is sent.
    shut: bool,
    /// True if it is closed once everything queued is written.
    pub last: bool,
    /// The beginning of a message whose rest has not come, or messages that wait for the next turn.
    pub part: Vec<u8>,
    /// True if something has been written to it, or to the connection it is spliced with, since the
    /// last check of its timers.
    pub moved: bool,
    /// True if `part` contains whole messages.
    pub behind: bool,
    out: Outgoing,
    /// The time of the last whole message; of a spliced stream, of the last data in either
    /// direction.
    pub heard: Instant,
    /// The time when it was last of use to an allocation; at first, the time when it was accepted.
    pub used: Instant,
    /// The time of the next check of its timers.
    pub due: Instant,
    lease: Box<dyn Any + Send>,
}

impl Stream {
    pub fn new(new: NewStream, tuple: FiveTuple, heard: Instant, due: Instant) -> Self {
        Self {
            socket: TcpStream::from_std(new.socket),
            tls: new.tls,
            tuple,
            ready: false,
            unsent: false,
            ending: false,
            spliced: None,
            raw: false,
            asleep: false,
            said_all: false,
            ends: false,
            shut: false,
            last: false,
            part: new.received,
            moved: false,
            behind: false,
            out: Outgoing::default(),
            heard,
            used: new.used,
            due,
            lease: new.lease,
        }
    }

    /// Gives the connection away, with the bytes that were read from it and not used.
    pub fn into_new(self, local: SocketAddr, received: Vec<u8>) -> NewStream {
        let Self { socket, tls, tuple, used, lease, .. } = self;
        let (socket, client) = (socket.into(), tuple.client.0);
        NewStream { socket, received, tls, client, local, used, lease }
    }

    /// Returns the number of bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Returns true if nothing waits, encrypted or not.
    pub fn is_flushed(&self) -> bool {
        self.waiting() == 0 && self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }

    /// Returns true if there is nothing left to do for the client.
    pub fn is_done(&self) -> bool {
        self.last && self.is_flushed() || self.said_all && self.shut
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads the available bytes; returns 0 at the end.
    ///
    /// # Errors
    /// The system's error, `WouldBlock` if nothing is available; `InvalidData` for invalid TLS.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                // An end without close_notify counts as an end, too: messages carry their length.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // An end of the socket is returned by the reader in the next iteration.
            tls.read_tls(&mut self.socket)?;
            tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
    }

    /// Returns true if a read that did not fill its buffer may have left something.
    pub fn may_have_more(&self) -> bool {
        self.tls.is_some() || self.ending
    }

    /// Appends bytes to the queue. Answers are accepted beyond the limit for relayed data.
    pub fn queue(&mut self, bytes: &[u8], is_answer: bool) -> Queued {
        let waiting = self.waiting() + bytes.len();
        if waiting > MAX_QUEUE + MAX_ANSWERS {
            return if is_answer { Queued::Stuck } else { Queued::Dropped };
        }
        if waiting > MAX_QUEUE && !is_answer {
            return Queued::Dropped;
        }
        self.out.push(bytes);
        Queued::Yes
    }

    /// Writes the queued bytes, as far as the system takes them, and then the end if the stream is
    /// to end.
    ///
    /// # Errors
    /// The system's error, except `WouldBlock`: the rest waits until there is room again.
    pub fn flush(&mut self) -> io::Result<()> {
        match self.write_all() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(()) if self.ends && !self.shut => {
                self.shut = true;
                self.socket.shutdown(Shutdown::Write)
            }
            written => written,
        }
    }

    fn write_all(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.out.write_to(&mut self.socket) };
        loop {
            while tls.wants_write() {
                some(tls.write_tls(&mut self.socket))?;
            }
            let mut encrypted = 0;
            while encrypted < ENCRYPTED {
                let left = self.out.left();
                // Some clients, among them coturn's, take a TLS record for a message: so each
                // message has a record of its own, if it fits one.
                let end = match Frame::first(left, MAX_FRAME) {
                    Frame::Whole { ends, .. } if !self.raw => ends,
                    _ => left.len(),
                };
                if end == 0 {
                    break;
                }
                let written = tls.writer().write(&left[..end])?;
                self.out.advance(written);
                encrypted += written + RECORD;
                if written < end {
                    break;
                }
            }
            if self.ends && self.out.waiting() == 0 {
                tls.send_close_notify();
            }
            if !tls.wants_write() {
                return Ok(());
            }
        }
    }

    /// Sends close_notify under TLS, and writes what can be written at once.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        // The client may be gone, and nothing is sent after this.
        let _ = self.flush();
    }

    /// Releases the memory of a burst that is over.
    pub fn shrink(&mut self) {
        self.out.shrink(SMALL);
        if self.part.is_empty() {
            self.part.shrink_to(SMALL);
        }
    }
}
