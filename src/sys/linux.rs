//! `recvmmsg`, `sendmmsg`, `UDP_GRO` and `UDP_SEGMENT`.
#![allow(unsafe_code, reason = "system calls that no kept crate makes in batches")]

use std::{
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::AsRawFd,
    ptr,
};

use super::{Received, Transmit};

/// Room for one control message that carries a segment size.
const CONTROL: usize = 32;

/// A control buffer, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Lets the kernel hand over several datagrams of one source and one length as one.
///
/// # Errors
/// If the kernel cannot (before 5.0).
pub fn enable_gro(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that lives through the call, and its size is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Buffers for many datagrams, received with one call.
pub struct ReceiveBatch {
    slot: usize,
    headroom: usize,
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
    /// Buffers for `slots` reads of up to `len` bytes, each with `headroom` bytes free in front.
    pub fn new(slots: usize, len: usize, headroom: usize) -> Self {
        let slot = headroom + len;
        // SAFETY: all zeros is a valid value of each of these C structs.
        let (name, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut batch = Self {
            slot,
            headroom,
            buffer: vec![0; slots * slot].into(),
            names: vec![name; slots].into(),
            controls: vec![Control([0; CONTROL]); slots].into(),
            vectors: vec![vector; slots].into(),
            headers: vec![header; slots].into(),
        };
        let base = batch.buffer.as_mut_ptr();
        for at in 0..slots {
            // SAFETY: slot `at` lies within the buffer, and its payload within the slot.
            let payload = unsafe { base.add(at * slot + headroom) };
            batch.vectors[at] = libc::iovec { iov_base: payload.cast(), iov_len: len };
            let header = &mut batch.headers[at].msg_hdr;
            header.msg_name = (&raw mut batch.names[at]).cast();
            header.msg_iov = &raw mut batch.vectors[at];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut batch.controls[at]).cast();
        }
        batch
    }

    /// Receives what there is, without waiting. Gives how many slots were filled.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if there was nothing.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the headers lead to live buffers of the lengths that they tell (see `new`), and
        // nothing else uses them during the call, since `self` is borrowed mutably.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// What stands in a slot that the last [`ReceiveBatch::receive`] filled. `None` for a source
    /// that is no internet address.
    pub fn received(&self, at: usize) -> Option<Received> {
        let header = &self.headers[at];
        let len = header.msg_len as usize;
        let source = read_address(&self.names[at])?;
        let segment = read_segment(&header.msg_hdr).filter(|s| *s > 0).unwrap_or(len);
        Some(Received { source, len, segment })
    }

    /// The bytes of a slot, headroom first.
    pub fn slot(&mut self, at: usize) -> &mut [u8] {
        &mut self.buffer[at * self.slot..(at + 1) * self.slot]
    }

    /// The received bytes of a slot.
    pub fn bytes(&self, at: usize) -> &[u8] {
        let start = at * self.slot + self.headroom;
        &self.buffer[start..start + self.headers[at].msg_len as usize]
    }
}

/// The segment size that the kernel reports (`UDP_GRO`).
fn read_segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled the control buffer and told its length, and the macros stay
    // within it. A `UDP_GRO` message carries an int.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_UDP && (*message).cmsg_type == libc::UDP_GRO {
                let size = ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::c_int>());
                return usize::try_from(size).ok();
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

fn read_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in, which is smaller.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6, which is smaller.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Datagrams to be sent with one call (`sendmmsg`), each alone or as a run of equal lengths that
/// the kernel takes apart (`UDP_SEGMENT`).
///
/// It holds places in a buffer, not the bytes: they are sent from where they stand.
#[derive(Default)]
pub struct SendBatch {
    transmits: Vec<Transmit>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `vectors` and `headers` are written and used within one call of `send`.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Adds what is to be sent.
    pub fn push(&mut self, transmit: Transmit) {
        self.transmits.push(transmit);
    }

    /// Sends everything from `buffer` and forgets it. Gives how many of the transmits the system
    /// took; it stops at the first that it does not.
    ///
    /// # Errors
    /// What the system says of the first one.
    ///
    /// # Panics
    /// If a transmit does not lie within `buffer`.
    pub fn send(&mut self, socket: &impl AsRawFd, buffer: &[u8]) -> io::Result<usize> {
        let count = self.transmits.len();
        // SAFETY: all zeros is a valid value of each of these C structs.
        let (name, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        self.names.resize(count, name);
        self.controls.resize(count, Control([0; CONTROL]));
        self.vectors.resize(count, vector);
        self.headers.resize(count, header);
        for (at, transmit) in self.transmits.iter().enumerate() {
            let bytes = &buffer[transmit.start..transmit.start + transmit.len];
            let base = bytes.as_ptr().cast_mut().cast();
            self.vectors[at] = libc::iovec { iov_base: base, iov_len: bytes.len() };
            let header = &mut self.headers[at].msg_hdr;
            *header = empty_header();
            if let Some(to) = transmit.to {
                header.msg_namelen = write_address(&mut self.names[at], to);
                header.msg_name = (&raw mut self.names[at]).cast();
            }
            header.msg_iov = &raw mut self.vectors[at];
            header.msg_iovlen = 1;
            if transmit.segment < transmit.len {
                header.msg_control = (&raw mut self.controls[at]).cast();
                write_segment(header, transmit.segment as u16);
            }
        }
        self.transmits.clear();
        // SAFETY: the headers lead to names, vectors and controls of `self`, and those to `buffer`;
        // all live through the call, and the kernel only reads them.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as u32,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: all zeros is a header without name, data or control messages.
    unsafe { mem::zeroed() }
}

/// Puts a segment size (`UDP_SEGMENT`) into the control buffer of a header.
fn write_segment(header: &mut libc::msghdr, segment: u16) {
    // SAFETY: the header has a control buffer of `CONTROL` bytes, which is more than the space of
    // one message with a u16, and the macros stay within it.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(mem::size_of::<u16>() as u32) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
        ptr::write_unaligned(libc::CMSG_DATA(message).cast::<u16>(), segment);
    }
}

fn write_address(name: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a sockaddr_in is smaller than the storage, and as aligned.
            let slot = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in>() };
            slot.sin_family = libc::AF_INET as _;
            slot.sin_port = v4.port().to_be();
            slot.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            mem::size_of::<libc::sockaddr_in>() as _
        }
        SocketAddr::V6(v6) => {
            // SAFETY: a sockaddr_in6 is smaller than the storage, and as aligned.
            let slot = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in6>() };
            slot.sin6_family = libc::AF_INET6 as _;
            slot.sin6_port = v6.port().to_be();
            slot.sin6_addr.s6_addr = v6.ip().octets();
            slot.sin6_flowinfo = v6.flowinfo();
            slot.sin6_scope_id = v6.scope_id();
            mem::size_of::<libc::sockaddr_in6>() as _
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap())
    }

    #[test]
    fn what_is_sent_in_a_batch_is_received_in_one() {
        for ip in ["127.0.0.1", "::1"] {
            let (from, to) = pair(ip);
            let mut batch = SendBatch::default();
            let address = Some(to.local_addr().unwrap());
            for at in 0..5 {
                batch.push(Transmit::one(address, at, 3));
            }
            assert_eq!(batch.send(&from, b"abcdefg").unwrap(), 5);
            let mut received = ReceiveBatch::new(8, 100, 4);
            assert_eq!(received.receive(&to).unwrap(), 5);
            for at in 0..5 {
                let source = from.local_addr().unwrap();
                let expected = Received { source, len: 3, segment: 3 };
                assert_eq!(received.received(at), Some(expected));
                assert_eq!(received.bytes(at), &b"abcdefg"[at..at + 3]);
                assert_eq!(received.slot(at).len(), 104);
            }
            let empty = received.receive(&to).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_run_is_taken_apart_and_put_together_again() {
        let (from, to) = pair("127.0.0.1");
        let address = Some(to.local_addr().unwrap());
        let run = || {
            let mut batch = SendBatch::default();
            batch.push(Transmit::run(address, 0, 10, 4));
            assert_eq!(batch.send(&from, b"abcdefghij").unwrap(), 1);
        };
        let mut received = ReceiveBatch::new(8, 100, 0);
        run();
        assert_eq!(received.receive(&to).unwrap(), 3);
        assert_eq!([received.bytes(0), received.bytes(2)], [&b"abcd"[..], b"ij"]);
        enable_gro(&to).unwrap();
        run();
        assert_eq!(received.receive(&to).unwrap(), 1);
        let got = received.received(0).unwrap();
        assert_eq!((got.len, got.segment, received.bytes(0)), (10, 4, &b"abcdefghij"[..]));
    }

    #[test]
    fn a_batch_that_cannot_be_sent_says_so_and_is_gone() {
        let (from, _to) = pair("127.0.0.1");
        let mut batch = SendBatch::default();
        batch.push(Transmit::one(Some("[::1]:9".parse().unwrap()), 0, 1));
        assert!(batch.send(&from, b"x").is_err());
        assert_eq!(batch.send(&from, b"x").unwrap(), 0);
    }
}
