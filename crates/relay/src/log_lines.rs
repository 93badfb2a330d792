//! The log lines about single clients: never one per packet, and bounded whatever a stranger does.

use std::io;

use callbox_base::{clock::Now, ids::ClientAddr, throttle::Throttle};
use callbox_turn::{Ended, Via, auth::WrongCredentials};

use super::log_throttle::LogThrottle;

/// The target of these lines, which filters and fail2ban patterns of operators name
/// (`docs/logs.md`): it does not change with the crate that contains them.
const TARGET: &str = "callbox::relay::log_lines";

/// Logs that an allocation has ended, so that an operator can find out why a call has lost its
/// relay.
pub(super) fn allocation_ended(now: Now, ended: &Ended) {
    let Ended { user, call, tuple, relayed, opened, usage, reason } = ended;
    let (bytes_up, bytes_down) = usage.read();
    let over = match tuple.via {
        Via::Listener(_) => "udp",
        // With or without TLS.
        Via::Stream(_) => "tcp",
    };
    let seconds = now.instant.saturating_duration_since(*opened).as_secs();
    tracing::debug!(
        target: TARGET,
        // A user name is untrusted text: its minter chooses it.
        ?user,
        call = call.map(tracing::field::display),
        client = %tuple.client.0,
        over,
        relayed = %relayed.0,
        seconds,
        bytes_up,
        bytes_down,
        %reason,
        "an allocation has ended"
    );
}

/// The lines of a worker that anything from outside may cause, of which few are written.
#[derive(Debug, Default)]
pub(super) struct WorkerLog {
    no_socket: LogThrottle,
    read_error: LogThrottle,
    refused: RefusedLog,
}

impl WorkerLog {
    /// Logs that an allocation has got no socket.
    pub(crate) fn no_socket(&mut self, now: Now, error: &io::Error) {
        if let Some(times) = self.no_socket.hit(now.instant) {
            tracing::error!(%error, times, "no socket for an allocation; is the limit of open files \
                (`ulimit -n`) too low?");
        }
    }

    /// Logs that a socket could not be read. An ICMP error that is reported by one socket does not
    /// affect the others of its clients.
    pub(crate) fn read_error(&mut self, now: Now, error: &io::Error) {
        if let Some(times) = self.read_error.hit(now.instant) {
            tracing::warn!(%error, times, "a relay socket could not be read; going on");
        }
    }

    /// Logs a request with refused credentials, from an address that its nonce has proved.
    pub(crate) fn wrong_credentials(
        &mut self,
        now: Now,
        client: ClientAddr,
        user: Option<&str>,
        why: WrongCredentials,
    ) {
        self.refused.write(now, client, user, why);
    }
}

/// Logs wrong credentials, with limits for each address and for all together. `docs/logs.md`
/// specifies the format.
#[derive(Debug, Default)]
struct RefusedLog(Throttle);

impl RefusedLog {
    /// Logs a request with refused credentials, from an address that its nonce has proved. Expired
    /// and revoked ones are expected, and are no sign of an attack.
    fn write(
        &mut self,
        now: Now,
        ClientAddr(client): ClientAddr,
        user: Option<&str>,
        why: WrongCredentials,
    ) {
        let Some(suppressed) = self.0.admit(client.ip(), now.instant) else { return };
        let suppressed = (suppressed > 0).then_some(suppressed);
        // The address comes first: text that a stranger has chosen must not be taken for an address
        // by a program that reads the line.
        let (address, reason) = (client.ip().to_canonical(), why.reason());
        match why {
            WrongCredentials::Expired | WrongCredentials::Revoked => {
                tracing::info!(target: TARGET, %address, user, reason, suppressed, "TURN credentials refused");
            }
            WrongCredentials::Realm | WrongCredentials::User | WrongCredentials::Password => {
                tracing::warn!(target: TARGET, %address, user, reason, suppressed, "TURN credentials refused");
            }
        }
    }
}
