//! The bytes that are received over a WebSocket: everything that the socket has is read into memory
//! that the connections of a thread share, and a message that is complete is parsed in place. The
//! rest is kept only until it is consumed, so that an idle session keeps no memory.
//!
//! Only whole text messages are handled here. Everything else goes to the WebSocket layer, frame by
//! frame: control frames, fragments, long messages in pieces, and violations of the protocol.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    str::Utf8Error,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The number of bytes that are read with one system call: a description with its candidates fits
/// in.
const PIECE: usize = 16 * 1024;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// The bytes that are read and not consumed yet, and the part that is to consume them.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The longest text message that is read.
    longest: usize,
    ahead: Vec<u8>,
    /// The number of bytes of `ahead` that were consumed.
    taken: usize,
    /// The number of bytes that come next and are for the layer.
    for_layer: u64,
    /// True between the first and the last frame of a message in several.
    in_fragments: bool,
}

/// The next item in the stream.
#[derive(Debug, PartialEq)]
pub(super) enum Next<T> {
    /// A text message, as the reader has parsed it.
    Text(Result<T, Utf8Error>),
    /// Something for the layer to read.
    ForLayer,
}

/// The head of a frame (RFC 6455 §5.2).
struct Head {
    /// The bits FIN and RSV, and the opcode.
    first: u8,
    mask: Option<[u8; 4]>,
    /// The number of bytes of the head itself.
    len: usize,
    payload: u64,
}

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const CONTROL: u8 = 0x08;

impl Head {
    /// Parses a head; returns `None` if it is incomplete.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (payload, len) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        if second & 0x80 == 0 {
            return Some(Self { first, mask: None, len, payload });
        }
        let mask = *bytes.get(len..)?.first_chunk()?;
        Some(Self { first, mask: Some(mask), len: len + 4, payload })
    }
}

impl Incoming {
    /// Creates the state for a stream of which these bytes were read already. Messages of more than
    /// `longest` bytes go to the layer.
    pub(super) fn new(ahead: Vec<u8>, longest: usize) -> Self {
        Self { longest, ahead, taken: 0, for_layer: 0, in_fragments: false }
    }

    /// Returns true if the next bytes are for the layer.
    pub(super) fn is_for_layer(&self) -> bool {
        self.for_layer > 0
    }

    /// Leaves everything to the layer from now on.
    pub(super) fn leave_to_layer(&mut self) {
        self.for_layer = u64::MAX;
    }

    /// Reads the next item, unless it is known to be for the layer. `read` is given a text message.
    pub(super) fn poll_next<S: AsyncRead + Unpin, T>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        read: &mut impl FnMut(&str) -> T,
    ) -> Poll<io::Result<Next<T>>> {
        loop {
            let mut ahead = std::mem::take(&mut self.ahead);
            let taken = self.take_frame(&mut ahead[self.taken..], read);
            self.ahead = ahead;
            if let Some((next, end)) = taken {
                self.drop_front(end);
                return Poll::Ready(Ok(next));
            }
            let next = SHARED.with_borrow_mut(|piece| {
                let mut buf = ReadBuf::new(piece);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
                let filled = buf.filled_mut();
                if filled.is_empty() {
                    // The layer judges an end that comes too early.
                    self.leave_to_layer();
                    return Poll::Ready(Ok(Some(Next::ForLayer)));
                }
                let taken = match self.ahead.is_empty() {
                    true => self.take_frame(filled, read),
                    // It is the rest of a head.
                    false => None,
                };
                let (next, end) = taken.map_or((None, 0), |(next, end)| (Some(next), end));
                self.ahead.extend_from_slice(&filled[end..]);
                Poll::Ready(Ok::<_, io::Error>(next))
            });
            if let Some(next) = ready!(next)? {
                return Poll::Ready(Ok(next));
            }
        }
    }

    /// Removes bytes that were consumed.
    fn drop_front(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.ahead.len() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
    }

    /// Takes the frame at the front of the bytes if it is a whole text message, and returns its
    /// end. Nothing is taken of another frame. Returns `None` if even its head is incomplete.
    fn take_frame<T>(
        &mut self,
        bytes: &mut [u8],
        read: &mut impl FnMut(&str) -> T,
    ) -> Option<(Next<T>, usize)> {
        let head = Head::read(bytes)?;
        let end = head.len as u64 + head.payload.min(u64::MAX / 2);
        if head.first == FIN | TEXT
            && let Some(mask) = head.mask
            && !self.in_fragments
            && head.payload <= self.longest as u64
            && end <= bytes.len() as u64
        {
            let end = end as usize;
            let payload = &mut bytes[head.len..end];
            unmask(payload, mask);
            return Some((Next::Text(std::str::from_utf8(payload).map(read)), end));
        }
        if head.first & CONTROL == 0 {
            self.in_fragments = head.first & FIN == 0;
        }
        self.for_layer = end;
        Some((Next::ForLayer, 0))
    }

    /// Reads for the layer, but not past the end of its frame. Returns `None` at that end.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.for_layer == 0 {
            return None;
        }
        if self.ahead.is_empty() {
            let read = SHARED.with_borrow_mut(|piece| {
                let mut piece = ReadBuf::new(piece);
                ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
                self.ahead.extend_from_slice(piece.filled());
                Poll::Ready(Ok(0))
            });
            // Nothing was received: it waits, it has failed, or it is at its end.
            if self.ahead.is_empty() {
                return Some(read);
            }
        }
        let rest = &self.ahead[self.taken..];
        let most = usize::try_from(self.for_layer).unwrap_or(usize::MAX);
        let count = rest.len().min(buf.len()).min(most);
        buf[..count].copy_from_slice(&rest[..count]);
        self.drop_front(count);
        if self.for_layer != u64::MAX {
            self.for_layer -= count as u64;
        }
        Some(Poll::Ready(Ok(count)))
    }

    /// Discards the rest of the stream, up to `most` bytes.
    pub(super) async fn discard<S: AsyncRead + Unpin>(&mut self, stream: &mut S, most: u64) {
        self.ahead = Vec::new();
        let mut scratch = vec![0; 4096];
        let mut rest = stream.take(most);
        while matches!(rest.read(&mut scratch).await, Ok(read) if read > 0) {}
    }

    /// Returns true if it keeps no memory.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.capacity() == 0
    }
}

/// Removes the mask of a payload (RFC 6455 §5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let long = u64::from_ne_bytes(std::array::from_fn(|at| mask[at % 4]));
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let value = u64::from_ne_bytes(*word.first_chunk().expect("it has eight bytes"));
        word.copy_from_slice(&(value ^ long).to_ne_bytes());
    }
    let rest = words.into_remainder().iter_mut();
    rest.enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
}
