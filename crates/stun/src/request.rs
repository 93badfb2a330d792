//! Bytes to a typed request.

use std::net::SocketAddr;

use super::{
    Attributes, Credentials, Integrity, Method, TransactionId,
    address::read_xor,
    attribute_type::AttributeType,
    fingerprint::fingerprint,
    header::{ATTRIBUTE_HEADER, HEADER, MAGIC_COOKIE},
    message_type::MessageType,
};

/// The reason for which bytes are not a request. Such bytes are dropped without an answer (RFC 8489
/// §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a STUN message: too short, no magic cookie, a length that is not the datagram's, or
    /// attributes that run past the end.
    #[error("not a STUN message")]
    NotStun,
    /// FINGERPRINT is wrong (RFC 8489 §14.7).
    #[error("the fingerprint does not match")]
    Fingerprint,
    /// A response, or a method that this server does not know.
    #[error("not a request that a server answers")]
    NotARequest,
}

/// A request or a Send indication, taken apart.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method that is asked for.
    pub method: Method,
    /// The transaction that it belongs to.
    pub transaction: TransactionId,
    /// Its attributes up to the first that proves its integrity.
    pub attributes: Attributes<'a>,
    /// The proof that it carries: MESSAGE-INTEGRITY-SHA256 if it is there, else MESSAGE-INTEGRITY
    /// (RFC 8489 §9.2.4).
    pub credentials: Option<Credentials<'a>>,
    /// True if it carries a FINGERPRINT, so that the answer should too.
    pub fingerprint: bool,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    /// [`ParseError`]; none of them is worth an answer. A message that is well-formed but wrong in
    /// what it says is no error here: see [`Attributes::malformed`] and [`Attributes::unknown`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = bytes.first_chunk::<HEADER>().ok_or(ParseError::NotStun)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        // RFC 8489 §6.3: the first two bits, the cookie, and a length that makes sense.
        if header[0] & 0xC0 != 0
            || cookie != MAGIC_COOKIE
            || length % 4 != 0
            || HEADER + length != bytes.len()
        {
            return Err(ParseError::NotStun);
        }
        let message_type = MessageType::read(u16::from_be_bytes([header[0], header[1]]));
        let mut id = [0; 12];
        id.copy_from_slice(&header[8..]);

        let mut request = Self {
            method: Method::Binding,
            transaction: TransactionId(id),
            attributes: Attributes::default(),
            credentials: None,
            fingerprint: false,
            body: &bytes[HEADER..],
        };
        for attribute in Walk::new(bytes) {
            let (typ, value, at) = attribute.ok_or(ParseError::NotStun)?;
            let before = &bytes[..at - ATTRIBUTE_HEADER];
            if typ == AttributeType::FINGERPRINT {
                // It is the last attribute (RFC 8489 §14.7).
                if value != fingerprint(before) || at + 4 != bytes.len() {
                    return Err(ParseError::Fingerprint);
                }
                request.fingerprint = true;
                continue;
            }
            let seen = request.credentials.as_ref().map(Credentials::integrity);
            match Integrity::of(typ) {
                // Behind MESSAGE-INTEGRITY only MESSAGE-INTEGRITY-SHA256 counts, and behind that
                // nothing: it is not covered by them (RFC 8489 §9).
                Some(integrity) if seen < Some(integrity) => {
                    match Credentials::new(integrity, before, value) {
                        Some(credentials) => request.credentials = Some(credentials),
                        None => request.attributes.malformed = true,
                    }
                    if seen.is_none() && request.credentials.is_some() {
                        request.body = &before[HEADER..];
                    }
                }
                None if seen.is_none() => {
                    request.attributes.read(typ, value, at, request.transaction);
                }
                _ => {}
            }
        }
        request.method = Method::of(message_type).ok_or(ParseError::NotARequest)?;
        Ok(request)
    }

    /// Returns every XOR-PEER-ADDRESS that the integrity covers. [`Attributes::malformed`] has been
    /// set if one of them could not be read.
    pub fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        Walk { bytes: self.body, at: 0 }
            .flatten()
            .filter(|(typ, ..)| *typ == AttributeType::XOR_PEER_ADDRESS)
            .filter_map(|(_, value, _)| read_xor(value, self.transaction))
    }
}

/// Goes over the attributes of a message: type, value, and where the value stands. `None` for one
/// that runs past the end, after which there are no more.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self { bytes: message, at: HEADER }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Option<(AttributeType, &'a [u8], usize)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        let attribute = rest.split_first_chunk::<ATTRIBUTE_HEADER>().and_then(|(header, rest)| {
            let &[t0, t1, l0, l1] = header;
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            // Values are padded to four bytes; the padding must be there (RFC 8489 §14).
            (len.next_multiple_of(4) <= rest.len())
                .then(|| (AttributeType(u16::from_be_bytes([t0, t1])), &rest[..len]))
        });
        let at = self.at + ATTRIBUTE_HEADER;
        self.at = match attribute {
            Some((_, value)) => at + value.len().next_multiple_of(4),
            None => self.bytes.len(),
        };
        Some(attribute.map(|(typ, value)| (typ, value, at)))
    }
}
