//! The addresses of the machine, from the kernel's routing tables, and notifications of their
//! changes (rtnetlink(7)).
//!
//! A machine accepts packets for more than the addresses of its interfaces: a route of type `local`
//! makes a whole network its own. So the routes are read, not the interfaces.

use std::{
    io::{self, Read},
    net::IpAddr,
    os::fd::AsRawFd,
    time::Duration,
};

use ipnet::IpNet;
use mio::{Interest, Registry, Token, unix::SourceFd};
use socket2::{Domain, Protocol, Socket, Type};

use super::options::set;

/// The size of the read buffer; the kernel sends at most 32 KiB at a time.
const BUFFER: usize = 64 << 10;

/// The header of a message (`struct nlmsghdr`).
const HEADER: usize = 16;

/// The header of a message about a route, which follows (`struct rtmsg`).
const ROUTE: usize = 12;

/// The number of attempts at a dump that changes while it is read.
const ATTEMPTS: usize = 5;

/// The longest time that the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

fn open() -> io::Result<Socket> {
    let domain = Domain::from(libc::AF_NETLINK);
    Socket::new(domain, Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))
}

/// Returns the networks whose packets the machine accepts as its own: its addresses, those of
/// loopback, and the destinations of other local routes.
///
/// # Errors
/// The system's error.
pub fn own_networks() -> io::Result<Vec<IpNet>> {
    let socket = open()?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Makes the kernel filter by type, where it can (since 4.20): a router has many other routes.
    let _ = set(&socket, libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1);
    let mut networks = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::RTN_LOCAL, libc::RTN_ANYCAST] {
            networks.extend(routes(&socket, family as u8, kind)?);
        }
    }
    Ok(networks)
}

fn routes(socket: &Socket, family: u8, kind: u8) -> io::Result<Vec<IpNet>> {
    for sequence in 0..ATTEMPTS as u32 {
        socket.send(&dump_request(family, kind, sequence))?;
        if let Some(routes) = read_dump(socket, kind, sequence)? {
            return Ok(routes);
        }
    }
    Err(io::Error::other("the routing table changed during every attempt to read it"))
}

/// Returns an RTM_GETROUTE request for all routes of a family and a type.
fn dump_request(family: u8, kind: u8, sequence: u32) -> [u8; HEADER + ROUTE] {
    let mut request = [0; HEADER + ROUTE];
    request[..4].copy_from_slice(&((HEADER + ROUTE) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&libc::RTM_GETROUTE.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[8..12].copy_from_slice(&sequence.to_ne_bytes());
    request[HEADER] = family;
    request[HEADER + 7] = kind;
    request
}

/// Reads the answer to the end. Returns `None` if the table has changed meanwhile.
fn read_dump(mut socket: &Socket, kind: u8, sequence: u32) -> io::Result<Option<Vec<IpNet>>> {
    let mut buffer = vec![0; BUFFER];
    let (mut networks, mut whole) = (Vec::new(), true);
    loop {
        let len = socket.read(&mut buffer)?;
        for message in messages(&buffer[..len]).filter(|message| message.sequence == sequence) {
            whole &= i32::from(message.flags) & libc::NLM_F_DUMP_INTR == 0;
            match i32::from(message.kind) {
                libc::NLMSG_DONE => return Ok(whole.then_some(networks)),
                libc::NLMSG_ERROR => {
                    let code =
                        message.body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ => networks.extend(message.route().filter(|(of, _)| *of == kind).map(|(_, n)| n)),
            }
        }
    }
}

/// A message from the kernel.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Message<'_> {
    /// Returns the type and the destination of the route that this message is about, if it is about
    /// one.
    fn route(&self) -> Option<(u8, IpNet)> {
        if ![libc::RTM_NEWROUTE, libc::RTM_DELROUTE].contains(&self.kind) {
            return None;
        }
        let (header, attributes) = self.body.split_at_checked(ROUTE)?;
        let (family, prefix, kind) = (i32::from(header[0]), header[1], header[7]);
        let destination = attribute(attributes, libc::RTA_DST);
        let ip = match family {
            libc::AF_INET => IpAddr::from(*destination?.first_chunk::<4>()?),
            libc::AF_INET6 => IpAddr::from(*destination?.first_chunk::<16>()?),
            _ => return None,
        };
        Some((kind, IpNet::new(ip, prefix).ok()?))
    }

    /// Returns true if this message reports a change of the machine's addresses.
    fn is_change(&self) -> bool {
        let of_address = [libc::RTM_NEWADDR, libc::RTM_DELADDR].contains(&self.kind);
        of_address
            || self
                .route()
                .is_some_and(|(kind, _)| [libc::RTN_LOCAL, libc::RTN_ANYCAST].contains(&kind))
    }
}

/// Returns the messages in a datagram of the kernel. Each begins at a multiple of four bytes.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let u16_at = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let (len, kind, flags) = (u32_at(0)? as usize, u16_at(4)?, u16_at(6)?);
        let message = Message { kind, flags, sequence: u32_at(8)?, body: bytes.get(HEADER..len)? };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Returns the value of an attribute (`struct rtattr`).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        if kind == wanted {
            return bytes.get(4..len);
        }
        bytes = bytes.get(len.max(4).next_multiple_of(4)..)?;
    }
}

/// The notifications of changes of the machine's addresses.
#[derive(Debug)]
pub struct AddressChanges(Socket);

impl AddressChanges {
    /// Subscribes to the notifications from now on.
    ///
    /// # Errors
    /// The system's error; a sandbox may forbid it.
    pub fn watch() -> io::Result<Self> {
        let socket = open()?;
        socket.set_nonblocking(true)?;
        // A message without a request: with the first one the kernel gives the socket an address,
        // without which it would take its own notifications for those of this socket.
        let mut nothing = [0; HEADER];
        nothing[..4].copy_from_slice(&(HEADER as u32).to_ne_bytes());
        nothing[4..6].copy_from_slice(&(libc::NLMSG_NOOP as u16).to_ne_bytes());
        socket.send(&nothing)?;
        for group in [
            libc::RTNLGRP_IPV4_IFADDR,
            libc::RTNLGRP_IPV4_ROUTE,
            libc::RTNLGRP_IPV6_IFADDR,
            libc::RTNLGRP_IPV6_ROUTE,
        ] {
            set(&socket, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group as libc::c_int)?;
        }
        Ok(Self(socket))
    }

    /// Registers the socket, so that a poll waits for notifications.
    ///
    /// # Errors
    /// The system's error.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.0.as_raw_fd()), token, Interest::READABLE)
    }

    /// Reads all notifications. Returns true if one of them reports a change, or if one that was
    /// lost may have.
    pub fn any(&mut self) -> bool {
        let mut buffer = vec![0; BUFFER];
        let mut any = false;
        loop {
            match self.0.read(&mut buffer) {
                Ok(len) => any |= messages(&buffer[..len]).any(|message| message.is_change()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return any,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // So many that the socket's buffer was full, or an error that will show up when the
                // addresses are read.
                Err(error) => {
                    any = true;
                    if error.raw_os_error() != Some(libc::ENOBUFS) {
                        return any;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_own_networks() {
        let networks = own_networks().unwrap();
        let has =
            |ip: &str| networks.iter().any(|net| net.contains(&ip.parse::<IpAddr>().unwrap()));
        assert!(has("127.0.0.1") && has("127.9.9.9"), "{networks:?}");
        assert!(!has("8.8.8.8"), "{networks:?}");
    }

    #[test]
    fn reading_ends_at_bytes_that_are_no_message() {
        for len in 0..HEADER {
            assert_eq!(messages(&vec![0; len]).count(), 0);
        }
        // A length of 0, and one that is longer than the bytes received.
        assert_eq!(messages(&[0; 64]).count(), 0);
        let mut request = dump_request(2, 2, 7).to_vec();
        assert_eq!(messages(&request).count(), 1);
        request[0] = 255;
        assert_eq!(messages(&request).count(), 0);
        for len in 0..8 {
            assert_eq!(attribute(&vec![0; len], 1), None);
        }
    }
}
