//! Reading of a socket in long pieces for a layer that reads in short ones.
//!
//! A WebSocket keeps its read buffer for as long as it lives, so the buffer is short, and a long message would
//! take a system call for each part of it. Here all that the socket has is read into memory that the connections
//! of a thread share; what the layer above does not take at once is kept only until it does.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is read with one system call: a description with its candidates.
const PIECE: usize = 16 * 1024;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// A stream, and what was read from it and not taken yet.
#[derive(Debug)]
pub(in crate::http) struct ReadAhead<S> {
    stream: S,
    ahead: Vec<u8>,
    /// The number of bytes of `ahead` that were taken.
    taken: usize,
}

impl<S> ReadAhead<S> {
    /// Wraps a stream of which nothing was read.
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), taken: 0 }
    }

    /// Gives what is there, as far as it fits.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.ahead[self.taken..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.ahead.len() {
            // An idle session keeps nothing.
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let read = SHARED.with_borrow_mut(|piece| {
                let mut piece = ReadBuf::new(piece);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
                let filled = piece.filled();
                let now = filled.len().min(buf.remaining());
                buf.put_slice(&filled[..now]);
                self.ahead.extend_from_slice(&filled[now..]);
                Poll::Ready(Ok(()))
            });
            return read;
        }
        self.give(buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    proptest! {
        /// Every byte comes through once and in order, in whatever pieces it is written and read.
        #[test]
        fn all_comes_through(
            pieces in prop::collection::vec(1usize..40_000, 1..6),
            reads in prop::collection::vec(1usize..20_000, 1..6),
        ) {
            let all: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|n| (n % 251) as u8).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(async {
                let (ours, mut theirs) = duplex(64 * 1024);
                let writing = async {
                    let mut rest = &all[..];
                    for length in &pieces {
                        let (piece, later) = rest.split_at(*length);
                        theirs.write_all(piece).await.unwrap();
                        rest = later;
                    }
                    drop(theirs);
                };
                let reading = async {
                    let (mut stream, mut read) = (ReadAhead::new(ours), Vec::new());
                    for length in reads.iter().cycle() {
                        let mut part = vec![0; *length];
                        let count = stream.read(&mut part).await.unwrap();
                        if count == 0 {
                            break;
                        }
                        read.extend_from_slice(&part[..count]);
                    }
                    assert_eq!(stream.ahead.capacity(), 0, "nothing is kept");
                    read
                };
                tokio::join!(writing, reading).1
            });
            prop_assert_eq!(read, all);
        }
    }
}
