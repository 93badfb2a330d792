//! Receiving of many datagrams with one call.

use std::{io, mem, ops::Range, os::fd::AsRawFd, ptr};

use super::{CONTROL, Control, address};
use crate::{Received, TrafficClass};

/// Slots for many datagrams in one buffer, followed by a spare part that nothing is received into.
pub struct ReceiveBatch {
    stride: usize,
    headroom: usize,
    slots: usize,
    buffer: Box<[u8]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the pointers in `vectors` and `headers` point into the other boxes of the same value,
// which move with it without changing their addresses, and nothing else has them.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Allocates room for `slots` reads of up to `len` bytes, each with `headroom` bytes free
    /// around it, and for `spare` bytes of the caller's own.
    pub fn new(slots: usize, len: usize, headroom: usize, spare: usize) -> Self {
        // An odd number of cache lines: slots at a distance of a power of two would map to the same
        // ones.
        let stride = ((2 * headroom + len).div_ceil(64) | 1) * 64;
        // SAFETY: all zeros is a valid value of each of these C structs.
        let (name, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut batch = Self {
            stride,
            headroom,
            slots,
            buffer: vec![0; slots * stride + spare].into(),
            names: vec![name; slots].into(),
            controls: vec![Control([0; CONTROL]); slots].into(),
            vectors: vec![vector; slots].into(),
            headers: vec![header; slots].into(),
        };
        for slot in batch.buffer.chunks_mut(stride).take(slots) {
            // Each page is touched now, so that no packet waits for a page fault.
            slot[headroom] = 1;
        }
        let base = batch.buffer.as_mut_ptr();
        for at in 0..slots {
            // SAFETY: slot `at` lies within the buffer, and its payload within the slot.
            let payload = unsafe { base.add(at * stride + headroom) };
            batch.vectors[at] = libc::iovec { iov_base: payload.cast(), iov_len: len };
            let header = &mut batch.headers[at].msg_hdr;
            header.msg_name = (&raw mut batch.names[at]).cast();
            header.msg_iov = &raw mut batch.vectors[at];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut batch.controls[at]).cast();
        }
        batch
    }

    /// Receives the pending datagrams into these slots, without waiting. Returns the number of
    /// slots that were filled.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if nothing was there.
    ///
    /// # Panics
    /// Panics if there are no such slots.
    pub fn receive(&mut self, socket: &impl AsRawFd, slots: Range<usize>) -> io::Result<usize> {
        let headers = &mut self.headers[slots];
        for header in &mut *headers {
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the headers point to live buffers of the lengths that they state (see `new`), and
        // nothing else uses them during the call, since `self` is borrowed mutably.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Returns the contents of a slot that [`ReceiveBatch::receive`] filled, or `None` if the
    /// source is no internet address.
    pub fn received(&self, slot: usize) -> Option<Received> {
        let header = &self.headers[slot];
        let len = header.msg_len as usize;
        let start = slot * self.stride + self.headroom;
        let source = address::read(&self.names[slot])?;
        let extra = Ancillary::read(&header.msg_hdr);
        let segment = if extra.segment > 0 { extra.segment as usize } else { len };
        let (bytes, class) = (start..start + len, TrafficClass(extra.class));
        Some(Received { source, bytes, segment, lost: extra.lost, class })
    }

    /// Returns the range of a slot in the buffer, without the free bytes around it.
    pub fn range(&self, slot: usize) -> Range<usize> {
        let start = slot * self.stride + self.headroom;
        start..start + self.vectors[slot].iov_len
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
        self.slots * self.stride..self.buffer.len()
    }
}

/// The control messages that the kernel delivers with a datagram.
#[derive(Default)]
struct Ancillary {
    /// `UDP_GRO`
    segment: u32,
    /// `SO_RXQ_OVFL`
    lost: u32,
    /// `IP_RECVTOS` or `IPV6_RECVTCLASS`
    class: u8,
}

impl Ancillary {
    fn read(header: &libc::msghdr) -> Self {
        let mut extra = Self::default();
        // SAFETY: the kernel has filled the control buffer and set its length, and the macros stay
        // within it. Each kind of message is read with the length that the kernel writes.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(header);
            while !message.is_null() {
                let data = libc::CMSG_DATA(message);
                let value = || ptr::read_unaligned(data.cast::<u32>());
                match ((*message).cmsg_level, (*message).cmsg_type) {
                    (libc::SOL_UDP, libc::UDP_GRO) => extra.segment = value(),
                    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => extra.lost = value(),
                    (libc::IPPROTO_IP, libc::IP_TOS) => extra.class = *data,
                    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => extra.class = value() as u8,
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(header, message);
            }
        }
        extra
    }
}
