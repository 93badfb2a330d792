//! The text messages that are sent over a WebSocket: written as frames into one buffer, so that
//! those that wait together leave with one system call.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// The number of bytes that may wait before a flush is needed: a description with its candidates
/// fits in.
const FULL: usize = 16 * 1024;

/// The initial capacity in bytes, which most messages fit.
const USUAL: usize = 1024;

/// The first byte of a text message in one frame (RFC 6455 §5.2).
const WHOLE_TEXT: u8 = 0x81;

/// The largest number of bytes of the head of a frame without a mask whose length has two bytes.
const HEAD: usize = 4;

/// The frames that wait, and the number of bytes of them that were sent. An idle session keeps no
/// memory.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Adds a message: the bytes that `write` adds to the buffer.
    pub(super) fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let frames = &mut self.frames;
        if frames.is_empty() {
            frames.reserve(USUAL);
        }
        let start = frames.len();
        // Most messages need a head of four bytes.
        frames.extend_from_slice(&[WHOLE_TEXT, 126, 0, 0]);
        write(frames);
        let length = frames.len() - start - HEAD;
        if let Ok(short @ ..126) = u8::try_from(length) {
            frames.copy_within(start + HEAD.., start + 2);
            frames.truncate(start + 2 + length);
            frames[start + 1] = short;
        } else if let Ok(middle) = u16::try_from(length) {
            frames[start + 2..start + HEAD].copy_from_slice(&middle.to_be_bytes());
        } else {
            let long = (length as u64).to_be_bytes();
            frames[start + 1] = 127;
            frames.splice(start + 2..start + HEAD, long);
        }
    }

    /// Returns true if it is to be sent before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.frames.len() > FULL
    }

    /// Returns true if a part was sent, and a part was not.
    pub(super) fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// Sends all of it.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.frames.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.frames[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                count => self.sent += count,
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::{
        Message,
        protocol::{Role, WebSocket},
    };

    use super::*;

    #[tokio::test]
    async fn messages_of_all_lengths_are_frames_that_a_client_reads() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 3];
        let text = |length: usize| "x".repeat(length);
        let mut outgoing = Outgoing::default();
        for length in lengths {
            outgoing.text(|frames| frames.extend_from_slice(text(length).as_bytes()));
        }
        assert!(outgoing.is_full() && !outgoing.has_begun());
        let mut wire = Vec::new();
        std::future::poll_fn(|cx| outgoing.poll_write(&mut wire, cx)).await.unwrap();
        assert_eq!(outgoing.frames.capacity(), 0, "nothing is kept");
        let mut client = WebSocket::from_raw_socket(Cursor::new(wire), Role::Client, None);
        for length in lengths {
            assert_eq!(client.read().unwrap(), Message::text(text(length)));
        }
    }
}
