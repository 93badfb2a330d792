//! Receiving many datagrams with one call.

use std::{io, mem, ops::Range, os::fd::AsRawFd, ptr};

use super::{CONTROL, Control, address};
use crate::{Received, TrafficClass};

/// Slots for many datagrams in one buffer, and a spare part of it behind them that nothing is
/// received into.
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

// SAFETY: the pointers in `vectors` and `headers` lead into the other boxes of the same value, which
// move with it without changing their addresses, and nobody else has them.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Room for `slots` reads of up to `len` bytes, each with `headroom` bytes free around it, and
    /// for `spare` bytes of the caller's own.
    pub fn new(slots: usize, len: usize, headroom: usize, spare: usize) -> Self {
        // An odd number of cache lines: slots a power of two apart would all want the same ones.
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
            // Touched now, so that no packet waits until the system has found a page for it.
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

    /// Receives what there is into these slots, without waiting. Gives how many were filled.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if there was nothing.
    ///
    /// # Panics
    /// If there are no such slots.
    pub fn receive(&mut self, socket: &impl AsRawFd, slots: Range<usize>) -> io::Result<usize> {
        let headers = &mut self.headers[slots];
        for header in &mut *headers {
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the headers lead to live buffers of the lengths that they tell (see `new`), and
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

    /// What stands in a slot that [`ReceiveBatch::receive`] filled. `None` for a source that is no
    /// internet address.
    pub fn received(&self, slot: usize) -> Option<Received> {
        let header = &self.headers[slot];
        let len = header.msg_len as usize;
        let start = slot * self.stride + self.headroom;
        let source = address::read(&self.names[slot])?;
        let told = Told::read(&header.msg_hdr);
        let segment = if told.segment > 0 { told.segment as usize } else { len };
        let (bytes, class) = (start..start + len, TrafficClass(told.class));
        Some(Received { source, bytes, segment, lost: told.lost, class })
    }

    /// Where a slot stands in the buffer, without what is kept free around it.
    pub fn range(&self, slot: usize) -> Range<usize> {
        let start = slot * self.stride + self.headroom;
        start..start + self.vectors[slot].iov_len
    }

    /// The whole buffer: slots, then the spare part.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// The whole buffer, to change.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Where the spare part of the buffer stands.
    pub fn spare(&self) -> Range<usize> {
        self.slots * self.stride..self.buffer.len()
    }
}

/// What the kernel tells beside a datagram.
#[derive(Default)]
struct Told {
    /// `UDP_GRO`
    segment: u32,
    /// `SO_RXQ_OVFL`
    lost: u32,
    /// `IP_RECVTOS` or `IPV6_RECVTCLASS`
    class: u8,
}

impl Told {
    fn read(header: &libc::msghdr) -> Self {
        let mut told = Self::default();
        // SAFETY: the kernel has filled the control buffer and told its length, and the macros stay
        // within it. Each kind of message is read as long as the kernel writes it.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(header);
            while !message.is_null() {
                let data = libc::CMSG_DATA(message);
                let value = || ptr::read_unaligned(data.cast::<u32>());
                match ((*message).cmsg_level, (*message).cmsg_type) {
                    (libc::SOL_UDP, libc::UDP_GRO) => told.segment = value(),
                    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => told.lost = value(),
                    (libc::IPPROTO_IP, libc::IP_TOS) => told.class = *data,
                    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => told.class = value() as u8,
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(header, message);
            }
        }
        told
    }
}
