//! Binding of the listeners of `--http` and `--tls-listen`.

use std::net::{Ipv4Addr, SocketAddr};

use callbox_relay as relay;

use super::StartError;
use crate::acceptor::{Listener, Role};

/// Binds TCP listeners, with the knowledge of all addresses that are wanted.
pub(super) struct Binder {
    wanted: Vec<SocketAddr>,
}

/// A bound listener, with its addresses.
pub(super) struct Bound {
    pub listener: Listener,
    /// The addresses, with the actual ports: `[::]` and `0.0.0.0` if it takes both families.
    pub addresses: Vec<SocketAddr>,
}

impl Binder {
    /// Creates a binder; `wanted` are the addresses of every TCP listener, the relay's included.
    pub(super) fn new(wanted: Vec<SocketAddr>) -> Self {
        Self { wanted }
    }

    /// Binds a listener. One on `[::]` takes IPv4 as well, unless another listener needs the port
    /// there, or another program has it, which is logged.
    ///
    /// # Errors
    /// [`StartError::Listen`] names the option and the address.
    pub(super) fn bind(
        &self,
        option: &'static str,
        address: SocketAddr,
        role: Role,
    ) -> Result<Bound, StartError> {
        let error = |source| StartError::Listen { option, address, source };
        let dual = self.may_take_ipv4(address).then(|| relay::listen_tcp_dual(address));
        let takes_ipv4 = matches!(dual, Some(Ok(_)));
        let socket = match dual {
            Some(Ok(socket)) => Ok(socket),
            None => relay::listen_tcp(address),
            Some(Err(source)) => {
                let socket = relay::listen_tcp(address);
                if socket.is_ok() {
                    tracing::warn!(
                        %address, error = %source,
                        "{option}: this listener takes IPv6 alone; for IPv4, too, free the port \
                         there, or name the IPv4 address as well"
                    );
                }
                socket
            }
        };
        let socket = socket.map_err(error)?;
        let real = socket.local_addr().map_err(StartError::Accept)?;
        let v4 = takes_ipv4.then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, real.port())));
        let addresses = [real].into_iter().chain(v4).collect();
        Ok(Bound { listener: Listener { socket, role }, addresses })
    }

    /// Returns the addresses that a listener would have: `[::]` and `0.0.0.0` if it may take both
    /// families.
    pub(super) fn planned(&self, address: SocketAddr) -> Vec<SocketAddr> {
        relay::with_ipv4(address, &self.wanted)
    }

    fn may_take_ipv4(&self, address: SocketAddr) -> bool {
        relay::takes_ipv4(address, &self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_unless_that_is_listed_beside_it() {
        let takes_ipv4 = |wanted: &[&str], address: &str| {
            let wanted = wanted.iter().map(|text| text.parse().unwrap()).collect();
            Binder::new(wanted).may_take_ipv4(address.parse().unwrap())
        };
        assert!(takes_ipv4(&["[::]:443", "0.0.0.0:8080"], "[::]:443"));
        assert!(takes_ipv4(&["[::]:0", "0.0.0.0:0"], "[::]:0"));
        assert!(!takes_ipv4(&["[::]:443", "0.0.0.0:443"], "[::]:443"));
        assert!(!takes_ipv4(&["[::]:443", "192.0.2.1:443"], "[::]:443"));
        assert!(!takes_ipv4(&["[::1]:443"], "[::1]:443"));
        assert!(!takes_ipv4(&["0.0.0.0:443"], "0.0.0.0:443"));
    }
}
