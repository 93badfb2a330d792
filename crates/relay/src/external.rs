//! Checks that each address of `--external-ip` belongs to one that the server has, and no two to
//! the same.

use std::net::{IpAddr, SocketAddr};

use callbox_turn::{Config, ExternalIp};

use super::StartError;

/// Checks the configured pairs against the addresses that the server listens on and relays from.
///
/// # Errors
/// [`StartError::ExternalIp`] and [`StartError::SecondExternalIp`] name the pair whose outer
/// address no client would be told.
pub(super) fn check(config: &Config, listeners: &[SocketAddr]) -> Result<(), StartError> {
    let mut own = own(config, listeners);
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
    unambiguous(&config.external_ips)
}

/// Checks that each inner address has at most one outer address, and that at most one outer address
/// of each family stands without an inner one.
fn unambiguous(external_ips: &[ExternalIp]) -> Result<(), StartError> {
    for (at, second) in external_ips.iter().enumerate() {
        let has_same_inner = |first: &&ExternalIp| {
            first.private == second.private && first.public.is_ipv4() == second.public.is_ipv4()
        };
        if let Some(first) = external_ips[..at].iter().find(has_same_inner) {
            return Err(StartError::SecondExternalIp { first: *first, second: *second });
        }
    }
    Ok(())
}

/// Returns a warning for each outer address without an inner one that no client would be told.
pub(super) fn unused(config: &Config, listeners: &[SocketAddr]) -> Vec<String> {
    let own = own(config, listeners);
    let alone = config.external_ips.iter().filter(|external| external.private.is_none());
    let leads_here =
        |public: IpAddr| own.iter().any(|ip| ip.is_ipv4() == public.is_ipv4() && !ip.is_loopback());
    let unused = alone.map(|external| external.public).filter(|public| !leads_here(*public));
    let text = |public| {
        format!(
            "--external-ip {public}: nobody is told it, since no listener has an address of its family \
             besides loopback; give --listen one"
        )
    };
    unused.map(text).collect()
}

/// Returns the addresses that the server listens on and relays from.
fn own(config: &Config, listeners: &[SocketAddr]) -> Vec<IpAddr> {
    let listeners = listeners.iter().chain(&config.tcp_listeners).map(SocketAddr::ip);
    let mut own: Vec<IpAddr> = listeners.chain(config.relay_ips.iter().copied()).collect();
    own.retain(|ip| !ip.is_unspecified());
    own.sort();
    own.dedup();
    own
}
