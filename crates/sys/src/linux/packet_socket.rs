//! Whole frames of one interface (packet(7)).

use std::{
    fs::File,
    io::{self, Read, Write},
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// The longest frame with its header for virtual devices: 64 KiB of payload that the sender leaves
/// to the device to segment.
const LONGEST: usize = 66_000;

/// A socket that receives each frame that arrives at an interface, and sends frames out of it.
///
/// Each frame begins with the header of virtual devices (`PACKET_VNET_HDR`): it says which
/// checksums are left to the device to fill in, so that a frame can be sent by another socket of
/// this type as it was received.
#[derive(Debug)]
pub struct PacketSocket(File);

impl PacketSocket {
    /// Opens a nonblocking socket on the interface with this index, in the network namespace of the
    /// calling thread.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`; `ENODEV` if there is no such interface.
    pub fn open(interface: u32) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Protocol 0: nothing arrives until the socket is bound to the interface.
        // SAFETY: the call takes no pointer.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        set(&socket, libc::PACKET_VNET_HDR)?;
        set(&socket, libc::PACKET_IGNORE_OUTGOING)?;
        // SAFETY: all fields of the structure are integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = i32::try_from(interface).map_err(io::Error::other)?;
        let length = mem::size_of_val(&address) as libc::socklen_t;
        // SAFETY: the pointer is to a structure of the length that is said.
        let bound = unsafe { libc::bind(raw, (&raw const address).cast(), length) };
        match bound {
            0 => Ok(Self(socket.into())),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns the next frame with its header.
    ///
    /// # Errors
    /// `WouldBlock` if there is none now; `ENETDOWN` if the interface is down.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; LONGEST];
        let length = (&self.0).read(&mut frame)?;
        frame.truncate(length);
        Ok(frame)
    }

    /// Sends a frame as one of these sockets received it.
    ///
    /// # Errors
    /// `WouldBlock` if the queue of the interface is full; `ENETDOWN` if it is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.0).write(frame).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Turns an option of packet sockets on.
fn set(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = mem::size_of_val(&on) as libc::socklen_t;
    // SAFETY: the pointer is to an integer of the length that is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
