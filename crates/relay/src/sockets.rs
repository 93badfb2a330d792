//! Making sockets.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use callbox_sys as sys;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Lets the system hand over a run of datagrams as one and tell what was lost and each one's class,
/// where it can.
fn prepare(socket: &Socket, v4: bool) {
    // Where it cannot, each comes alone, what is lost is not known, and all have the default class.
    let _ = sys::enable_gro(socket);
    let _ = sys::count_lost(socket);
    let _ = sys::tell_class(socket, v4);
}

/// What is asked for as receive and send buffer of a listener, which many clients share. The
/// system gives what its limits allow.
const LISTENER_BUFFER: usize = 4 << 20;

fn new(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // One family a socket: a v4-mapped peer would slip past the peer policy.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    prepare(&socket, address.is_ipv4());
    Ok(socket)
}

/// The same for the socket of an allocation: one client's share.
const RELAY_BUFFER: usize = 1 << 20;

/// Opens the socket of an allocation; with `errors` the system keeps the ICMP errors that its
/// datagrams meet with, where it can.
pub(super) fn open(address: SocketAddr, errors: bool) -> io::Result<UdpSocket> {
    let socket = new(address)?;
    if errors {
        let _ = sys::keep_errors(&socket, address.is_ipv4());
    }
    socket.set_recv_buffer_size(RELAY_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Opens a second socket on the address of an allocation's, connected to one of its peers. What the
/// peer sends comes to this one from then on; and the system remembers the way there, which it
/// looks up for each datagram otherwise.
///
/// # Errors
/// What the system says; of Linux alone it is known that connected sockets go first.
pub(super) fn open_direct(
    relay: &UdpSocket,
    peer: SocketAddr,
    errors: bool,
) -> io::Result<UdpSocket> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let address = relay.local_addr()?;
    let relay = SockRef::from(relay);
    let connected = new(address)?;
    if errors {
        let _ = sys::keep_errors(&connected, address.is_ipv4());
    }
    connected.set_recv_buffer_size(RELAY_BUFFER)?;
    // Only for this moment, so that nothing else can have the address too.
    relay.set_reuse_address(true)?;
    let opened = connected
        .set_reuse_address(true)
        .and_then(|()| connected.bind(&address.into()))
        .and_then(|()| connected.connect(&peer.into()))
        .and_then(|()| connected.set_reuse_address(false));
    relay.set_reuse_address(false)?;
    opened?;
    Ok(UdpSocket::from_std(connected.into()))
}

/// Opens a listener; `shared` lets other sockets of this process listen on the same address.
pub(super) fn listen(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = new(address)?;
    if shared {
        share(&socket, true)?;
    }
    // Less than was asked for is no error.
    socket.set_recv_buffer_size(LISTENER_BUFFER)?;
    socket.set_send_buffer_size(LISTENER_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// How many connections may wait to be accepted; the system has a limit of its own.
const BACKLOG: i32 = 1024;

/// Opens a listener of TCP for the family of its address.
///
/// # Errors
/// What the system says.
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    listen_tcp_for(address, false)
}

/// Opens a listener of TCP on `[::]` that takes IPv4, too.
///
/// # Errors
/// The system's error, `AddrInUse` if the port is taken in either family.
pub fn listen_tcp_dual(address: SocketAddr) -> io::Result<TcpListener> {
    listen_tcp_for(address, true)
}

fn listen_tcp_for(address: SocketAddr, takes_ipv4: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!takes_ipv4)?;
    }
    // On Windows this would let others in; elsewhere it is what lets a server come up again while
    // the system still remembers connections of the last one.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens the listener of an allocation of TCP. Nothing else can have its address.
///
/// # Errors
/// What the system says, `AddrInUse` if somebody has the address.
pub(super) fn listen_for_peers(address: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = peer_socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

/// Begins to connect to a peer from the address of an allocation of TCP, which is its listener's.
///
/// # Errors
/// What the system says.
pub(super) fn connect_from(
    listener: &mio::net::TcpListener,
    from: SocketAddr,
    to: SocketAddr,
) -> io::Result<mio::net::TcpStream> {
    let (listener, socket) = (SockRef::from(listener), peer_socket(from)?);
    socket.set_tcp_nodelay(true)?;
    // Only for this moment, so that nothing else can have the address too.
    share(&listener, true)?;
    let bound = share(&socket, true).and_then(|()| socket.bind(&from.into()));
    share(&listener, false)?;
    bound?;
    match socket.connect(&to.into()) {
        Err(error) if !is_in_progress(&error) => Err(error),
        _ => Ok(mio::net::TcpStream::from_std(socket.into())),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    let in_progress = cfg!(unix) && error.raw_os_error() == Some(libc::EINPROGRESS);
    in_progress || error.kind() == io::ErrorKind::WouldBlock
}

fn peer_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The system remembers the connections of whoever had the address before.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Lets other sockets of this user have the same address, or no longer.
#[cfg(unix)]
fn share(socket: &Socket, shared: bool) -> io::Result<()> {
    socket.set_reuse_port(shared)
}

#[cfg(not(unix))]
fn share(_: &Socket, _: bool) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has one worker only: --workers 1"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind::AddrInUse;

    use super::*;

    #[test]
    fn nobody_shares_the_address_of_an_allocation() {
        for ip in ["127.0.0.1", "::1"] {
            let any = SocketAddr::new(ip.parse().unwrap(), 0);
            let listener = listen_for_peers(any).unwrap();
            let address = listener.local_addr().unwrap();
            // Of another server of the same user as well.
            let taken = || listen_for_peers(address).unwrap_err().kind() == AddrInUse;
            assert!(taken());
            let peer = TcpListener::bind(any).unwrap();
            let to = peer.local_addr().unwrap();
            let connected = connect_from(&listener, address, to).unwrap();
            assert_eq!(peer.accept().unwrap().1, address);
            assert!(taken(), "after a connection");
            // A second one while there is a first.
            let peer = TcpListener::bind(any).unwrap();
            connect_from(&listener, address, peer.local_addr().unwrap()).unwrap();
            assert_eq!(peer.accept().unwrap().1, address);
            drop((listener, connected));
            // What the system remembers of it does not keep it from the next.
            assert_eq!(listen_for_peers(address).unwrap().local_addr().unwrap(), address);
        }
    }
}
