//! Sockets of the clients and of the peer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::Context;
use callbox_sys::{count_lost, enable_gro};
use mio::net::UdpSocket;

use super::LoadArgs;

/// The size of the peer's buffers, in bytes.
const PEER_BUFFER: usize = 4 << 20;

/// Opens a client's socket.
pub(super) fn client(args: &LoadArgs) -> anyhow::Result<UdpSocket> {
    let any: IpAddr = match args.server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let at = SocketAddr::new(args.client_ip.unwrap_or(any), 0);
    let socket = UdpSocket::bind(at).map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("--client-ip {}: this machine has no such address", at.ip())
        }
        _ => anyhow::Error::from(error)
            .context("no socket for a client; is the limit of open files (`ulimit -n`) too low?"),
    })?;
    socket.connect(args.server).with_context(|| format!("--server {}", args.server))?;
    prepare(args, &socket);
    Ok(socket)
}

/// Opens the peer's socket, at the address of the clients unless the arguments have another.
pub(super) fn peer(args: &LoadArgs) -> anyhow::Result<UdpSocket> {
    let ip = match args.peer_ip {
        Some(ip) => ip,
        None => client(args)?.local_addr()?.ip(),
    };
    let at = SocketAddr::new(ip, args.peer_port);
    let peer = UdpSocket::bind(at).with_context(|| {
        format!(
            "--peer-ip, --peer-port: the peer cannot be at {at}; is it free, and of this machine?"
        )
    })?;
    // One socket takes the packets of all clients. A smaller buffer is no error.
    let socket = socket2::SockRef::from(&peer);
    socket.set_recv_buffer_size(PEER_BUFFER)?;
    socket.set_send_buffer_size(PEER_BUFFER)?;
    prepare(args, &peer);
    Ok(peer)
}

/// Lets a socket receive runs whole, and report lost datagrams. Where the system cannot, datagrams
/// come one by one, and losses are not known.
fn prepare(args: &LoadArgs, socket: &UdpSocket) {
    let _ = count_lost(socket);
    if args.gso {
        let _ = enable_gro(socket);
    }
}
