//! The data that waits to be written to one client's stream, plain or under TLS.

use std::{
    io::{self, Write},
    net::Shutdown,
};

use callbox_stun::{Frame, MAX_FRAME};
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

/// The data that waits to be written to a stream, and the state of its end.
#[derive(Default)]
pub(super) struct StreamOutput {
    queue: Outgoing,
    /// True if the stream is in the list of those with something to write.
    is_unsent: bool,
    /// True once it has been spliced: the data that is written is not framed as messages.
    is_raw: bool,
    /// True if the end of the data is sent once everything queued is written; the client may go on
    /// sending.
    ends: bool,
    /// True once the end of the data is sent.
    is_shut: bool,
    /// True if the stream is closed once everything queued is written.
    closes: bool,
}

impl StreamOutput {
    /// Returns the number of bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Notes that the stream is spliced: the data is not framed as messages any more.
    pub(crate) fn set_raw(&mut self) {
        self.is_raw = true;
    }

    /// Notes that the stream is in the list of those with something to write, or no longer. Returns
    /// true if it was.
    pub(crate) fn set_unsent(&mut self, is_unsent: bool) -> bool {
        std::mem::replace(&mut self.is_unsent, is_unsent)
    }

    /// Notes that the end of the data is sent once everything queued is written.
    pub(crate) fn end_when_flushed(&mut self) {
        self.ends = true;
    }

    /// Notes that the stream is closed once everything queued is written.
    pub(crate) fn close_when_flushed(&mut self) {
        self.closes = true;
    }

    /// Returns true if the end of the data is sent, or is to be.
    pub(crate) fn ends(&self) -> bool {
        self.ends
    }

    /// Returns true once the end of the data is sent.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Returns true if the stream is to be closed.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Appends bytes to the queue. Answers are accepted beyond the limit for relayed data.
    pub(crate) fn push(&mut self, bytes: &[u8], is_answer: bool) -> Queued {
        let waiting = self.waiting() + bytes.len();
        if waiting > MAX_QUEUE + MAX_ANSWERS {
            return if is_answer { Queued::Stuck } else { Queued::Dropped };
        }
        if waiting > MAX_QUEUE && !is_answer {
            return Queued::Dropped;
        }
        self.queue.push(bytes);
        Queued::Yes
    }

    /// Writes the queued bytes, as far as the system takes them, and then the end if the stream is
    /// to end.
    ///
    /// # Errors
    /// The system's error, except `WouldBlock`: the rest waits until there is room again.
    pub(crate) fn flush(
        &mut self,
        socket: &mut TcpStream,
        tls: Option<&mut ServerConnection>,
    ) -> io::Result<()> {
        match self.write_all(socket, tls) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(()) if self.ends && !self.is_shut => {
                self.is_shut = true;
                socket.shutdown(Shutdown::Write)
            }
            written => written,
        }
    }

    fn write_all(
        &mut self,
        socket: &mut TcpStream,
        tls: Option<&mut ServerConnection>,
    ) -> io::Result<()> {
        let Some(tls) = tls else { return self.queue.write_to(socket) };
        loop {
            while tls.wants_write() {
                some(tls.write_tls(socket))?;
            }
            let mut encrypted = 0;
            while encrypted < ENCRYPTED {
                let left = self.queue.left();
                // Some clients, among them coturn's, take a TLS record for a message: so each
                // message has a record of its own, if it fits one.
                let end = match Frame::first(left, MAX_FRAME) {
                    Frame::Whole { ends, .. } if !self.is_raw => ends,
                    _ => left.len(),
                };
                if end == 0 {
                    break;
                }
                let written = tls.writer().write(&left[..end])?;
                self.queue.advance(written);
                encrypted += written + RECORD;
                if written < end {
                    break;
                }
            }
            if self.ends && self.queue.waiting() == 0 {
                tls.send_close_notify();
            }
            if !tls.wants_write() {
                return Ok(());
            }
        }
    }

    /// Releases the memory of a burst that is over, except for `most` bytes.
    pub(crate) fn shrink(&mut self, most: usize) {
        self.queue.shrink(most);
    }
}
