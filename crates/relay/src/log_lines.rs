//! The log lines about single clients: never one per packet, and never as many as a stranger likes.

use callbox_base::{clock::Now, ids::ClientAddr, throttle::Throttle};
use callbox_turn::{Ended, Via, auth::WrongCredentials};

/// The target of these lines, which filters and fail2ban patterns of operators name (`docs/logs.md`): it
/// does not follow the crate that they are written in.
const TARGET: &str = "callbox::relay::log_lines";

/// Says that an allocation is gone, for whoever asks why a call has lost its relay.
pub(super) fn allocation_ended(now: Now, ended: &Ended) {
    let Ended { user, call, tuple, relayed, opened, usage, reason } = ended;
    let (bytes_up, bytes_down) = usage.read();
    let over = match tuple.via {
        Via::Listener(_) => "udp",
        // Under TLS or not.
        Via::Stream(_) => "tcp",
    };
    let seconds = now.instant.saturating_duration_since(*opened).as_secs();
    tracing::debug!(
        target: TARGET,
        // A name is whatever its minter likes.
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

/// Writes a line for wrong credentials, as many as one address and all together may cause.
/// `docs/logs.md` promises how they look.
#[derive(Debug, Default)]
pub(super) struct RefusedLog(Throttle);

impl RefusedLog {
    /// A request came with credentials that are refused, from an address that its nonce has proved. That
    /// they are over is a matter of course, and no attack.
    pub fn tell(
        &mut self,
        now: Now,
        ClientAddr(client): ClientAddr,
        user: Option<&str>,
        why: WrongCredentials,
    ) {
        let Some(suppressed) = self.0.admit(client.ip(), now.instant) else { return };
        let suppressed = (suppressed > 0).then_some(suppressed);
        // The address comes first: what a stranger has chosen must not look like one to a program
        // that reads the line.
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
