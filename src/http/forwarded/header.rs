//! Parses the headers in which proxies report the client of a request: `Forwarded` (RFC 7239) and
//! `X-Forwarded-For`, to the end of which each proxy on the way adds its own client.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The header that most proxies write. It has no standard.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The header in which most proxies write the scheme of a client's request.
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The longest `Forwarded` that is parsed, all its lines together. Unlike the other header it can
/// only be parsed from its beginning, which the client may have written.
const MAX_FORWARDED: usize = 4096;

/// The scheme of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Scheme {
    Http,
    Https,
}

/// A client, as reported by the proxy that it connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// Its address; port 0 if only the address is given.
    Address(SocketAddr),
    /// `unknown`, or an identifier of the proxy's own that begins with `_` (RFC 7239 §6.2, §6.3).
    Hidden,
}

/// The statement of one proxy about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub node: Node,
    /// The scheme of the request, if the proxy reports it.
    pub scheme: Option<Scheme>,
}

/// A header that cannot be parsed, as far as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Returns the entries of `X-Forwarded-For`, the last first. Entries before the last one that is
/// taken are not parsed, since a client may have written them.
pub(super) fn x_forwarded_for(
    headers: &HeaderMap,
) -> impl Iterator<Item = Result<Hop, Malformed>> + '_ {
    let lines = headers.get_all(X_FORWARDED_FOR).into_iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
    entries.map(|entry| {
        let text = std::str::from_utf8(entry).map_err(|_| Malformed)?;
        Ok(Hop { node: node(text)?, scheme: None })
    })
}

/// Returns the elements of `Forwarded`, the last first (RFC 7239 §4).
pub(super) fn forwarded(headers: &HeaderMap) -> Result<Vec<Hop>, Malformed> {
    let lines = headers.get_all(header::FORWARDED);
    if lines.iter().map(HeaderValue::len).sum::<usize>() > MAX_FORWARDED {
        return Err(Malformed);
    }
    let mut hops = Vec::new();
    for line in lines {
        let mut rest = line.to_str().map_err(|_| Malformed)?;
        while !rest.is_empty() {
            let (hop, after) = element(rest)?;
            hops.extend(hop);
            rest = after;
        }
    }
    hops.reverse();
    Ok(hops)
}

/// Returns true if there is such a header and it is not blank.
pub(super) fn is_present(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.get_all(name).iter().any(|value| !value.as_bytes().trim_ascii().is_empty())
}

/// Returns the scheme in `X-Forwarded-Proto`, if it is a single one. With several values it is not
/// known which proxy has written which.
pub(super) fn x_forwarded_proto(headers: &HeaderMap) -> Option<Scheme> {
    let mut lines = headers.get_all(X_FORWARDED_PROTO).into_iter();
    let (only, None) = (lines.next()?, lines.next()) else { return None };
    only.to_str().ok().and_then(scheme)
}

fn scheme(text: &str) -> Option<Scheme> {
    let is = |name: &str| text.trim().eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some(Scheme::Https),
        () if is("http") || is("ws") => Some(Scheme::Http),
        () => None,
    }
}

/// Parses one element up to the comma after it; `None` if it is empty, as an element of a list may
/// be (RFC 9110 §5.6.1). Returns the rest as well.
fn element(text: &str) -> Result<(Option<Hop>, &str), Malformed> {
    let (mut node_found, mut scheme_found, mut is_empty) = (None, None, true);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.as_bytes().first() {
            None => break,
            Some(b',') => {
                rest = &rest[1..];
                break;
            }
            Some(b';') => rest = &rest[1..],
            Some(_) => {
                let (name, after) = rest.split_once('=').ok_or(Malformed)?;
                let (value, after) = value(after)?;
                rest = after.trim_start_matches([' ', '\t']);
                if !rest.is_empty() && !rest.starts_with([';', ',']) || !is_token(name) {
                    return Err(Malformed);
                }
                is_empty = false;
                // Each parameter comes once at most.
                if name.eq_ignore_ascii_case("for") {
                    set_once(&mut node_found, node(&value)?)?;
                } else if name.eq_ignore_ascii_case("proto") {
                    set_once(&mut scheme_found, scheme(&value))?;
                }
            }
        }
    }
    let hop = Hop { node: node_found.unwrap_or(Node::Hidden), scheme: scheme_found.flatten() };
    Ok(((!is_empty).then_some(hop), rest))
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}

/// Parses a token or a quoted string (RFC 9110 §5.6.4). Returns the rest as well.
fn value(text: &str) -> Result<(String, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return if is_token(token) { Ok((token.to_owned(), rest)) } else { Err(Malformed) };
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    loop {
        match chars.next().ok_or(Malformed)? {
            (at, '"') => return Ok((value, &quoted[at + 1..])),
            (_, '\\') => value.push(chars.next().ok_or(Malformed)?.1),
            (_, other) => value.push(other),
        }
    }
}

/// Returns true if a text is a token (RFC 9110 §5.6.2). A colon is allowed as well: many proxies
/// write an address with its port without the quotes that it needs.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

/// Parses a node (RFC 7239 §6): an address, in brackets if it is IPv6 and has a port, `unknown`, or
/// an identifier that begins with `_`.
fn node(text: &str) -> Result<Node, Malformed> {
    // Most proxies write IPv6 without brackets in `X-Forwarded-For`.
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Node::Address(SocketAddr::new(ip.to_canonical(), 0)));
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once(']').ok_or(Malformed)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')) };
            (ip, port.map(|port| port.ok_or(Malformed)).transpose()?)
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = match port {
        None => 0,
        Some(port) if is_obfuscated(port) => 0,
        Some(port) => port.parse().map_err(|_| Malformed)?,
    };
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Ok(Node::Hidden);
    }
    let ip = name.parse::<IpAddr>().map_err(|_| Malformed)?;
    Ok(Node::Address(SocketAddr::new(ip.to_canonical(), port)))
}

fn is_obfuscated(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(fits))
}

#[cfg(test)]
mod tests;
