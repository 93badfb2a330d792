//! Bytes that wait to be written to the connection of a client or of a peer.

use std::io::{self, Write};

/// The queued bytes, preceded by those of them that have been written.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Returns the number of bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Returns the bytes that wait.
    pub(crate) fn left(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Appends bytes to the queue. Written bytes are removed once they are more than half of the
    /// buffer: a queue that is never empty would otherwise keep everything that was ever sent.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Records that this many more bytes have been written.
    pub(crate) fn advance(&mut self, written: usize) {
        self.written += written;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// Writes the queued bytes.
    ///
    /// # Errors
    /// The system's error: `WouldBlock` if it takes no more for now.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.waiting() > 0 {
            let written = some(socket.write(self.left()))?;
            self.advance(written);
        }
        Ok(())
    }

    /// Releases the memory of a burst that is over, except for `most` bytes.
    pub(crate) fn shrink(&mut self, most: usize) {
        if self.bytes.is_empty() {
            self.bytes.shrink_to(most);
        }
    }
}

/// Turns a write of nothing into an error, since it would be tried again forever.
pub(super) fn some(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes this many bytes, and then no more for now.
    struct Socket(Vec<u8>, usize);

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.extend_from_slice(&bytes[..taken]);
            self.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that is always a little behind receives everything in order, and nothing grows.
    #[test]
    fn written_bytes_are_freed_while_a_few_others_wait() {
        let (mut out, mut socket) = (Outgoing::default(), Socket(Vec::new(), 0));
        let mut sent = Vec::new();
        out.push(&[7; 100]);
        sent.extend([7; 100]);
        for n in 0..10_000u32 {
            let bytes = [n as u8; 1000];
            out.push(&bytes);
            sent.extend(bytes);
            socket.1 = 1000;
            assert_eq!(out.write_to(&mut socket).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(out.waiting(), 100);
            assert!(out.bytes.capacity() < 5000, "{}", out.bytes.capacity());
        }
        socket.1 = 1000;
        out.write_to(&mut socket).unwrap();
        assert!(socket.0 == sent && out.left().is_empty());
        out.shrink(0);
        assert_eq!(out.bytes.capacity(), 0);
    }
}
