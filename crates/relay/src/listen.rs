//! The addresses that the relay listens on.
//!
//! An unspecified address is expanded into the addresses that the machine has: an answer must come
//! from the address that was asked, and a relayed address must be on one that exists. `[::]` stands
//! for those of both families, as a dual-stack socket would.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use mio::net::UdpSocket;

use super::{StartError, sockets};

/// The bound listeners.
pub(super) struct Bound {
    /// The addresses of the listeners, with the actual ports.
    pub addresses: Vec<SocketAddr>,
    /// For each worker one socket for each address.
    pub sockets: Vec<Vec<UdpSocket>>,
    /// A TCP listener for each address.
    pub tcp: Vec<TcpListener>,
}

/// The number of free UDP ports that are tried until one is free for TCP, too.
const ATTEMPTS: usize = 16;

/// Binds every address once for each worker.
pub(super) fn bind(listen: &[SocketAddr], workers: usize) -> Result<Bound, StartError> {
    bind_on(listen, workers, &machine_addresses()?)
}

/// Binds the listeners on a machine that has these addresses.
fn bind_on(listen: &[SocketAddr], workers: usize, machine: &[IpAddr]) -> Result<Bound, StartError> {
    let mut bound = Bound {
        addresses: Vec::new(),
        sockets: (0..workers).map(|_| Vec::new()).collect(),
        tcp: Vec::new(),
    };
    for &wanted in listen {
        let mut addresses = expand(wanted, machine);
        if takes_ipv4(wanted, listen) {
            if addresses.is_empty() {
                tracing::warn!("--listen {wanted}: this machine has IPv4 addresses alone");
            }
            addresses.extend(expand((Ipv4Addr::UNSPECIFIED, wanted.port()).into(), machine));
        }
        for address in addresses {
            if bound.addresses.contains(&address) {
                continue;
            }
            match bind_both(address, workers) {
                Ok((sockets, tcp)) => {
                    let real = sockets[0].local_addr()?;
                    tracing::debug!(address = %real, "listening for STUN and TURN");
                    bound.addresses.push(real);
                    bound.tcp.push(tcp);
                    bound.sockets.iter_mut().zip(sockets).for_each(|(all, one)| all.push(one));
                }
                // An address that was listed with the interface may be gone or not ready yet.
                Err((_, error))
                    if wanted.ip().is_unspecified()
                        && error.kind() == io::ErrorKind::AddrNotAvailable =>
                {
                    tracing::warn!(%address, %error, "this address is left out");
                }
                // As a dual-stack socket on `[::]` would without IPv4, the relay serves the
                // addresses that it can have; but it logs the others.
                Err((protocol, error))
                    if address.is_ipv4() != wanted.is_ipv4()
                        && error.kind() == io::ErrorKind::AddrInUse =>
                {
                    tracing::warn!(
                        %address, protocol, %error,
                        "--listen {wanted} does not take IPv4 here; free the port, or name the \
                         addresses to listen on"
                    );
                }
                Err((protocol, source)) => {
                    return Err(StartError::Listen { address, protocol, source });
                }
            }
        }
    }
    if bound.addresses.is_empty() {
        return Err(StartError::NoAddress(listen.to_vec()));
    }
    Ok(bound)
}

/// Binds both protocols on the same port: with port 0, one that is free for both.
fn bind_both(
    address: SocketAddr,
    workers: usize,
) -> Result<(Vec<UdpSocket>, TcpListener), (&'static str, io::Error)> {
    let attempt = || {
        let udp = bind_one(address, workers).map_err(|error| ("udp", error))?;
        let real = udp[0].local_addr().map_err(|error| ("udp", error))?;
        let tcp = sockets::listen_tcp(real).map_err(|error| ("tcp", error))?;
        Ok((udp, tcp))
    };
    for _ in 1..ATTEMPTS {
        match attempt() {
            // Another program may have taken the TCP port whose UDP port was free.
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 => {}
            bound => return bound,
        }
    }
    attempt()
}

pub(super) fn bind_one(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    if workers == 1 {
        return Ok(vec![sockets::listen(address, false)?]);
    }
    // Sockets that share an address would share it with another callbox, too, which would get half
    // of the clients: so the address must be free first.
    let real = sockets::listen(address, false)?.local_addr()?;
    (0..workers).map(|_| sockets::listen(real, true)).collect()
}

/// Returns true if an address stands for those of IPv4, too: `[::]` does, unless IPv4 addresses
/// with its port are listed beside it.
pub fn takes_ipv4(wanted: SocketAddr, listen: &[SocketAddr]) -> bool {
    let named =
        |other: &SocketAddr| other.is_ipv4() && other.port() == wanted.port() && wanted.port() != 0;
    wanted.is_ipv6() && wanted.ip().is_unspecified() && !listen.iter().any(named)
}

/// Returns the addresses of the same family that an address stands for.
fn expand(wanted: SocketAddr, machine: &[IpAddr]) -> Vec<SocketAddr> {
    if !wanted.ip().is_unspecified() {
        return vec![wanted];
    }
    let family = |ip: &&IpAddr| ip.is_ipv4() == wanted.is_ipv4();
    machine.iter().filter(family).map(|ip| SocketAddr::new(*ip, wanted.port())).collect()
}

/// Returns an address of `listen`, followed by `0.0.0.0` if it is a `[::]` that takes IPv4 as well.
pub fn with_ipv4(wanted: SocketAddr, listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let v4 = takes_ipv4(wanted, listen);
    let v4 = v4.then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port())));
    [wanted].into_iter().chain(v4).collect()
}

/// Returns the same listeners, followed by the concrete addresses of those that are unspecified.
pub(super) fn with_every_address(mut listeners: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let machine = machine_addresses()?;
    let everywhere = listeners.iter().filter(|at| at.ip().is_unspecified());
    let concrete: Vec<_> = everywhere.flat_map(|at| expand(*at, &machine)).collect();
    listeners.extend(concrete);
    Ok(listeners)
}

/// Returns every address of the machine that a client can reach. Link-local ones are left out,
/// since they would need a scope.
pub(super) fn machine_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for interface in webrtc_util::ifaces::ifaces()? {
        let Some(ip) = interface.addr.map(|address| address.ip()) else { continue };
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if !link_local && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_means_every_address_of_its_family() {
        let machine = ["127.0.0.1", "::1", "192.0.2.1"].map(|ip| ip.parse().unwrap());
        let expand = |text: &str| {
            super::expand(text.parse().unwrap(), &machine)
                .iter()
                .map(SocketAddr::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(expand("0.0.0.0:7"), ["127.0.0.1:7", "192.0.2.1:7"]);
        assert_eq!(expand("[::]:7"), ["[::1]:7"]);
        assert_eq!(expand("10.0.0.1:7"), ["10.0.0.1:7"]);
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_unless_that_is_listed_beside_it() {
        let takes_ipv4 = |listen: &[&str]| {
            let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
            super::takes_ipv4(listen[0], &listen)
        };
        assert!(takes_ipv4(&["[::]:7"]));
        assert!(takes_ipv4(&["[::]:7", "0.0.0.0:8", "[2001:db8::1]:7"]));
        assert!(takes_ipv4(&["[::]:0", "192.0.2.1:0"]));
        assert!(!takes_ipv4(&["[::]:7", "0.0.0.0:7"]));
        assert!(!takes_ipv4(&["[::]:7", "192.0.2.1:7"]));
        assert!(!takes_ipv4(&["[::1]:7"]));
        assert!(!takes_ipv4(&["0.0.0.0:7"]));
    }

    #[test]
    fn the_unspecified_ipv6_address_may_lack_its_ipv4_part_but_not_the_other() {
        let machine = ["::1", "127.0.0.1"].map(|ip| ip.parse().unwrap());
        let addresses = |listen: &str| {
            let bound = bind_on(&[listen.parse().unwrap()], 1, &machine);
            bound.map(|bound| bound.addresses)
        };
        let ips: Vec<_> = addresses("[::]:0").unwrap().iter().map(SocketAddr::ip).collect();
        assert_eq!(ips, machine);
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let left = addresses(&format!("[::]:{port}")).unwrap();
        assert_eq!(left, [SocketAddr::new(machine[0], port)]);
        assert!(addresses(&format!("0.0.0.0:{port}")).is_err());
    }

    #[test]
    fn an_address_in_use_is_detected_with_many_workers_too() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
        for workers in [1, 2] {
            let again = bind(&first.addresses, workers);
            let Err(StartError::Listen { source, .. }) = again else {
                panic!("{workers} workers took an address that was in use");
            };
            assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
        }
    }
}
