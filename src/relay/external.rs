//! Checks that each address of `--external-ip` leads to one that the server has.

use std::net::{IpAddr, SocketAddr};

use super::StartError;
use crate::turn::Config;

/// Checks the pairs among the settings against what the server listens on and relays from.
///
/// # Errors
/// [`StartError::ExternalIp`] names the pair: nobody would be told its outer address.
pub(super) fn check(config: &Config, listeners: &[SocketAddr]) -> Result<(), StartError> {
    let listeners = listeners.iter().chain(&config.tcp_listeners).map(SocketAddr::ip);
    let mut own: Vec<IpAddr> = listeners.chain(config.relay_ips.iter().copied()).collect();
    own.retain(|ip| !ip.is_unspecified());
    own.sort();
    own.dedup();
    for pair in &config.external_ips {
        if let Some(private) = pair.private
            && !own.contains(&private)
        {
            own.retain(|ip| ip.is_ipv4() == private.is_ipv4() && !ip.is_loopback());
            let own = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let own = if own.is_empty() { "none of its family".to_owned() } else { own };
            return Err(StartError::ExternalIp { public: pair.public, private, own });
        }
    }
    Ok(())
}
