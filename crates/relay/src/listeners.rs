//! The sockets of a worker that clients send to.

use std::io;

use callbox_turn::Metrics;
use mio::{Interest, Registry, net::UdpSocket};

use super::{losses::LossCounter, source::Source};

struct Listener {
    udp: UdpSocket,
    lost: LossCounter,
}

/// The listeners of a worker, by their index.
pub(super) struct Listeners(Vec<Listener>);

impl Listeners {
    /// Takes over the sockets, whose readiness is reported from now on.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn new(registry: &Registry, sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let len = sockets.len();
        let register = |(index, mut udp)| {
            let token = Source::Listener(index as u16).token(len);
            registry.register(&mut udp, token, Interest::READABLE)?;
            Ok(Listener { udp, lost: LossCounter::default() })
        };
        sockets.into_iter().enumerate().map(register).collect::<io::Result<_>>().map(Self)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn socket(&self, index: u16) -> &UdpSocket {
        &self.0[usize::from(index)].udp
    }

    /// Returns the sockets in the order of their indices.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.0.iter().map(|listener| &listener.udp)
    }

    /// Counts the datagrams that a listener has lost, by its report.
    #[inline]
    pub(crate) fn count_lost(&mut self, index: u16, metrics: &Metrics, lost: u32) {
        self.0[usize::from(index)].lost.count(metrics, lost);
    }
}
