//! A client of NAT behavior discovery (RFC 5780): an answer may come from an address that was not
//! asked.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    answer::Answer,
    client::RTO,
    link::{any_port, is_timeout},
    request::Request,
    target::Target,
    verdict::{Fault, Verdict},
};

/// An unconnected UDP socket that sends requests.
pub(super) struct Asker<'t> {
    target: &'t Target,
    socket: UdpSocket,
}

impl<'t> Asker<'t> {
    /// Opens a socket on a new port.
    pub(super) fn open(target: &'t Target) -> Verdict<Self> {
        Ok(Self { target, socket: UdpSocket::bind(any_port(target.server))? })
    }

    /// Returns its port.
    pub(super) fn port(&self) -> Verdict<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends a request, and waits for its answer; returns it with its source.
    pub(super) fn ask(&self, request: &Request, at: SocketAddr) -> Verdict<(Answer, SocketAddr)> {
        self.ask_for(self, request, at)
    }

    /// Sends a request whose answer comes to another socket.
    pub(super) fn ask_for(
        &self,
        other: &Self,
        request: &Request,
        at: SocketAddr,
    ) -> Verdict<(Answer, SocketAddr)> {
        let until = Instant::now() + self.target.timeout;
        let mut pause = RTO;
        while Instant::now() < until {
            self.socket.send_to(&request.bytes(), at)?;
            if let Some(answer) = other.receive(request, until.min(Instant::now() + pause))? {
                return Ok(answer);
            }
            pause *= 2;
        }
        Err(Fault::failed("an answer to the Binding request", "nothing"))
    }

    fn receive(&self, request: &Request, until: Instant) -> Verdict<Option<(Answer, SocketAddr)>> {
        let mut buffer = [0; 65_536];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left < Duration::from_micros(1) {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len @ 20.., from)) if buffer[8..20] == request.id() => {
                    return Ok(Some((Answer::parse(&buffer[..len])?, from)));
                }
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
