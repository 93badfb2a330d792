//! Typed responses to bytes, with the encodings of the `stun` and `turn` crates.

use std::{net::SocketAddr, time::Duration};

use ::stun::{
    addr::MappedAddress,
    attributes::{
        ATTR_CONNECTION_ID, ATTR_MAPPED_ADDRESS, ATTR_NONCE, ATTR_OTHER_ADDRESS, ATTR_PADDING,
        ATTR_PASSWORD_ALGORITHMS, ATTR_REALM, ATTR_RESPONSE_ORIGIN, AttrType, RawAttribute,
    },
    error_code::{ErrorCode as WireCode, ErrorCodeAttribute},
    fingerprint::FINGERPRINT,
    message::{
        CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE,
        METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_CONNECT, METHOD_CONNECTION_ATTEMPT,
        METHOD_CONNECTION_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH, METHOD_SEND,
        Message as WireMessage, MessageClass, MessageType, Setter,
    },
    textattrs::TextAttribute,
    uattrs::UnknownAttributes,
    xoraddr::XorMappedAddress,
};
use ::turn::proto::{
    lifetime::Lifetime, peeraddr::PeerAddress, relayaddr::RelayedAddress,
    rsrvtoken::ReservationToken,
};

use super::{
    ErrorCode, Family, Method, PasswordAlgorithm, Request, SigningKey, TransactionId, Unknown,
    attributes::ATTR_MOBILITY_TICKET,
};

/// RFC 7635 §6.1, which the `stun` crate does not know.
const ATTR_THIRD_PARTY_AUTHORIZATION: AttrType = AttrType(0x802E);

/// ADDRESS-ERROR-CODE (RFC 8656 §18.12), which the crates do not know.
const ATTR_ADDRESS_ERROR_CODE: AttrType = AttrType(0x8001);

/// An address in the form of MAPPED-ADDRESS (RFC 8489 §14.1).
struct Plain {
    typ: AttrType,
    address: SocketAddr,
}

impl Setter for Plain {
    fn add_to(&self, message: &mut WireMessage) -> Result<(), ::stun::Error> {
        let (ip, port) = (self.address.ip(), self.address.port());
        MappedAddress { ip, port }.add_to_as(message, self.typ)
    }
}

/// A finished response: bytes to send.
pub type Response = Vec<u8>;

/// A response in the making. [`ResponseBuilder::finish`] signs it and gives the bytes.
#[derive(Debug)]
pub struct ResponseBuilder {
    message: WireMessage,
    fingerprint: bool,
}

impl ResponseBuilder {
    /// Begins the success response to a request.
    pub fn success(request: &Request<'_>) -> Self {
        let id = request.transaction;
        Self::begin(request.method, CLASS_SUCCESS_RESPONSE, id, request.fingerprint)
    }

    /// Begins the success response to a request that is not at hand any more.
    pub fn success_to(method: Method, transaction: TransactionId, fingerprint: bool) -> Self {
        Self::begin(method, CLASS_SUCCESS_RESPONSE, transaction, fingerprint)
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
        let response = Self::begin(method, CLASS_ERROR_RESPONSE, transaction, fingerprint);
        let reason = code.reason().as_bytes().to_vec();
        response.with(&ErrorCodeAttribute { code: WireCode(code.number()), reason })
    }

    /// Begins an error response without a reason phrase, which "is meant for diagnostic purposes"
    /// (RFC 8489 §14.8): whoever asked may not be who gets it.
    pub fn short_error(request: &Request<'_>, code: ErrorCode) -> Self {
        let id = request.transaction;
        let response = Self::begin(request.method, CLASS_ERROR_RESPONSE, id, request.fingerprint);
        response.with(&ErrorCodeAttribute { code: WireCode(code.number()), reason: Vec::new() })
    }

    fn begin(
        method: Method,
        class: MessageClass,
        transaction: TransactionId,
        fingerprint: bool,
    ) -> Self {
        let method = match method {
            Method::Binding => METHOD_BINDING,
            Method::Allocate => METHOD_ALLOCATE,
            Method::Refresh => METHOD_REFRESH,
            Method::CreatePermission => METHOD_CREATE_PERMISSION,
            Method::ChannelBind => METHOD_CHANNEL_BIND,
            Method::Connect => METHOD_CONNECT,
            Method::ConnectionBind => METHOD_CONNECTION_BIND,
            Method::Send => METHOD_SEND,
        };
        Self::of_type(MessageType { method, class }, transaction, fingerprint)
    }

    fn of_type(typ: MessageType, transaction: TransactionId, fingerprint: bool) -> Self {
        let mut message = WireMessage::new();
        message.transaction_id.0 = transaction.0;
        message.typ = typ;
        message.write_header();
        Self { message, fingerprint }
    }

    /// A ConnectionAttempt indication: `peer` has connected (RFC 6062 §5.3).
    pub fn connection_attempt(transaction: TransactionId, peer: SocketAddr, id: u32) -> Response {
        let typ = MessageType { method: METHOD_CONNECTION_ATTEMPT, class: CLASS_INDICATION };
        let peer = PeerAddress { ip: peer.ip(), port: peer.port() };
        Self::of_type(typ, transaction, false).with(&peer).connection_id(id).finish(None)
    }

    fn with(mut self, attribute: &impl Setter) -> Self {
        // Every attribute here is of our own making and within its bounds; the crate's checks are
        // for what a user types. A realm is bounded by the configuration.
        if let Err(error) = attribute.add_to(&mut self.message) {
            debug_assert!(false, "an attribute of ours was refused: {error}");
        }
        self
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    pub fn mapped_address(self, address: SocketAddr) -> Self {
        self.with(&XorMappedAddress { ip: address.ip(), port: address.port() })
    }

    /// MAPPED-ADDRESS (RFC 8489 §14.1): what comes of it unmasked tells of a NAT that meddles with
    /// addresses inside of packets (RFC 5780 §4.5).
    pub fn plain_mapped_address(self, address: SocketAddr) -> Self {
        self.with(&Plain { typ: ATTR_MAPPED_ADDRESS, address })
    }

    /// RESPONSE-ORIGIN and OTHER-ADDRESS (RFC 5780 §7.3, §7.4): where the answer comes from, and
    /// where it would come from if both address and port were changed.
    pub fn origin(self, origin: SocketAddr, other: SocketAddr) -> Self {
        self.with(&Plain { typ: ATTR_RESPONSE_ORIGIN, address: origin })
            .with(&Plain { typ: ATTR_OTHER_ADDRESS, address: other })
    }

    /// PADDING (RFC 5780 §7.6).
    pub fn padding(self, len: u16) -> Self {
        let value = vec![0; usize::from(len)];
        self.with(&RawAttribute { typ: ATTR_PADDING, length: len, value })
    }

    /// XOR-RELAYED-ADDRESS (RFC 8656 §18.4).
    pub fn relayed_address(self, address: SocketAddr) -> Self {
        self.with(&RelayedAddress { ip: address.ip(), port: address.port() })
    }

    /// ADDRESS-ERROR-CODE (RFC 8656 §18.12): why there is no relayed address of this family.
    pub fn address_error(self, family: Family, code: ErrorCode) -> Self {
        let (class, number) = ((code.number() / 100) as u8, (code.number() % 100) as u8);
        let family = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        let value = [&[family, 0, class, number], code.reason().as_bytes()].concat();
        self.with(&RawAttribute { typ: ATTR_ADDRESS_ERROR_CODE, length: value.len() as u16, value })
    }

    /// LIFETIME (RFC 8656 §18.2).
    pub fn lifetime(self, lifetime: Duration) -> Self {
        self.with(&Lifetime(lifetime))
    }

    /// RESERVATION-TOKEN (RFC 8656 §18.8).
    pub fn reservation_token(self, token: [u8; 8]) -> Self {
        self.with(&ReservationToken(token.to_vec()))
    }

    /// MOBILITY-TICKET (RFC 8016 §4).
    pub fn mobility_ticket(mut self, ticket: &[u8]) -> Self {
        self.message.add(ATTR_MOBILITY_TICKET, ticket);
        self
    }

    /// CONNECTION-ID (RFC 6062 §6.2.1).
    pub fn connection_id(self, id: u32) -> Self {
        let value = id.to_be_bytes().to_vec();
        self.with(&RawAttribute { typ: ATTR_CONNECTION_ID, length: 4, value })
    }

    /// THIRD-PARTY-AUTHORIZATION: for which name an access token must be made (RFC 7635 §6.1).
    pub fn third_party(mut self, server_name: &str) -> Self {
        self.message.add(ATTR_THIRD_PARTY_AUTHORIZATION, server_name.as_bytes());
        self
    }

    /// REALM, NONCE and PASSWORD-ALGORITHMS: what the client needs to try again (RFC 8489 §9.2.4).
    pub fn challenge(mut self, realm: &str, nonce: String) -> Self {
        self = self
            .with(&TextAttribute::new(ATTR_REALM, realm.to_owned()))
            .with(&TextAttribute::new(ATTR_NONCE, nonce));
        self.message.add(ATTR_PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFER);
        self
    }

    /// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).
    pub fn unknown_attributes(self, unknown: &Unknown) -> Self {
        self.with(&UnknownAttributes(unknown.as_slice().iter().map(|t| AttrType(*t)).collect()))
    }

    /// Signs the response with the key of the request's user, if it proved to have one, adds a
    /// FINGERPRINT if the request carried one, and gives the bytes.
    pub fn finish(mut self, key: Option<SigningKey<'_>>) -> Response {
        if let Some(key) = key {
            let value = key.sign(&self.message.raw);
            self.message.add(key.integrity.attribute(), value.as_ref());
        }
        if self.fingerprint {
            self = self.with(&FINGERPRINT);
        }
        self.message.raw
    }
}
