//! Typed responses to bytes.

use std::{net::SocketAddr, time::Duration};

use super::{
    ErrorCode, Family, Method, PasswordAlgorithm, Request, SigningKey, TransactionId, Unknown,
    attribute_type::AttributeType,
    header::ATTRIBUTE_HEADER,
    message_type::{Class, MessageType},
    writer::MessageWriter,
};

/// Room for the longest answer to Allocate: the header; relayed addresses of both families, or one
/// and ADDRESS-ERROR-CODE; an IPv6 client's address, LIFETIME, a ticket, a token, and both proofs.
const CAPACITY: usize = 20 + 24 + 36 + 24 + 8 + 28 + 12 + PROOFS;

/// The length of MESSAGE-INTEGRITY-SHA256 and FINGERPRINT, which an answer ends with.
const PROOFS: usize = 36 + 8;

/// A finished response: bytes to send.
pub type Response = Vec<u8>;

/// A response in the making. [`ResponseBuilder::finish`] signs it and gives the bytes.
#[derive(Debug)]
pub struct ResponseBuilder {
    message: MessageWriter,
    fingerprint: bool,
}

impl ResponseBuilder {
    /// Begins the success response to a request.
    pub fn success(request: &Request<'_>) -> Self {
        let id = request.transaction;
        Self::begin(request.method, Class::Success, id, request.fingerprint)
    }

    /// Begins the success response to a request that is not at hand any more.
    pub fn success_to(method: Method, transaction: TransactionId, fingerprint: bool) -> Self {
        Self::begin(method, Class::Success, transaction, fingerprint)
    }

    /// Begins an error response to a request.
    pub fn error(request: &Request<'_>, code: ErrorCode) -> Self {
        let id = request.transaction;
        Self::error_to(request.method, id, request.fingerprint, code)
    }

    /// Begins an error response to a request that is not at hand any more.
    pub fn error_to(
        method: Method,
        transaction: TransactionId,
        fingerprint: bool,
        code: ErrorCode,
    ) -> Self {
        let response = Self::begin(method, Class::Error, transaction, fingerprint);
        response.error_code(code, code.reason())
    }

    /// Begins an error response without a reason phrase, which "is meant for diagnostic purposes"
    /// (RFC 8489 §14.8): whoever asked may not be who gets it.
    pub fn short_error(request: &Request<'_>, code: ErrorCode) -> Self {
        let id = request.transaction;
        Self::begin(request.method, Class::Error, id, request.fingerprint).error_code(code, "")
    }

    fn begin(method: Method, class: Class, transaction: TransactionId, fingerprint: bool) -> Self {
        let typ = method.message_type(class);
        Self { message: MessageWriter::new(typ, transaction, CAPACITY), fingerprint }
    }

    /// Makes a ConnectionAttempt indication: `peer` has connected (RFC 6062 §5.3).
    pub fn connection_attempt(transaction: TransactionId, peer: SocketAddr, id: u32) -> Response {
        let typ = MessageType::CONNECTION_ATTEMPT;
        let mut message = MessageWriter::new(typ, transaction, 20 + 24 + 8);
        message.add_xor_address(AttributeType::XOR_PEER_ADDRESS, peer);
        message.add_value(AttributeType::CONNECTION_ID, &id.to_be_bytes());
        message.finish()
    }

    /// Adds ERROR-CODE (RFC 8489 §14.8).
    fn error_code(self, code: ErrorCode, reason: &str) -> Self {
        self.code(AttributeType::ERROR_CODE, 0, code, reason)
    }

    /// Adds ERROR-CODE and its like: a byte of the attribute's own, one that is reserved, the code
    /// by its hundreds and the rest, and the reason.
    fn code(mut self, typ: AttributeType, first: u8, code: ErrorCode, reason: &str) -> Self {
        let value = self.message.add(typ, 4 + reason.len());
        value[0] = first;
        value[2] = (code.number() / 100) as u8;
        value[3] = (code.number() % 100) as u8;
        value[4..].copy_from_slice(reason.as_bytes());
        self
    }

    fn with(mut self, typ: AttributeType, value: &[u8]) -> Self {
        self.message.add_value(typ, value);
        self
    }

    /// Adds XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    pub fn mapped_address(mut self, address: SocketAddr) -> Self {
        self.message.add_xor_address(AttributeType::XOR_MAPPED_ADDRESS, address);
        self
    }

    /// Adds MAPPED-ADDRESS (RFC 8489 §14.1): what comes of it unmasked tells of a NAT that meddles
    /// with addresses inside of packets (RFC 5780 §4.5).
    pub fn plain_mapped_address(mut self, address: SocketAddr) -> Self {
        self.message.add_address(AttributeType::MAPPED_ADDRESS, address);
        self
    }

    /// Adds RESPONSE-ORIGIN and OTHER-ADDRESS (RFC 5780 §7.3, §7.4): where the answer comes from,
    /// and where it would come from if both address and port were changed.
    pub fn origin(mut self, origin: SocketAddr, other: SocketAddr) -> Self {
        self.message.add_address(AttributeType::RESPONSE_ORIGIN, origin);
        self.message.add_address(AttributeType::OTHER_ADDRESS, other);
        self
    }

    /// Adds PADDING (RFC 5780 §7.6).
    pub fn padding(mut self, len: u16) -> Self {
        self.message.add(AttributeType::PADDING, len.into());
        self
    }

    /// Adds XOR-RELAYED-ADDRESS (RFC 8656 §18.5).
    pub fn relayed_address(mut self, address: SocketAddr) -> Self {
        self.message.add_xor_address(AttributeType::XOR_RELAYED_ADDRESS, address);
        self
    }

    /// Adds ADDRESS-ERROR-CODE (RFC 8656 §18.12): why there is no relayed address of this family.
    pub fn address_error(self, family: Family, code: ErrorCode) -> Self {
        let family = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        self.code(AttributeType::ADDRESS_ERROR_CODE, family, code, code.reason())
    }

    /// Adds LIFETIME in seconds (RFC 8656 §18.2).
    pub fn lifetime(self, lifetime: Duration) -> Self {
        self.with(AttributeType::LIFETIME, &(lifetime.as_secs() as u32).to_be_bytes())
    }

    /// Adds RESERVATION-TOKEN (RFC 8656 §18.10).
    pub fn reservation_token(self, token: [u8; 8]) -> Self {
        self.with(AttributeType::RESERVATION_TOKEN, &token)
    }

    /// Adds MOBILITY-TICKET (RFC 8016 §4).
    pub fn mobility_ticket(self, ticket: &[u8]) -> Self {
        self.with(AttributeType::MOBILITY_TICKET, ticket)
    }

    /// Adds CONNECTION-ID (RFC 6062 §6.2.1).
    pub fn connection_id(self, id: u32) -> Self {
        self.with(AttributeType::CONNECTION_ID, &id.to_be_bytes())
    }

    /// Adds THIRD-PARTY-AUTHORIZATION: the name for which an access token must be made (RFC 7635
    /// §6.1).
    pub fn third_party(mut self, server_name: &str) -> Self {
        self.message.reserve(room([server_name.len()]) + PROOFS);
        self.with(AttributeType::THIRD_PARTY_AUTHORIZATION, server_name.as_bytes())
    }

    /// Adds REALM, NONCE and PASSWORD-ALGORITHMS: what the client needs to try again (RFC 8489
    /// §9.2.4).
    pub fn challenge(mut self, realm: &str, nonce: String) -> Self {
        let offer = PasswordAlgorithm::OFFER;
        self.message.reserve(room([realm.len(), nonce.len(), offer.len()]) + PROOFS);
        self.with(AttributeType::REALM, realm.as_bytes())
            .with(AttributeType::NONCE, nonce.as_bytes())
            .with(AttributeType::PASSWORD_ALGORITHMS, &offer)
    }

    /// Adds UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).
    pub fn unknown_attributes(mut self, unknown: &Unknown) -> Self {
        let types = unknown.as_slice();
        let value = self.message.add(AttributeType::UNKNOWN_ATTRIBUTES, 2 * types.len());
        for (typ, bytes) in types.iter().zip(value.chunks_exact_mut(2)) {
            bytes.copy_from_slice(&typ.to_be_bytes());
        }
        self
    }

    /// Signs the response with the key of the request's user, if it proved to have one, adds a
    /// FINGERPRINT if the request carried one, and gives the bytes.
    pub fn finish(mut self, key: Option<SigningKey<'_>>) -> Response {
        if let Some(key) = key {
            self.message.sign(key);
        }
        if self.fingerprint {
            self.message.add_fingerprint();
        }
        self.message.finish()
    }
}

/// Returns the number of bytes that attributes with values of these lengths take.
fn room<const N: usize>(values: [usize; N]) -> usize {
    values.iter().map(|len| ATTRIBUTE_HEADER + len.next_multiple_of(4)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_answer_to_allocate_fits_into_its_buffer() {
        let client = "[2001:db8::1]:7".parse().unwrap();
        let key = SigningKey { integrity: crate::Integrity::Sha256, key: b"key" };
        let id = TransactionId([7; 12]);
        let response = ResponseBuilder::success_to(Method::Allocate, id, true)
            .relayed_address(client)
            .mapped_address(client)
            .lifetime(Duration::from_secs(600))
            .address_error(Family::V4, ErrorCode::AddressFamilyNotSupported)
            .mobility_ticket(&[7; 22])
            .reservation_token([7; 8])
            .finish(Some(key));
        assert_eq!(response.len(), CAPACITY);
        assert_eq!(response.capacity(), CAPACITY);
    }
}
