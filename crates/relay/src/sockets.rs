//! Creation of sockets with the options that the relay needs.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use callbox_sys as sys;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Enables the delivery of runs of datagrams (GRO), the count of lost datagrams and the report of
/// each datagram's class, where the system supports them.
fn prepare(socket: &Socket, v4: bool) {
    // Without support each datagram comes alone, losses are unknown, and all have the default
    // class.
    let _ = sys::enable_gro(socket);
    let _ = sys::count_lost(socket);
    let _ = sys::tell_class(socket, v4);
}

/// The receive and send buffer size that is requested for a listener, which many clients share. The
/// system grants what its limits allow.
const LISTENER_BUFFER: usize = 4 << 20;

fn new(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Each socket serves one family: a v4-mapped peer would bypass the peer policy.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    prepare(&socket, address.is_ipv4());
    Ok(socket)
}

/// The buffer size that is requested for the socket of an allocation: one client's share.
const RELAY_BUFFER: usize = 1 << 20;

/// Opens the socket of an allocation; with `errors` the system keeps the ICMP errors that its
/// datagrams cause, where it can.
pub(super) fn open(address: SocketAddr, errors: bool) -> io::Result<UdpSocket> {
    let socket = new(address)?;
    if errors {
        let _ = sys::keep_errors(&socket, address.is_ipv4());
    }
    socket.set_recv_buffer_size(RELAY_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Opens a second socket on the address of an allocation's, connected to one of its peers.
/// Datagrams from that peer arrive on this one from then on, and the system caches the route, which
/// it looks up for each datagram otherwise.
///
/// # Errors
/// The system's error; `Unsupported` anywhere but on Linux: only there connected sockets are known
/// to have precedence.
pub(super) fn open_connected(
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
    // Set only for this moment, so that nothing else can share the address.
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
    // A buffer smaller than requested is no error.
    socket.set_recv_buffer_size(LISTENER_BUFFER)?;
    socket.set_send_buffer_size(LISTENER_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// The number of connections that may wait to be accepted; the system has a limit of its own.
const BACKLOG: i32 = 1024;

/// Opens a TCP listener for the family of its address.
///
/// # Errors
/// The system's error.
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    listen_tcp_for(address, false)
}

/// Opens a TCP listener on `[::]` that takes IPv4, too.
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
    // On Windows this would let others share the address; elsewhere it lets a server start again
    // while the system still remembers connections of the last one.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens the listener of a TCP allocation. Nothing else can have its address.
///
/// # Errors
/// The system's error, `AddrInUse` if the address is taken.
pub(super) fn listen_for_peers(address: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = peer_socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

/// Begins to connect to a peer from the address of a TCP allocation, which its listener has, too.
///
/// # Errors
/// The system's error.
pub(super) fn connect_from(
    listener: &mio::net::TcpListener,
    from: SocketAddr,
    to: SocketAddr,
) -> io::Result<mio::net::TcpStream> {
    let (listener, socket) = (SockRef::from(listener), peer_socket(from)?);
    socket.set_tcp_nodelay(true)?;
    // Set only for this moment, so that nothing else can share the address.
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
    // The system may still remember connections of the previous user of the address.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Allows other sockets of this user to share the address, or forbids it.
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
    fn no_other_socket_shares_the_address_of_an_allocation() {
        for ip in ["127.0.0.1", "::1"] {
            let any = SocketAddr::new(ip.parse().unwrap(), 0);
            let listener = listen_for_peers(any).unwrap();
            let address = listener.local_addr().unwrap();
            // This includes another server of the same user.
            let taken = || listen_for_peers(address).unwrap_err().kind() == AddrInUse;
            assert!(taken());
            let peer = TcpListener::bind(any).unwrap();
            let to = peer.local_addr().unwrap();
            let connected = connect_from(&listener, address, to).unwrap();
            assert_eq!(peer.accept().unwrap().1, address);
            assert!(taken(), "after a connection");
            // A second connection is made while the first is open.
            let peer = TcpListener::bind(any).unwrap();
            connect_from(&listener, address, peer.local_addr().unwrap()).unwrap();
            assert_eq!(peer.accept().unwrap().1, address);
            drop((listener, connected));
            // Connections that the system remembers do not block the next listener.
            assert_eq!(listen_for_peers(address).unwrap().local_addr().unwrap(), address);
        }
    }
}
