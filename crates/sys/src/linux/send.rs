//! Sending of many datagrams with one call.

use std::{
    io, mem,
    net::SocketAddr,
    ops::Range,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

use super::{CONTROL, Control, address};
use crate::{
    RunId, Sent, TrafficClass,
    runs::{Run, Runs},
};

/// Datagrams to be sent, each alone or in a run of one class and equal lengths that the kernel
/// segments (`UDP_SEGMENT`).
///
/// It holds ranges of a buffer, not the bytes, which are sent without a copy.
#[derive(Default)]
pub struct SendBatch {
    runs: Runs,
    /// True once the system has refused a run: from then on every datagram is sent alone.
    no_runs: bool,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `vectors` and `headers` are written and used within one call of `send` or
// `send_each`.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Begins a run with the range `bytes` of the buffer: one datagram if `segment` is its length,
    /// else several of `segment` bytes each except the last, up to 64 datagrams and 65,000 bytes.
    /// `to` is `None` on a connected socket.
    #[inline]
    pub fn push(
        &mut self,
        to: Option<SocketAddr>,
        class: TrafficClass,
        bytes: Range<usize>,
        segment: usize,
    ) -> RunId {
        self.runs.push(to, class, bytes, segment)
    }

    /// Adds a datagram to a run. Returns false if it does not fit in: all go to one address, and
    /// have the class and the length of the first, except the last, which may be shorter.
    #[inline]
    pub fn extend(
        &mut self,
        run: RunId,
        to: Option<SocketAddr>,
        class: TrafficClass,
        bytes: Range<usize>,
    ) -> bool {
        !self.no_runs && self.runs.extend(run, to, class, bytes)
    }

    /// Returns true if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.runs().is_empty()
    }

    /// Sends everything from `buffer` through one socket, and clears the batch.
    ///
    /// # Panics
    /// Panics if a datagram does not lie within `buffer`.
    pub fn send(&mut self, socket: &impl AsRawFd, buffer: &[u8]) -> Sent {
        let socket = socket.as_raw_fd();
        let count = self.prepare(buffer);
        let mut sent = Sent::default();
        let mut at = 0;
        while at < count {
            let headers = &mut self.headers[at..count];
            // SAFETY: the headers point to names, vectors and controls of `self`, and those to
            // `buffer`; all live through the call, and the kernel only reads them.
            let taken = unsafe {
                libc::sendmmsg(
                    socket,
                    headers.as_mut_ptr(),
                    headers.len() as u32,
                    libc::MSG_DONTWAIT as _,
                )
            };
            let Ok(taken @ 1..) = usize::try_from(taken) else {
                let error = io::Error::last_os_error();
                let rest: usize = self.runs.runs()[at..].iter().map(Run::count).sum();
                if error.kind() == io::ErrorKind::WouldBlock {
                    sent.full += rest;
                    break;
                }
                self.one_by_one(at, socket, buffer, error, &mut sent);
                at += 1;
                continue;
            };
            sent.datagrams +=
                self.runs.runs()[at..at + taken].iter().map(Run::count).sum::<usize>();
            at += taken;
        }
        self.runs.clear();
        sent
    }

    /// Sends each run from `buffer` through the socket that `socket` returns for its index, and
    /// clears the batch; a run without a socket counts as refused.
    ///
    /// # Panics
    /// Panics if a datagram does not lie within `buffer`.
    pub fn send_each<'s, S: AsRawFd + 's>(
        &mut self,
        buffer: &[u8],
        socket: impl Fn(usize) -> Option<&'s S>,
    ) -> Sent {
        let mut sent = Sent::default();
        for at in 0..self.prepare(buffer) {
            let count = self.runs.runs()[at].count();
            let Some(socket) = socket(at).map(AsRawFd::as_raw_fd) else {
                sent.refused += count;
                continue;
            };
            // SAFETY: as in `send`.
            let send = || unsafe {
                libc::sendmsg(socket, &raw const self.headers[at].msg_hdr, libc::MSG_DONTWAIT)
            };
            // A socket first reports an ICMP error that an earlier datagram caused.
            let mut error = (send() < 0).then(io::Error::last_os_error);
            if error.as_ref().is_some_and(may_be_earlier) {
                error = (send() < 0).then(io::Error::last_os_error);
            }
            let Some(error) = error else {
                sent.datagrams += count;
                continue;
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                sent.full += count;
            } else {
                self.one_by_one(at, socket, buffer, error, &mut sent);
            }
        }
        self.runs.clear();
        sent
    }

    /// Writes a header for each run, and returns their number.
    fn prepare(&mut self, buffer: &[u8]) -> usize {
        let count = self.runs.runs().len();
        // SAFETY: all zeros is a valid value of each of these C structs.
        let (name, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        // The vectors only grow, so that nothing is allocated in the steady state. They grow before
        // the first pointer into them is taken.
        grow(&mut self.names, count, name);
        grow(&mut self.controls, count, Control([0; CONTROL]));
        grow(&mut self.vectors, self.runs.pieces(), vector);
        grow(&mut self.headers, count, header);
        let mut used = 0;
        for (at, run) in self.runs.runs().iter().enumerate() {
            let first = used;
            for piece in self.runs.pieces_of(run) {
                let bytes = &buffer[piece];
                let base = bytes.as_ptr().cast_mut().cast();
                self.vectors[used] = libc::iovec { iov_base: base, iov_len: bytes.len() };
                used += 1;
            }
            let header = &mut self.headers[at].msg_hdr;
            *header = empty_header();
            if let Some(to) = run.to {
                header.msg_namelen = address::write(&mut self.names[at], to);
                header.msg_name = (&raw mut self.names[at]).cast();
            }
            header.msg_iov = &raw mut self.vectors[first];
            header.msg_iovlen = (used - first) as _;
            let segment = (run.segment < run.total).then_some(run.segment as u16);
            write_control(header, &mut self.controls[at], run.to, segment, run.class);
        }
        count
    }

    /// Sends the datagrams of a run that was refused one by one: the link's MTU may be too small
    /// for them to go unfragmented, or its driver unable to segment runs.
    #[cold]
    fn one_by_one(
        &mut self,
        run: usize,
        socket: RawFd,
        buffer: &[u8],
        error: io::Error,
        sent: &mut Sent,
    ) {
        let run = &self.runs.runs()[run];
        if run.count() == 1 {
            sent.refused += 1;
            sent.error = Some(error);
            return;
        }
        self.no_runs |= error.raw_os_error() == Some(libc::EIO);
        for datagram in self.runs.pieces_of(run).flat_map(|piece| buffer[piece].chunks(run.segment))
        {
            match send_one(socket, run.to, run.class, datagram) {
                Ok(()) => sent.datagrams += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sent.full += 1,
                Err(error) => {
                    sent.refused += 1;
                    sent.error = Some(error);
                }
            }
        }
    }
}

fn grow<T: Clone>(all: &mut Vec<T>, count: usize, value: T) {
    if all.len() < count {
        all.resize(count, value);
    }
}

pub(super) fn send_one(
    socket: RawFd,
    to: Option<SocketAddr>,
    class: TrafficClass,
    bytes: &[u8],
) -> io::Result<()> {
    // SAFETY: all zeros is a valid address storage.
    let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut control = Control([0; CONTROL]);
    let base = bytes.as_ptr().cast_mut().cast();
    let mut vector = libc::iovec { iov_base: base, iov_len: bytes.len() };
    let mut header = empty_header();
    if let Some(to) = to {
        header.msg_namelen = address::write(&mut name, to);
        header.msg_name = (&raw mut name).cast();
    }
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    write_control(&mut header, &mut control, to, None, class);
    // SAFETY: the header points to the name, the vector and the control buffer, and the vector to
    // the bytes; all live through the call, and the kernel only reads them.
    let taken = unsafe { libc::sendmsg(socket, &raw const header, libc::MSG_DONTWAIT) };
    if taken >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns true if an error may belong to an earlier datagram, so that it is worth trying again.
pub(super) fn may_be_earlier(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
}

fn empty_header() -> libc::msghdr {
    // SAFETY: all zeros is a header without name, data or control messages.
    unsafe { mem::zeroed() }
}

/// Adds the control messages that a header needs, if any: the segment size of a run
/// (`UDP_SEGMENT`), and a class that is not the default one.
#[inline]
fn write_control(
    header: &mut libc::msghdr,
    control: &mut Control,
    to: Option<SocketAddr>,
    segment: Option<u16>,
    class: TrafficClass,
) {
    let mut len = 0;
    if let Some(segment) = segment {
        len = put(control, len, libc::SOL_UDP, libc::UDP_SEGMENT, segment.to_ne_bytes());
    }
    if class != TrafficClass::DEFAULT {
        // On a connected socket one for either family is added: the kernel uses the one of the
        // socket's family, and ignores the other.
        let value = i32::from(class.0).to_ne_bytes();
        if to.is_none_or(|to| to.is_ipv4()) {
            len = put(control, len, libc::IPPROTO_IP, libc::IP_TOS, value);
        }
        if to.is_none_or(|to| to.is_ipv6()) {
            len = put(control, len, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, value);
        }
    }
    if len > 0 {
        header.msg_control = (&raw mut *control).cast();
        header.msg_controllen = len as _;
    }
}

/// Appends a control message after the first `at` bytes of a buffer, which others occupy. Returns
/// the number of bytes that are occupied then.
fn put<const N: usize>(
    control: &mut Control,
    at: usize,
    level: libc::c_int,
    kind: libc::c_int,
    value: [u8; N],
) -> usize {
    // SAFETY: these only compute sizes.
    let (len, space) = unsafe { (libc::CMSG_LEN(N as u32), libc::CMSG_SPACE(N as u32)) };
    let target = &mut control.0[at..at + space as usize];
    // Some C libraries have padding in a part of the length that the kernel reads.
    target.fill(0);
    // SAFETY: the target is as long as such a message, and begins at a multiple of eight, since the
    // space of each message is one.
    unsafe {
        let message = target.as_mut_ptr().cast::<libc::cmsghdr>();
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = len as _;
        ptr::write_unaligned(libc::CMSG_DATA(message).cast::<[u8; N]>(), value);
    }
    at + space as usize
}
