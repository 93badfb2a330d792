//! Determines the sender of a request that came through reverse proxies.
//!
//! Headers are trusted from the proxies that `--trusted-proxy` lists, and from nobody else, since
//! anyone can write a header. The list of hops is walked from its end, which the nearest proxy has
//! written: as long as an address is a trusted proxy's, the next entry, which that proxy has
//! written, is read as well. The first address that is no trusted proxy's is the client's, and the
//! entries before it are ignored.

mod header;

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, header::FORWARDED, header::VIA};
use callbox_base::addresses::Networks;

pub(super) use self::header::Scheme;
use self::header::{
    Hop, Malformed, Node, X_FORWARDED_FOR, X_FORWARDED_PROTO, forwarded, is_present,
    x_forwarded_for, x_forwarded_proto,
};

/// The largest number of proxies on the way.
const MAX_HOPS: usize = 32;

/// Headers that a client does not send by itself: they show that there is a proxy on the way,
/// trusted or not.
const MARKS: [HeaderName; 6] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
    VIA,
];

/// The sender of a request, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender {
    /// The client's address, without a port if the proxies do not report it; the address of the
    /// last known proxy, if they do not report the client's.
    pub address: SocketAddr,
    /// True if the address is the client's own, so that the limit of connections per client
    /// applies: a trusted proxy may have any number of them.
    pub is_client: bool,
    /// The scheme of the client's request, if a trusted proxy reports it.
    pub scheme: Option<Scheme>,
}

/// The reason why the sender of a request is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ForwardedError {
    #[error("The header {0} of a trusted proxy cannot be read.")]
    Malformed(&'static str),
    #[error("The request names more than {MAX_HOPS} proxies on its way.")]
    TooManyHops,
    #[error(
        "Forwarded and X-Forwarded-For name different clients: the proxy in front must remove the one \
         that it does not write."
    )]
    Contradiction,
}

/// Determines the sender of a request that came from `peer`.
///
/// # Errors
/// A trusted proxy has passed on a header that cannot be parsed, or two that contradict each other.
/// The request is refused then, since it would otherwise be charged to nobody.
pub(super) fn sender(
    peer: SocketAddr,
    trusted: &Networks,
    headers: &HeaderMap,
) -> Result<Sender, ForwardedError> {
    if !trusted.contains(peer.ip()) {
        return Ok(Sender { address: peer, is_client: true, scheme: None });
    }
    let scheme = x_forwarded_proto(headers);
    let nobody = Sender { address: peer, is_client: false, scheme };
    let by_forwarded = is_present(headers, FORWARDED).then(|| {
        let hops = forwarded(headers).map_err(|_| ForwardedError::Malformed("Forwarded"))?;
        walk(nobody, trusted, hops.into_iter().map(Ok), "Forwarded")
    });
    let by_x_forwarded_for = is_present(headers, X_FORWARDED_FOR)
        .then(|| walk(nobody, trusted, x_forwarded_for(headers), "X-Forwarded-For"));
    match (by_forwarded.transpose()?, by_x_forwarded_for.transpose()?) {
        (Some(one), Some(other)) if one.address.ip() != other.address.ip() => {
            Err(ForwardedError::Contradiction)
        }
        (Some(sender), _) | (None, Some(sender)) => Ok(sender),
        // The request is the proxy's own.
        (None, None) => Ok(nobody),
    }
}

fn walk(
    mut sender: Sender,
    trusted: &Networks,
    hops: impl Iterator<Item = Result<Hop, Malformed>>,
    name: &'static str,
) -> Result<Sender, ForwardedError> {
    for (number, hop) in hops.enumerate() {
        let Hop { node, scheme } = hop.map_err(|_| ForwardedError::Malformed(name))?;
        if number == MAX_HOPS {
            return Err(ForwardedError::TooManyHops);
        }
        sender.scheme = scheme.or(sender.scheme);
        match node {
            Node::Hidden => break,
            Node::Address(address) => {
                sender.address = address;
                sender.is_client = !trusted.contains(address.ip());
                if sender.is_client {
                    break;
                }
            }
        }
    }
    Ok(sender)
}

/// Returns true if the request's headers show that it has passed a proxy. They are a reason to
/// reveal less, never more, since anyone can write them.
pub(super) fn is_marked(headers: &HeaderMap) -> bool {
    MARKS.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn trusted() -> Networks {
        Networks::new(["10.0.0.0/8", "2001:db8:1::/48"].map(|net| net.parse().unwrap()).to_vec())
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn sent_by(peer: &str, lines: &[(&'static str, &str)]) -> Result<Sender, ForwardedError> {
        sender(peer.parse().unwrap(), &trusted(), &headers(lines))
    }

    #[test]
    fn the_first_address_from_the_end_that_is_no_proxy_s_is_the_client_s() {
        for (lines, address, is_client) in [
            (&[("x-forwarded-for", "192.0.2.7")][..], "192.0.2.7:0", true),
            (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7")], "192.0.2.7:0", true),
            (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2")], "192.0.2.7:0", true),
            (
                &[("x-forwarded-for", "6.6.6.6, 192.0.2.7"), ("x-forwarded-for", "10.0.0.2")],
                "192.0.2.7:0",
                true,
            ),
            (
                &[("x-forwarded-for", "nonsense, ::ffff:192.0.2.7, 2001:db8:1::2")],
                "192.0.2.7:0",
                true,
            ),
            (&[("x-forwarded-for", "192.0.2.7:5000")], "192.0.2.7:5000", true),
            (&[("x-forwarded-for", "2001:db8::7")], "[2001:db8::7]:0", true),
            (
                &[("forwarded", "for=6.6.6.6, for=192.0.2.7;proto=https, for=10.0.0.2")],
                "192.0.2.7:0",
                true,
            ),
            // A proxy that reports no more of another proxy than its address.
            (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3:0", false),
            // A proxy that hides its client, or has none.
            (&[("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.2")], "10.0.0.2:0", false),
            (&[("forwarded", "for=192.0.2.7, for=_hidden")], PROXY, false),
            (&[("forwarded", "proto=https")], PROXY, false),
            (&[("x-forwarded-for", " ")], PROXY, false),
            (&[], PROXY, false),
            // Both, and they agree.
            (
                &[("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")],
                "192.0.2.7:0",
                true,
            ),
        ] {
            let sender = sent_by(PROXY, lines).unwrap();
            assert_eq!(
                (sender.address, sender.is_client),
                (address.parse().unwrap(), is_client),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn headers_of_untrusted_senders_are_ignored() {
        let peer = "192.0.2.9:4000";
        for lines in [
            &[("x-forwarded-for", "6.6.6.6")][..],
            &[("x-forwarded-for", "nonsense"), ("x-forwarded-proto", "https")],
            &[("forwarded", "for=10.0.0.1;proto=https")],
            &[("forwarded", "\""), ("x-forwarded-for", "6.6.6.6")],
        ] {
            let expected = Sender { address: peer.parse().unwrap(), is_client: true, scheme: None };
            assert_eq!(sent_by(peer, lines), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn invalid_headers_of_a_trusted_proxy_are_refused() {
        let many = ["10.0.0.2"; MAX_HOPS + 1].join(", ");
        for (lines, error) in [
            (
                &[("x-forwarded-for", "192.0.2.7, nonsense")][..],
                ForwardedError::Malformed("X-Forwarded-For"),
            ),
            (
                &[("x-forwarded-for", "192.0.2.7, nonsense, 10.0.0.2")],
                ForwardedError::Malformed("X-Forwarded-For"),
            ),
            // The client's own quote would hide what the proxy has added after it.
            (&[("forwarded", "for=\", for=192.0.2.7")], ForwardedError::Malformed("Forwarded")),
            (&[("x-forwarded-for", &many)], ForwardedError::TooManyHops),
            // The proxy writes one of them, and passes on the client's other one.
            (
                &[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.7")],
                ForwardedError::Contradiction,
            ),
        ] {
            assert_eq!(sent_by(PROXY, lines), Err(error), "{lines:?}");
        }
    }

    #[test]
    fn the_scheme_is_that_of_the_client_s_request() {
        for (lines, expected) in [
            (
                &[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")][..],
                Some(Scheme::Https),
            ),
            (
                &[("forwarded", "for=192.0.2.7;proto=https, for=10.0.0.2;proto=http")],
                Some(Scheme::Https),
            ),
            (&[("forwarded", "for=192.0.2.7"), ("x-forwarded-proto", "http")], Some(Scheme::Http)),
            (&[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https, http")], None),
            (&[], None),
        ] {
            assert_eq!(sent_by(PROXY, lines).unwrap().scheme, expected, "{lines:?}");
        }
    }
}
