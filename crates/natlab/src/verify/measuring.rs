//! The measurement, by NAT behavior discovery (RFC 5780).

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use super::{
    asker::Asker,
    measured::{Measured, Udp},
};
use crate::{
    error::{LabError, Tried},
    kind::Behavior,
};

/// The number of mappings by which the choice of ports is judged: so many random ports do not all
/// have the right parity.
const MAPPINGS: usize = 24;

/// The most routers on a way.
const MOST_ROUTERS: u32 = 4;

/// The longest lifetime of a mapping that is waited for.
const LONGEST_LIFETIME: Duration = Duration::from_secs(10);

/// The time in which a connection is accepted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The server's addresses for discovery: the main one, another address with the same port, and
/// another address with another port.
#[derive(Debug, Clone, Copy)]
struct Servers {
    main: SocketAddr,
    other_address: SocketAddr,
    other_both: SocketAddr,
}

impl Servers {
    /// Reads them from the environment of a side.
    fn from_environment() -> Option<Self> {
        let main = env::var("NATLAB_STUN").ok()?;
        let main = main.strip_prefix("stun:")?.parse::<SocketAddr>().ok()?;
        let others = env::var("NATLAB_STUN_OTHER").ok()?;
        let others: Vec<SocketAddr> =
            others.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        let is_elsewhere = |other: &&SocketAddr| other.ip() != main.ip();
        let find = |same_port: bool| {
            let fits = |other: &&SocketAddr| (other.port() == main.port()) == same_port;
            others.iter().filter(is_elsewhere).find(fits).copied()
        };
        Some(Self { main, other_address: find(true)?, other_both: find(false)? })
    }
}

/// Measures the network of the side that this process is on. A mapping with this lifetime is
/// measured by it.
pub(crate) fn measure(lifetime: Duration) -> Result<Measured, LabError> {
    let servers = Servers::from_environment().ok_or_else(|| {
        LabError::new("NATLAB_STUN and NATLAB_STUN_OTHER are needed: the lab's own server has them")
    })?;
    let failed = "cannot measure";
    thread::scope(|scope| {
        let udp = scope.spawn(|| measure_udp(servers, lifetime));
        let reach = |port| scope.spawn(move || connects(SocketAddr::new(servers.main.ip(), port)));
        let (tcp, tls) = (reach(servers.main.port()), reach(443));
        let target = SocketAddr::new(servers.main.ip(), 443);
        let proxy = env::var("NATLAB_PROXY").ok();
        let proxy = proxy.map(|proxy| scope.spawn(move || connects_by(&proxy, target)));
        Ok(Measured {
            udp: join(udp)?.tried(failed)?,
            tcp: join(tcp)?,
            tls: join(tls)?,
            proxy: proxy.map(join).transpose()?,
        })
    })
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T, LabError> {
    thread.join().map_err(|_| LabError::new("a measurement has failed"))
}

fn connects(server: SocketAddr) -> bool {
    TcpStream::connect_timeout(&server, CONNECT_TIMEOUT).is_ok()
}

/// Returns true if a proxy connects to the target.
fn connects_by(proxy: &str, target: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let proxy = proxy.trim_start_matches("http://").parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&proxy, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        write!(&stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")?;
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status)?;
        Ok(status.split(' ').nth(1) == Some("200"))
    };
    ask().unwrap_or(false)
}

fn measure_udp(servers: Servers, lifetime: Duration) -> io::Result<Option<Udp>> {
    let mut first = Asker::new(servers.main)?;
    let Some(mapped) = first.mapped(servers.main)? else {
        return Ok(None);
    };
    // The host's address is that of a socket which is connected to the server.
    let probe = Asker::new(servers.main)?;
    probe.socket().connect(servers.main)?;
    let own = probe.socket().local_addr()?.ip();
    let is_translated = mapped.ip() != own;
    thread::scope(|scope| {
        let filtering = scope.spawn(|| filtering(servers));
        let hairpin = scope.spawn(|| hairpin(servers));
        let after = |factor| {
            let time = lifetime.mul_f64(factor);
            let alive = scope.spawn(move || is_alive_after(servers, time));
            (time, alive)
        };
        let lifetimes =
            (is_translated && lifetime <= LONGEST_LIFETIME).then(|| [after(0.6), after(1.4)]);
        let routers = servers.main.is_ipv4().then(|| scope.spawn(|| routers(servers)));
        let mapping = mapping(&mut first, mapped, servers)?;
        let mut ports = vec![(first.port()?, mapped.port())];
        for _ in 1..MAPPINGS {
            let mut asker = Asker::new(servers.main)?;
            if let Some(mapped) = asker.mapped(servers.main)? {
                ports.push((asker.port()?, mapped.port()));
            }
        }
        let lifetime = match lifetimes {
            Some([(early, is_there), (late, is_still_there)]) => {
                Some((early, done(is_there)?, late, done(is_still_there)?))
            }
            None => None,
        };
        Ok(Some(Udp {
            mapped,
            is_translated,
            mapping,
            filtering: done(filtering)?,
            ports,
            hairpin: done(hairpin)?,
            lifetime,
            routers: routers.map(done).transpose()?,
        }))
    })
}

fn done<T>(thread: thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a measurement has failed"))?
}

/// Compares the mapped addresses of one socket at three endpoints (RFC 5780 §4.3).
fn mapping(asker: &mut Asker, first: SocketAddr, servers: Servers) -> io::Result<Behavior> {
    let no_answer = || io::Error::other("the second address of the server does not answer");
    let second = asker.mapped(servers.other_address)?.ok_or_else(no_answer)?;
    let third = asker.mapped(servers.other_both)?.ok_or_else(no_answer)?;
    Ok(match (first == second, second == third) {
        (true, true) => Behavior::EndpointIndependent,
        (false, true) => Behavior::AddressDependent,
        (_, false) => Behavior::AddressAndPortDependent,
    })
}

/// Lets a server answer from elsewhere (RFC 5780 §4.4).
fn filtering(servers: Servers) -> io::Result<Behavior> {
    if Asker::new(servers.main)?.gets_from_elsewhere(servers.main, true)? {
        return Ok(Behavior::EndpointIndependent);
    }
    // Nothing was sent to the other address from this socket.
    match Asker::new(servers.main)?.gets_from_elsewhere(servers.main, false)? {
        true => Ok(Behavior::AddressDependent),
        false => Ok(Behavior::AddressAndPortDependent),
    }
}

/// Sends a packet from one mapping to another (RFC 5780 §4.5).
fn hairpin(servers: Servers) -> io::Result<bool> {
    let (mut one, mut other) = (Asker::new(servers.main)?, Asker::new(servers.main)?);
    let Some(mapped) = one.mapped(servers.main)? else {
        return Ok(false);
    };
    other.mapped(servers.main)?;
    let packet = b"natlab hairpin";
    match other.socket().send_to(packet, mapped) {
        Ok(_) => one.receives_packet(packet),
        Err(_) => Ok(false),
    }
}

/// Returns true if a mapping that was not used for some time still lets an answer in (RFC 5780
/// §4.6).
fn is_alive_after(servers: Servers, time: Duration) -> io::Result<bool> {
    let (mut one, mut other) = (Asker::new(servers.main)?, Asker::new(servers.main)?);
    let Some(mapped) = one.mapped(servers.main)? else {
        return Ok(false);
    };
    thread::sleep(time);
    let request = other.direct_answer(servers.main, mapped.port())?;
    one.receives(request)
}

/// Returns the number of routers on the way to the server: the fewest hops that reach it, less one.
fn routers(servers: Servers) -> io::Result<u32> {
    for hops in 1..=MOST_ROUTERS {
        let mut asker = Asker::new(servers.main)?;
        asker.socket().set_ttl(hops)?;
        if asker.reaches(servers.main)? {
            return Ok(hops - 1);
        }
    }
    Ok(MOST_ROUTERS)
}
