//! The advice that a report gives for a step that failed.

/// An HTTP server that cannot be reached.
pub(super) const REACH: &str = "\
    Does the server run, and is --url its HTTP address? A firewall may drop TCP.";

/// An HTTPS server that cannot be reached.
pub(super) const REACH_TLS: &str = "\
    Does the server run, and is --url its address of HTTPS? The certificate must be for that \
    name, valid today, and with those between it and the root behind it; for a CA of your \
    own, give --ca-cert.";

/// A STUN server that does not answer.
pub(super) const UDP: &str = "\
    Is the port open for UDP in every firewall on the way? Behind a 1:1 NAT, the server \
    needs --external-ip.";

/// Missing tokens.
pub(super) const TOKEN: &str = "\
    Without --dev, give a token: callbox token --user NAME, with the server's --jwt-secret.";

/// A signaling step that failed.
pub(super) const SIGNALING: &str = "\
    A reverse proxy must let WebSocket upgrades through; the server's log says more.";

/// A TLS handshake of TURN that failed.
pub(super) const TLS: &str = "\
    Is the certificate for this name, not over, and with those between it and the root \
    behind it? For a CA of your own, give --ca-cert.";

/// An allocation that was refused.
pub(super) const ALLOCATE: &str = "\
    The relay and the signaling side must have the same --auth-secret, and --relay-ports \
    must not be used up.";

/// Peers that do not reach each other.
pub(super) const PEERS: &str = "\
    The relay must reach its own relayed addresses: look at --deny-peer, --relay-ip and the \
    firewall's rules for --relay-ports.";
