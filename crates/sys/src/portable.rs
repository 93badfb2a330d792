//! The same types and functions with a plain call for each datagram, for systems without batches.

use std::{io, net::SocketAddr, ops::Range, time::Duration};

use ipnet::IpNet;
use mio::{Registry, Token, net::UdpSocket};

use super::{
    Received, RunId, Sent, SocketError, TrafficClass,
    runs::{Run, Runs},
};

/// Fails: the networks of the machine are not known here.
///
/// # Errors
/// Always: the system does not report them.
pub fn own_networks() -> io::Result<Vec<IpNet>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The notifications of changes of the machine's addresses, which do not exist here.
#[derive(Debug)]
pub enum AddressChanges {}

impl AddressChanges {
    /// Fails: the system does not report changes.
    ///
    /// # Errors
    /// Always: the system does not report changes.
    pub fn watch() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Registers for notifications.
    ///
    /// # Errors
    /// None, since there is no value of this type.
    pub fn register(&self, _: &Registry, _: Token) -> io::Result<()> {
        match *self {}
    }

    /// Reads all notifications.
    pub fn any(&mut self) -> bool {
        match *self {}
    }
}

/// Fails: there is no GRO here.
///
/// # Errors
/// Always: the system does not support it.
pub fn enable_gro<S>(_: &S) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: lost datagrams are not reported here.
///
/// # Errors
/// Always: the system does not support it.
pub fn count_lost<S>(_: &S) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: the class of a datagram is not reported here.
///
/// # Errors
/// Always: the system does not support it.
pub fn tell_class<S>(_: &S, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: ICMP errors are not kept here.
///
/// # Errors
/// Always: the system does not support it.
pub fn keep_errors<S>(_: &S, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: no error is kept.
///
/// # Errors
/// Always `WouldBlock`.
pub fn next_error<S>(_: &S) -> io::Result<SocketError> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// True if [`send_dont_fragment`] can be used.
pub const CAN_FORBID_FRAGMENTS: bool = false;

/// Fails: fragmentation cannot be forbidden here.
///
/// # Errors
/// Always: the system does not support it.
pub fn send_dont_fragment<S>(_: &S, _: SocketAddr, _: TrafficClass, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: the limit is left as it is.
///
/// # Errors
/// Always: the limit is not known here.
pub fn raise_open_files() -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sleeps for `time`, as precisely as the system does.
pub fn sleep_precisely(time: Duration) {
    std::thread::sleep(time);
}

/// Returns zero: the CPU time of a thread is not known here.
pub fn thread_time() -> Duration {
    Duration::ZERO
}

/// Slots for many datagrams in one buffer, followed by a spare part that nothing is received into.
pub struct ReceiveBatch {
    stride: usize,
    headroom: usize,
    len: usize,
    buffer: Box<[u8]>,
    received: Box<[Option<Received>]>,
}

impl ReceiveBatch {
    /// Allocates room for `slots` reads of up to `len` bytes, each with `headroom` bytes free
    /// around it, and for `spare` bytes of the caller's own.
    pub fn new(slots: usize, len: usize, headroom: usize, spare: usize) -> Self {
        let stride = 2 * headroom + len;
        let buffer = vec![0; slots * stride + spare].into();
        Self { stride, headroom, len, buffer, received: vec![None; slots].into() }
    }

    /// Returns the range of a slot in the buffer, without the free bytes around it.
    pub fn range(&self, slot: usize) -> Range<usize> {
        let start = slot * self.stride + self.headroom;
        start..start + self.len
    }

    /// Receives the pending datagrams into these slots; the socket must be non-blocking. Returns
    /// the number of slots that were filled.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if nothing was there.
    ///
    /// # Panics
    /// Panics if there are no such slots.
    pub fn receive(&mut self, socket: &UdpSocket, slots: Range<usize>) -> io::Result<usize> {
        let (first, end) = (slots.start, slots.end);
        for slot in slots {
            let start = slot * self.stride + self.headroom;
            match socket.recv_from(&mut self.buffer[start..start + self.len]) {
                Ok((len, source)) => {
                    let bytes = start..start + len;
                    let class = TrafficClass::DEFAULT;
                    self.received[slot] =
                        Some(Received { source, bytes, segment: len, lost: 0, class });
                }
                Err(error) if slot == first => return Err(error),
                Err(_) => return Ok(slot - first),
            }
        }
        Ok(end - first)
    }

    /// Returns the contents of a slot that [`ReceiveBatch::receive`] filled.
    pub fn received(&self, slot: usize) -> Option<Received> {
        self.received[slot].clone()
    }

    /// Returns the whole buffer: slots, then the spare part.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Returns the whole buffer, for writing.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Returns the range of the spare part of the buffer.
    pub fn spare(&self) -> Range<usize> {
        self.received.len() * self.stride..self.buffer.len()
    }
}

/// Datagrams to be sent one after the other.
#[derive(Default)]
pub struct SendBatch {
    runs: Runs,
}

impl SendBatch {
    /// Begins a run with the range `bytes` of the buffer: one datagram if `segment` is its length,
    /// else several of `segment` bytes each except the last. `to` is `None` on a connected socket.
    /// All leave in the default class.
    pub fn push(
        &mut self,
        to: Option<SocketAddr>,
        class: TrafficClass,
        bytes: Range<usize>,
        segment: usize,
    ) -> RunId {
        self.runs.push(to, class, bytes, segment)
    }

    /// Adds a datagram to a run. Returns false if it does not fit in, or has another destination.
    pub fn extend(
        &mut self,
        run: RunId,
        to: Option<SocketAddr>,
        class: TrafficClass,
        bytes: Range<usize>,
    ) -> bool {
        self.runs.extend(run, to, class, bytes)
    }

    /// Returns true if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.runs().is_empty()
    }

    /// Sends everything from `buffer` through one socket, and clears the batch.
    ///
    /// # Panics
    /// Panics if a datagram does not lie within `buffer`.
    pub fn send(&mut self, socket: &UdpSocket, buffer: &[u8]) -> Sent {
        self.send_each(buffer, |_| Some(socket))
    }

    /// Sends each run from `buffer` through the socket that `socket` returns for its index, and
    /// clears the batch; a run without a socket counts as refused.
    ///
    /// # Panics
    /// Panics if a datagram does not lie within `buffer`.
    pub fn send_each<'s>(
        &mut self,
        buffer: &[u8],
        socket: impl Fn(usize) -> Option<&'s UdpSocket>,
    ) -> Sent {
        let mut sent = Sent::default();
        for (at, run) in self.runs.runs().iter().enumerate() {
            match socket(at) {
                Some(socket) => self.send_run(run, socket, buffer, &mut sent),
                None => sent.refused += run.count(),
            }
        }
        self.runs.clear();
        sent
    }

    fn send_run(&self, run: &Run, socket: &UdpSocket, buffer: &[u8], sent: &mut Sent) {
        for piece in self.runs.pieces_of(run) {
            for n in 0..piece.len().div_ceil(run.segment.max(1)).max(1) {
                let start = piece.start + n * run.segment;
                let datagram = &buffer[start..(start + run.segment).min(piece.end)];
                let result = match run.to {
                    Some(to) => socket.send_to(datagram, to),
                    None => socket.send(datagram),
                };
                match result {
                    Ok(_) => sent.datagrams += 1,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => sent.full += 1,
                    Err(error) => {
                        sent.refused += 1;
                        sent.error = Some(error);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    #[test]
    fn runs_are_sent_datagram_by_datagram() {
        let (from, to, other) = (bind(), bind(), bind());
        let address = |socket: &UdpSocket| Some(socket.local_addr().unwrap());
        let mut batch = SendBatch::default();
        assert!(batch.is_empty());
        let run = batch.push(address(&to), TrafficClass::DEFAULT, 6..10, 4);
        assert!(
            batch.extend(run, address(&to), TrafficClass::DEFAULT, 0..4)
                && batch.extend(run, address(&to), TrafficClass::DEFAULT, 4..6)
        );
        assert!(!batch.extend(run, address(&other), TrafficClass::DEFAULT, 0..4));
        batch.push(address(&to), TrafficClass::DEFAULT, 0..7, 3);
        assert_eq!(batch.send(&from, b"abcdefghij").taken().unwrap(), 6);
        let mut received = ReceiveBatch::new(8, 100, 4, 10);
        assert_eq!(received.receive(&to, 0..2).unwrap(), 2);
        assert_eq!(received.receive(&to, 2..8).unwrap(), 4);
        let got: Vec<_> = (0..6)
            .map(|slot| {
                let got = received.received(slot).unwrap();
                assert_eq!((Some(got.source), got.count()), (address(&from), 1));
                String::from_utf8(received.buffer()[got.bytes].to_vec()).unwrap()
            })
            .collect();
        assert_eq!(got, ["ghij", "abcd", "ef", "abc", "def", "g"]);
        assert_eq!(received.receive(&to, 0..8).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(received.spare().len(), 10);
    }

    #[test]
    fn a_refused_datagram_does_not_affect_others() {
        let (from, to) = (bind(), bind());
        let mut batch = SendBatch::default();
        batch.push(Some("[::1]:9".parse().unwrap()), TrafficClass::DEFAULT, 0..1, 1);
        batch.push(Some(to.local_addr().unwrap()), TrafficClass::DEFAULT, 0..1, 1);
        batch.push(Some(to.local_addr().unwrap()), TrafficClass::DEFAULT, 0..1, 1);
        let sent = batch.send_each(b"x", |run| (run < 2).then_some(&from));
        assert_eq!((sent.datagrams, sent.refused, sent.full), (1, 2, 0));
        assert!(sent.taken().is_err());
    }
}
