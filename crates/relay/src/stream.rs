//! One client's stream: what is read from it, what waits to be written, plain or under TLS.

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

/// How much waits for a client that does not read, in bytes, before what is relayed to it is
/// dropped: a quarter of a second of a 8 Mbit/s video.
const MAX_QUEUE: usize = 256 << 10;

/// How much more may wait before the stream is closed: answers are not dropped, for nobody asks
/// again over TCP.
const MAX_ANSWERS: usize = 64 << 10;

/// How much is encrypted before it is written, in bytes. rustls keeps no more than 64 KiB.
const ENCRYPTED: usize = 32 << 10;

/// What a record adds to that, at most.
const RECORD: usize = 64;

/// A buffer that is larger than this is given back when it has long been empty.
const SMALL: usize = 4 << 10;

/// A connection whose first bytes have said that it is for the relay.
pub struct NewStream {
    /// The connection; it does not block.
    pub socket: std::net::TcpStream,
    /// What has been read from it already.
    pub received: Vec<u8>,
    /// What decrypts it, if it is under TLS, the handshake being done.
    pub tls: Option<Box<ServerConnection>>,
    /// The client's address.
    pub client: SocketAddr,
    /// The address of ours that the client came to.
    pub local: SocketAddr,
    /// When it was last of use to an allocation; at first, when it came.
    pub used: Instant,
    /// Dropped when the stream is closed: its place among the connections.
    pub lease: Box<dyn Any + Send>,
}

impl fmt::Debug for NewStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("NewStream").field("local", &self.local).field("tls", &tls).finish()
    }
}

/// Whether there was room for what is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It is on its way.
    Yes,
    /// The client reads too slowly: it was dropped.
    Dropped,
    /// The client reads nothing at all: the stream is to be closed.
    Stuck,
}

/// A stream that a worker owns.
pub(super) struct Stream {
    pub socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    pub tuple: FiveTuple,
    /// Whether it stands among the sources that are ready.
    pub ready: bool,
    /// Whether it stands among those that have something to write.
    pub unsent: bool,
    /// The system has said that no more comes after what is there.
    pub ending: bool,
    /// The connection to a peer that it is one with.
    pub spliced: Option<ConnectionId>,
    /// It has been one with a connection: what is written are no messages.
    pub raw: bool,
    /// Not read for now.
    pub asleep: bool,
    /// Of one with a connection: the client has said its last.
    pub said_all: bool,
    /// When all that waits is written, so is the end: the client may go on.
    pub ends: bool,
    /// The end is written.
    shut: bool,
    /// When all that waits is written, it is closed.
    pub last: bool,
    /// The beginning of a message whose rest has not come, or more than had its turn.
    pub part: Vec<u8>,
    /// Something has been written to it, or to what it is one with, since it was last looked at.
    pub moved: bool,
    /// Whether whole messages stand in `part`.
    pub behind: bool,
    out: Outgoing,
    /// When a whole message came last; of one with a connection, when anything passed.
    pub heard: Instant,
    /// When it was last of use to an allocation; at first, when it came.
    pub used: Instant,
    /// When its patience is looked at next.
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

    /// Gives the connection away again, with what was read from it and not used.
    pub fn into_new(self, local: SocketAddr, received: Vec<u8>) -> NewStream {
        let Self { socket, tls, tuple, used, lease, .. } = self;
        let (socket, client) = (socket.into(), tuple.client.0);
        NewStream { socket, received, tls, client, local, used, lease }
    }

    /// How much waits to be written, in bytes.
    pub fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Whether nothing waits, encrypted or not.
    pub fn is_flushed(&self) -> bool {
        self.waiting() == 0 && self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }

    /// Whether there is nothing more to be done for the client.
    pub fn is_done(&self) -> bool {
        self.last && self.is_flushed() || self.said_all && self.shut
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads what has come; 0 at the end.
    ///
    /// # Errors
    /// What the system says, `WouldBlock` if there is nothing; `InvalidData` for what is no TLS.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                // The end without a word is an end, too: messages say how long they are.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // An end here comes out of the reader in the next round.
            tls.read_tls(&mut self.socket)?;
            tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
    }

    /// Whether a read that did not fill its buffer may have left something.
    pub fn may_have_more(&self) -> bool {
        self.tls.is_some() || self.ending
    }

    /// Puts bytes behind what waits. Answers are let in where data is not.
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

    /// Writes what waits, as far as the system takes it, and the end behind it if it is to end.
    ///
    /// # Errors
    /// What the system says, but not `WouldBlock`: the rest waits until there is room again.
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
                // Clients there are, coturn's among them, that take a record of TLS for a message:
                // so each has its own, where it fits one.
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

    /// Says goodbye, where that is a word, and writes what can be written at once.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        // The client may be gone, and nothing comes after this.
        let _ = self.flush();
    }

    /// Gives back the memory of a burst that is over.
    pub fn shrink(&mut self) {
        self.out.shrink(SMALL);
        if self.part.is_empty() {
            self.part.shrink_to(SMALL);
        }
    }
}
