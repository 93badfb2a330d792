//! One client's stream: the data that is read from it and the data that waits to be written, plain
//! or under TLS.

use std::{
    any::Any,
    io::{self, Read},
    time::Instant,
};

use callbox_turn::{ConnectionId, FiveTuple, StreamEnd};
use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::ServerConnection;

use super::{
    new_stream::NewStream,
    stream_activity::Activity,
    stream_output::{Queued, StreamOutput},
};

/// The size above which a buffer is released once it is empty.
const SMALL: usize = 4 << 10;

/// A stream that a worker owns.
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    tuple: FiveTuple,
    input: Input,
    output: StreamOutput,
    /// The connection to a peer that it is spliced with.
    spliced: Option<ConnectionId>,
    activity: Activity,
    lease: Box<dyn Any + Send>,
}

/// The state of what is read from a stream.
#[derive(Default)]
struct Input {
    /// The beginning of a message whose rest has not come, or messages that wait for the next turn.
    kept: Vec<u8>,
    /// True if `kept` contains whole messages.
    has_messages: bool,
    /// True if the system has reported that nothing comes after the data that is there.
    is_ending: bool,
    /// True if the stream is spliced and the client has sent its end.
    is_ended: bool,
}

impl Stream {
    /// Takes over a connection. Returns the bytes that have been read from it, too.
    pub(crate) fn new(new: NewStream, tuple: FiveTuple, now: Instant) -> (Self, Vec<u8>) {
        let stream = Self {
            socket: TcpStream::from_std(new.socket),
            tls: new.tls,
            tuple,
            input: Input::default(),
            output: StreamOutput::default(),
            spliced: None,
            activity: Activity::new(now, new.used),
            lease: new.lease,
        };
        (stream, new.received)
    }

    /// Gives the connection away, with the bytes that were read from it and not used.
    ///
    /// # Errors
    /// The system's error, if it does not know the local address any more.
    pub(crate) fn into_new(self, received: Vec<u8>) -> io::Result<NewStream> {
        let local = self.socket.local_addr()?;
        let Self { socket, tls, tuple, activity, lease, .. } = self;
        let (socket, client, used) = (socket.into(), tuple.client.0, activity.used());
        Ok(NewStream { socket, received, tls, client, local, used, lease })
    }

    /// Has the system report when the stream can be read and written.
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
            tracing::debug!(%error, "a connection was not registered");
        }
    }

    pub(crate) fn tuple(&self) -> FiveTuple {
        self.tuple
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the connection to a peer that it is spliced with.
    pub(crate) fn spliced(&self) -> Option<ConnectionId> {
        self.spliced
    }

    /// Splices it with a connection to a peer: from now on it carries no messages.
    pub(crate) fn splice(&mut self, connection: ConnectionId) {
        self.spliced = Some(connection);
        self.output.set_raw();
    }

    /// Notes that its connection to a peer is closed.
    pub(crate) fn unsplice(&mut self) {
        self.spliced = None;
    }

    /// Returns the record of its use.
    pub(crate) fn activity(&mut self) -> &mut Activity {
        &mut self.activity
    }

    /// Checks its timeouts, and returns the time of the next check; `in_use` is true if it serves
    /// an allocation or a connection.
    ///
    /// # Errors
    /// The reason why the stream is to be closed.
    pub(crate) fn check_timeouts(
        &mut self,
        now: Instant,
        in_use: bool,
    ) -> Result<Instant, StreamEnd> {
        // One side has ended, and the other is silent: it is not waited for.
        let may_end = match self.spliced {
            Some(_) => self.input.is_ended || self.output.ends(),
            None => !in_use,
        };
        self.activity.check(now, in_use, may_end)
    }

    /// Notes that the system has reported that nothing comes after the data that is there.
    pub(crate) fn note_ending(&mut self) {
        self.input.is_ending = true;
    }

    /// Notes that the client has sent its end, of a spliced stream.
    pub(crate) fn note_end(&mut self) {
        self.input.is_ended = true;
    }

    /// Returns true if more may be read and used.
    pub(crate) fn is_open_for_reading(&self) -> bool {
        !self.output.closes() && !self.input.is_ended
    }

    /// Keeps bytes until more have come.
    pub(crate) fn keep_part(&mut self, bytes: &[u8]) {
        self.input.kept.extend_from_slice(bytes);
    }

    /// Keeps messages until the next turn of the stream.
    pub(crate) fn keep_messages(&mut self, bytes: &[u8]) {
        self.keep_part(bytes);
        self.input.has_messages = true;
    }

    /// Returns true if messages are kept until the next turn.
    pub(crate) fn has_messages(&self) -> bool {
        self.input.has_messages
    }

    /// Moves the bytes that were kept to the beginning of the buffer, and reads what is available
    /// behind them, unless there are messages among the kept ones: these are served first. Returns
    /// the number of bytes in the buffer, and true if there may be more; `None` at the end. Nothing
    /// is moved if the read fails.
    ///
    /// # Errors
    /// The system's error, `WouldBlock` if nothing is available; `InvalidData` for invalid TLS.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<Option<(usize, bool)>> {
        let kept = self.input.kept.len();
        buffer[..kept].copy_from_slice(&self.input.kept);
        let room = buffer.len() - kept;
        let (read, more) = if std::mem::take(&mut self.input.has_messages) {
            (0, true)
        } else {
            match self.read(&mut buffer[kept..])? {
                0 => return Ok(None),
                read => (read, read == room || self.tls.is_some() || self.input.is_ending),
            }
        };
        self.input.kept.clear();
        Ok(Some((kept + read, more)))
    }

    /// Reads the available bytes; returns 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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

    /// Returns the number of bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.output.waiting()
    }

    /// Returns true if nothing waits, encrypted or not.
    pub(crate) fn is_flushed(&self) -> bool {
        self.waiting() == 0 && self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }

    /// Returns true if there is nothing left to do for the client.
    pub(crate) fn is_done(&self) -> bool {
        self.output.closes() && self.is_flushed() || self.input.is_ended && self.output.is_shut()
    }

    /// Notes that the stream is in the list of those with something to write, or no longer. Returns
    /// true if it was.
    pub(crate) fn set_unsent(&mut self, is_unsent: bool) -> bool {
        self.output.set_unsent(is_unsent)
    }

    /// Notes that the end of the data is sent once everything queued is written.
    pub(crate) fn end_when_flushed(&mut self) {
        self.output.end_when_flushed();
    }

    /// Notes that the stream is closed once everything queued is written.
    pub(crate) fn close_when_flushed(&mut self) {
        self.output.close_when_flushed();
    }

    /// Appends bytes to the queue. Answers are accepted beyond the limit for relayed data.
    pub(crate) fn queue(&mut self, bytes: &[u8], is_answer: bool) -> Queued {
        self.output.push(bytes, is_answer)
    }

    /// Writes the queued bytes, as far as the system takes them, and then the end if the stream is
    /// to end.
    ///
    /// # Errors
    /// The system's error, except `WouldBlock`: the rest waits until there is room again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let waiting = self.waiting();
        let flushed = self.output.flush(&mut self.socket, self.tls.as_deref_mut());
        if self.waiting() < waiting {
            self.activity.note_progress();
        }
        flushed
    }

    /// Sends close_notify under TLS, and writes what can be written at once.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        // The client may be gone, and nothing is sent after this.
        let _ = self.flush();
    }

    /// Releases the memory of a burst that is over.
    pub(crate) fn shrink(&mut self) {
        self.output.shrink(SMALL);
        if self.input.kept.is_empty() {
            self.input.kept.shrink_to(SMALL);
        }
    }
}
