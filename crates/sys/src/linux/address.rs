//! Conversion of socket addresses from and to the kernel's structs.

use std::{
    mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

pub(super) fn read(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
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

/// Writes an address and returns its length.
pub(super) fn write(name: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
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
