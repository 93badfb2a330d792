//! A WebSocket of the server's side. The layer below (`tungstenite`) judges the protocol; whole
//! text messages, which are nearly all of them, bypass it in both directions.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use super::{
    incoming::{Incoming, Next},
    outgoing::Outgoing,
};

/// The number of bytes that the layer reads at a time. Every session keeps this much memory, even
/// if idle; the layer's default is 128 KiB. The layer reads from bytes that were read ahead.
const READ_BUFFER: usize = 256;

/// A WebSocket whose handshake is over.
pub(in crate::http) struct Socket<S> {
    layer: WebSocketContext,
    wire: Wire<S>,
    /// True while the layer may have something to send that it has not sent.
    layer_sends: bool,
    /// True once there is nothing more to read.
    ended: bool,
}

/// A message of a client.
#[derive(Debug, PartialEq)]
pub(in crate::http) enum Heard<T> {
    /// A text message, as its reader has parsed it.
    Text(T),
    /// A binary message.
    Binary,
    /// A ping, which the layer answers, or the answer to one.
    Control,
    /// A close, with its reason if it has one.
    Close(Option<CloseFrame>),
}

/// The stream, with its incoming and outgoing data.
struct Wire<S> {
    stream: S,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Creates a WebSocket over a stream of which `read` was read already. A message of more than
    /// `longest` bytes is an error.
    pub(crate) fn new(stream: S, read: Bytes, longest: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // Only control frames are written by the layer, and those at once.
            .write_buffer_size(0)
            .max_message_size(Some(longest))
            .max_frame_size(Some(longest));
        let wire = Wire {
            stream,
            // A copy: these bytes are a part of a longer buffer of HTTP, which must not live as
            // long.
            incoming: Incoming::new(read.to_vec(), longest),
            outgoing: Outgoing::default(),
        };
        let layer = WebSocketContext::new(Role::Server, Some(config));
        Self { layer, wire, layer_sends: false, ended: false }
    }

    /// Returns the stream.
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.wire.stream
    }

    /// Waits for the next message, and parses it if it is text; returns `None` after a close or an
    /// error. May be cancelled without loss.
    pub(crate) async fn next<T>(
        &mut self,
        mut read: impl FnMut(&str) -> T,
    ) -> Option<Result<Heard<T>, Error>> {
        poll_fn(|cx| self.poll_next(cx, &mut read)).await
    }

    fn poll_next<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: &mut impl FnMut(&str) -> T,
    ) -> Poll<Option<Result<Heard<T>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let heard = ready!(self.poll_heard(cx, read));
        self.ended = heard.is_err();
        Poll::Ready(match heard {
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => None,
            heard => Some(heard),
        })
    }

    fn poll_heard<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: &mut impl FnMut(&str) -> T,
    ) -> Poll<Result<Heard<T>, Error>> {
        loop {
            if !self.layer.can_write() {
                // After a close frame of either side, only the layer knows which frames still
                // count.
                self.wire.incoming.leave_to_layer();
            }
            if self.wire.incoming.is_for_layer() {
                self.layer_sends = true;
                match would_block(self.layer.read(&mut self.wire.with(cx))) {
                    Poll::Ready(message) => return Poll::Ready(Ok(Heard::of(message?, read))),
                    Poll::Pending if self.wire.incoming.is_for_layer() => return Poll::Pending,
                    // The layer has consumed its frame.
                    Poll::Pending => continue,
                }
            }
            // If there is no room, the layer's data is sent with the next message, or when there is
            // some.
            if let Poll::Ready(sent) = self.poll_layer(cx) {
                sent?;
            }
            let Wire { stream, incoming, .. } = &mut self.wire;
            if let Next::Text(text) = ready!(incoming.poll_next(stream, cx, read))? {
                return Poll::Ready(Ok(Heard::Text(text?)));
            }
        }
    }

    /// Adds a text message to the data of the next flush.
    ///
    /// # Errors
    /// An error if the WebSocket is closed.
    pub(crate) fn feed(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        if !self.layer.can_write() {
            return Err(Error::Protocol(ProtocolError::SendAfterClosing));
        }
        self.wire.outgoing.text(write);
        Ok(())
    }

    /// Returns true if so much waits that it must be flushed before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.wire.outgoing.is_full()
    }

    /// Sends everything that waits.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_layer(cx))?;
        let Wire { stream, outgoing, .. } = &mut self.wire;
        ready!(outgoing.poll_write(stream, cx))?;
        Pin::new(stream).poll_flush(cx).map_err(Error::Io)
    }

    /// Sends the data of the layer.
    fn poll_layer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.layer_sends {
            let flushed = ready!(would_block(self.layer.flush(&mut self.wire.with(cx))));
            self.layer_sends = false;
            match flushed {
                // It was the last thing to send.
                Ok(()) | Err(Error::ConnectionClosed) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a control frame, after everything that waits.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.flush().await?;
        let mut message = Some(message);
        poll_fn(|cx| {
            if let Some(message) = message.take() {
                self.layer_sends = true;
                // The rest is flushed later.
                if let Poll::Ready(sent) =
                    would_block(self.layer.write(&mut self.wire.with(cx), message))
                {
                    sent?;
                }
            }
            self.poll_flush(cx)
        })
        .await
    }

    /// Begins to close it, or answers a close that the client began.
    pub(crate) async fn close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        self.send(Message::Close(frame)).await
    }

    /// Closes the stream, and discards up to `most` bytes that are still received.
    pub(crate) async fn shut_down(&mut self, most: u64) {
        let Wire { stream, incoming, .. } = &mut self.wire;
        let _ = stream.shutdown().await;
        incoming.discard(stream, most).await;
    }
}

impl<T> Heard<T> {
    fn of(message: Message, read: &mut impl FnMut(&str) -> T) -> Self {
        match message {
            Message::Text(text) => Self::Text(read(&text)),
            Message::Binary(_) => Self::Binary,
            Message::Close(frame) => Self::Close(frame),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Self::Control,
        }
    }
}

impl<S> Wire<S> {
    /// Returns the stream in the form that the layer takes: an operation that would block is an
    /// error of that kind.
    fn with<'a, 'b>(&'a mut self, cx: &'a mut Context<'b>) -> Polled<'a, 'b, S> {
        Polled { wire: self, cx }
    }
}

struct Polled<'a, 'b, S> {
    wire: &'a mut Wire<S>,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Wire { stream, incoming, .. } = &mut *self.wire;
        incoming.poll_read(stream, self.cx, buf).map_or(blocks(), or_blocks)
    }
}

impl<S: AsyncWrite + Unpin> Write for Polled<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Wire { stream, outgoing, .. } = &mut *self.wire;
        // A message that is partly sent is not interrupted.
        if outgoing.has_begun() {
            or_blocks(outgoing.poll_write(stream, self.cx))?;
        }
        or_blocks(Pin::new(stream).poll_write(self.cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_blocks(Pin::new(&mut self.wire.stream).poll_flush(self.cx))
    }
}

fn blocks<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

fn or_blocks<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => blocks(),
    }
}

fn would_block<T>(result: Result<T, Error>) -> Poll<Result<T, Error>> {
    match result {
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

#[cfg(test)]
mod tests;
