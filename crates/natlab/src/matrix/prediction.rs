//! The path that RFC 4787 and RFC 8445 predict for two kinds.

use callbox_natlab_peer::Transport;

use super::Path;
use crate::kind::{Access, Behavior, Kind};

/// Returns the path between peers on two sides, with a TURN server that is reachable over UDP, TCP
/// and TLS on port 443.
///
/// - The path is direct where checks of one peer reach the other one: its answers then take the
///   same way back (RFC 8445 §7.3).
/// - Else it is relayed, over the best transport that each side needs for its own server.
pub fn predict(a: &Kind, b: &Kind) -> Path {
    match have_common_family(a, b) && (reaches(a, b) || reaches(b, a)) {
        true => Path::Direct,
        false => Path::Relayed(Some(transport(a).max(transport(b)))),
    }
}

/// Returns true if both hosts have addresses of one family. A relay between families has an IPv4
/// address (RFC 8656 §7.2), which the TURN server of the other host reaches.
fn have_common_family(a: &Kind, b: &Kind) -> bool {
    a.has_ipv4() && b.has_ipv4() || a.has_ipv6() && b.has_ipv6()
}

/// Returns true if checks from one side arrive at a candidate of the other one, which sends checks
/// to all candidates of this side meanwhile.
fn reaches(from: &Kind, to: &Kind) -> bool {
    use Behavior::{AddressAndPortDependent, EndpointIndependent};
    if !from.allows_udp() || !to.allows_udp() {
        return false;
    }
    let has_one_mapping =
        |kind: &Kind| kind.mapping().is_none_or(|mapping| mapping == EndpointIndependent);
    match filtering(to) {
        EndpointIndependent => true,
        // Its checks leave by other mappings than the one that the STUN server has seen, so that the
        // filter of that one admits the STUN server alone.
        _ if !has_one_mapping(to) => false,
        // Its checks have gone to the candidate of the other side, which is not the address from
        // which checks to it come, where the mapping depends on the destination.
        AddressAndPortDependent => has_one_mapping(from),
        // The address is right, and the port does not matter.
        Behavior::AddressDependent => true,
    }
}

/// Returns the filter for packets to the host. Of two NATs, it is the stricter one.
fn filtering(kind: &Kind) -> Behavior {
    match kind.access() {
        Access::CarrierGrade => Behavior::AddressAndPortDependent,
        _ => kind.filtering().unwrap_or(Behavior::AddressAndPortDependent),
    }
}

/// Returns the best transport to a TURN server.
fn transport(kind: &Kind) -> Transport {
    match kind.access() {
        Access::Tcp443Only => Transport::Tls,
        // The proxy makes tunnels to every port.
        Access::UdpBlocked | Access::HttpProxy => Transport::Tcp,
        _ => Transport::Udp,
    }
}
