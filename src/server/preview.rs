//! Determines what a server would do with its configuration, without starting one.

use std::{io, net::SocketAddr, path::Path};

use callbox_relay::{self as relay, Plan};

use super::{StartError, addresses::Addresses, listeners::Binder};
use crate::{acceptor::Certificates, config::Config};

/// The URIs that clients would be told, and the warnings about the configuration.
#[derive(Debug)]
pub struct Preview {
    /// `stun:` URIs.
    pub stun: Vec<String>,
    /// `turn:` and `turns:` URIs.
    pub turn: Vec<String>,
    /// The warnings, in the order in which a server would log them.
    pub warnings: Vec<String>,
}

impl Preview {
    /// Checks everything that can be checked while another server runs: no port is bound and
    /// nothing is written.
    ///
    /// # Errors
    /// [`StartError`], the same as [`Server::start`](super::Server::start) would return.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let mut warnings = config.warnings;
        if let Some(path) = &config.state_dir {
            can_be_a_directory(path)
                .map_err(|source| StartError::State { path: path.clone(), source })?;
        }
        if let Some(path) = config.trace.as_ref().and_then(|trace| trace.dir.as_ref()) {
            can_be_a_directory(path)
                .map_err(|source| StartError::Traces { path: path.clone(), source })?;
        }
        config.reports.check()?;
        let listen = config.acceptor;
        have_address("--http", config.http_listen)?;
        listen.tls_listen.iter().try_for_each(|at| have_address("--tls-listen", *at))?;
        let certificate = match listen.certificate.map(Certificates::preview).transpose()? {
            Some((certificate, remarks)) => {
                warnings.extend(remarks.into_iter().map(|remark| remark.text));
                Some(certificate)
            }
            None => None,
        };
        let mut relay = config.relay;
        let wanted = [config.http_listen].into_iter().chain(listen.tls_listen.iter().copied());
        let binder = Binder::new(wanted.chain(relay.listen.iter().copied()).collect());
        let tls: Vec<_> = listen.tls_listen.iter().flat_map(|at| binder.planned(*at)).collect();
        relay.turn.tcp_listeners.extend(binder.planned(config.http_listen));
        relay.turn.tcp_listeners.extend(&tls);
        let plan = Plan::new(&relay)?;
        warnings.extend_from_slice(plan.warnings());
        let reach = |listeners: &[SocketAddr]| plan.listener_addresses(listeners);
        let addresses = Addresses::new(plan.addresses(), &tls, config.public_uris, reach);
        let addresses = addresses.map_err(StartError::Addresses)?;
        let uris = addresses.uris(certificate.as_ref());
        warnings.extend(addresses.warnings(&uris, certificate.as_ref()));
        Ok(Self { turn: uris.advertised_turn(), stun: uris.stun, warnings })
    }
}

/// Checks that this machine has the address of a listener.
fn have_address(option: &'static str, address: SocketAddr) -> Result<(), StartError> {
    let failed = |source| StartError::Listen { option, address, source };
    relay::probe(address.ip()).map_err(failed)
}

/// Checks that a directory exists, or could be created.
fn can_be_a_directory(path: &Path) -> io::Result<()> {
    for ancestor in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match ancestor.metadata() {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
