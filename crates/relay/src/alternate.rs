//! The second address and the second port of NAT behaviour discovery (RFC 5780).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use callbox_turn::Quartet;

use super::{
    StartError,
    listen::{self, Bound},
};

/// Binds the three listeners that complete the four of NAT behaviour discovery. The first of the
/// four is the first listener of the family of `ip` (on loopback only if `ip` is, too); the others
/// are that one with the next port, and `ip` with both ports. They are appended to the list. Each
/// worker has a socket for each, so that it can answer from any of them.
///
/// # Errors
/// [`StartError`] if there is no such listener, or if one of the three cannot be bound.
pub(super) fn bind(bound: &mut Bound, ip: IpAddr) -> Result<Quartet, StartError> {
    let fits = |own: &SocketAddr| {
        let is_similar =
            own.is_ipv4() == ip.is_ipv4() && own.ip().is_loopback() == ip.is_loopback();
        is_similar && own.ip() != ip
    };
    let at = bound.addresses.iter().position(fits).ok_or(StartError::Alternate(ip))?;
    let first = bound.addresses[at];
    let next = first.port().checked_add(1).ok_or(StartError::Alternate(ip))?;
    let mut quartet = [at as u16; 4];
    let three = [(first.ip(), next), (ip, first.port()), (ip, next)].map(SocketAddr::from);
    for (index, address) in quartet[1..].iter_mut().zip(three) {
        let taken = bound.addresses.iter().position(|own| *own == address);
        *index = match taken {
            Some(at) => at as u16,
            None => {
                add(bound, address).map_err(|source| StartError::Listen {
                    address,
                    protocol: "udp",
                    source,
                })?;
                bound.addresses.len() as u16 - 1
            }
        };
    }
    Ok(Quartet(quartet))
}

fn add(bound: &mut Bound, address: SocketAddr) -> io::Result<()> {
    let sockets = listen::bind_one(address, bound.sockets.len())?;
    bound.sockets.iter_mut().zip(sockets).for_each(|(all, one)| all.push(one));
    bound.addresses.push(address);
    Ok(())
}
