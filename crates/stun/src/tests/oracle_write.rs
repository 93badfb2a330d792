//! Messages of this crate beside those that webrtc-rs makes of the same attributes, byte by byte.

use std::{net::SocketAddr, time::Duration};

use ::stun::{
    addr::MappedAddress,
    attributes::*,
    error_code::{ErrorCode as OracleCode, ErrorCodeAttribute},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{Message, MessageClass, Method as OracleMethod, Setter, *},
    textattrs::TextAttribute,
    uattrs::UnknownAttributes,
    xoraddr::XorMappedAddress,
};
use ::turn::proto::{
    lifetime::Lifetime, peeraddr::PeerAddress, relayaddr::RelayedAddress,
    rsrvtoken::ReservationToken,
};
use proptest::{collection::vec, prelude::*};

use crate::{Method, testing::sign_sha256, *};

/// One call of a [`ResponseBuilder`].
#[derive(Debug, Clone)]
enum Part {
    Mapped(SocketAddr),
    PlainMapped(SocketAddr),
    Origin(SocketAddr, SocketAddr),
    Padding(u16),
    Relayed(SocketAddr),
    AddressError(Family, ErrorCode),
    Lifetime(Duration),
    Token([u8; 8]),
    Ticket(Vec<u8>),
    ConnectionId(u32),
    ThirdParty(String),
    Challenge(String, String),
    Unknown,
}

impl Part {
    fn any() -> impl Strategy<Value = Self> {
        let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
        prop_oneof![
            any::<SocketAddr>().prop_map(Self::Mapped),
            any::<SocketAddr>().prop_map(Self::PlainMapped),
            any::<(SocketAddr, SocketAddr)>().prop_map(|(a, b)| Self::Origin(a, b)),
            (0u16..=1500).prop_map(Self::Padding),
            any::<SocketAddr>().prop_map(Self::Relayed),
            (family, error_code()).prop_map(|(family, code)| Self::AddressError(family, code)),
            any::<u64>().prop_map(|s| Self::Lifetime(Duration::from_secs(s))),
            (0u64..4000).prop_map(|s| Self::Lifetime(Duration::from_secs(s))),
            any::<[u8; 8]>().prop_map(Self::Token),
            vec(any::<u8>(), 0..80).prop_map(Self::Ticket),
            any::<u32>().prop_map(Self::ConnectionId),
            text().prop_map(Self::ThirdParty),
            (text(), text()).prop_map(|(realm, nonce)| Self::Challenge(realm, nonce)),
            Just(Self::Unknown),
        ]
    }

    fn build(&self, request: &Request<'_>, response: ResponseBuilder) -> ResponseBuilder {
        match self.clone() {
            Self::Mapped(address) => response.mapped_address(address),
            Self::PlainMapped(address) => response.plain_mapped_address(address),
            Self::Origin(origin, other) => response.origin(origin, other),
            Self::Padding(len) => response.padding(len),
            Self::Relayed(address) => response.relayed_address(address),
            Self::AddressError(family, code) => response.address_error(family, code),
            Self::Lifetime(lifetime) => response.lifetime(lifetime),
            Self::Token(token) => response.reservation_token(token),
            Self::Ticket(ticket) => response.mobility_ticket(&ticket),
            Self::ConnectionId(id) => response.connection_id(id),
            Self::ThirdParty(name) => response.third_party(&name),
            Self::Challenge(realm, nonce) => response.challenge(&realm, nonce),
            Self::Unknown => response.unknown_attributes(&request.attributes.unknown),
        }
    }

    fn oracle(&self, request: &Request<'_>, message: &mut Message) -> Result<(), ::stun::Error> {
        let (ip, port) = match self {
            Self::Mapped(at) | Self::PlainMapped(at) | Self::Origin(at, _) | Self::Relayed(at) => {
                (at.ip(), at.port())
            }
            _ => ([0; 4].into(), 0),
        };
        match self.clone() {
            Self::Mapped(_) => XorMappedAddress { ip, port }.add_to(message),
            Self::PlainMapped(_) => MappedAddress { ip, port }.add_to(message),
            Self::Origin(_, other) => {
                MappedAddress { ip, port }.add_to_as(message, ATTR_RESPONSE_ORIGIN)?;
                let other = MappedAddress { ip: other.ip(), port: other.port() };
                other.add_to_as(message, ATTR_OTHER_ADDRESS)
            }
            Self::Padding(len) => raw(ATTR_PADDING, &vec![0; usize::from(len)]).add_to(message),
            Self::Relayed(_) => RelayedAddress { ip, port }.add_to(message),
            Self::AddressError(family, code) => {
                let family = if family == Family::V4 { 1 } else { 2 };
                let (class, number) = ((code.number() / 100) as u8, (code.number() % 100) as u8);
                let value = [&[family, 0, class, number], code.reason().as_bytes()].concat();
                raw(AttrType(0x8001), &value).add_to(message)
            }
            Self::Lifetime(lifetime) => Lifetime(lifetime).add_to(message),
            Self::Token(token) => ReservationToken(token.to_vec()).add_to(message),
            Self::Ticket(ticket) => raw(AttrType(0x8030), &ticket).add_to(message),
            Self::ConnectionId(id) => raw(ATTR_CONNECTION_ID, &id.to_be_bytes()).add_to(message),
            Self::ThirdParty(name) => raw(AttrType(0x802E), name.as_bytes()).add_to(message),
            Self::Challenge(realm, nonce) => {
                TextAttribute::new(ATTR_REALM, realm).add_to(message)?;
                TextAttribute::new(ATTR_NONCE, nonce).add_to(message)?;
                raw(ATTR_PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]).add_to(message)
            }
            Self::Unknown => {
                let types = request.attributes.unknown.as_slice().iter();
                UnknownAttributes(types.map(|typ| AttrType(*typ)).collect()).add_to(message)
            }
        }
    }
}

/// The first attribute of a response, or none of an error.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Success,
    Error(ErrorCode),
    ShortError(ErrorCode),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        error_code().prop_map(Outcome::Error),
        error_code().prop_map(Outcome::ShortError),
    ]
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    prop::sample::select(&ErrorCode::ALL[..])
}

/// Realms, nonces and names of every length that a reader must accept (RFC 8489 §14.9, §14.10).
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ -~]{0,40}", 1 => "[ -~]{0,763}", 1 => "\\PC{0,190}"]
}

fn methods() -> impl Strategy<Value = (Method, OracleMethod)> {
    prop::sample::select(vec![
        (Method::Binding, METHOD_BINDING),
        (Method::Allocate, METHOD_ALLOCATE),
        (Method::Refresh, METHOD_REFRESH),
        (Method::CreatePermission, METHOD_CREATE_PERMISSION),
        (Method::ChannelBind, METHOD_CHANNEL_BIND),
        (Method::Connect, METHOD_CONNECT),
        (Method::ConnectionBind, METHOD_CONNECTION_BIND),
        (Method::Send, METHOD_SEND),
    ])
}

fn raw(typ: AttrType, value: &[u8]) -> RawAttribute {
    RawAttribute { typ, length: value.len() as u16, value: value.to_vec() }
}

fn message(method: OracleMethod, class: MessageClass, transaction: [u8; 12]) -> Message {
    let mut message = Message::new();
    message.typ = MessageType { method, class };
    message.transaction_id.0 = transaction;
    message.write_header();
    message
}

proptest! {
    #[test]
    fn a_response_is_byte_by_byte_that_of_webrtc_rs(
        (method, oracle_method) in methods(),
        outcome in outcome(),
        transaction: [u8; 12],
        unknown in vec(0x4000u16..0x8000, 0..10),
        parts in vec(Part::any(), 0..7),
        key in prop::option::of((any::<bool>(), vec(any::<u8>(), 0..70))),
        fingerprint: bool,
    ) {
        let class = if method == Method::Send { CLASS_INDICATION } else { CLASS_REQUEST };
        let mut request = message(oracle_method, class, transaction);
        unknown.iter().for_each(|typ| request.add(AttrType(*typ), b""));
        if fingerprint {
            FINGERPRINT.add_to(&mut request).unwrap();
        }
        let request = Request::parse(&request.raw).unwrap();
        prop_assert_eq!(request.method, method);

        let (builder, class, error) = match outcome {
            Outcome::Success => (ResponseBuilder::success(&request), CLASS_SUCCESS_RESPONSE, None),
            Outcome::Error(code) => {
                let reason = code.reason().as_bytes().to_vec();
                let builder = ResponseBuilder::error(&request, code);
                (builder, CLASS_ERROR_RESPONSE, Some((code, reason)))
            }
            Outcome::ShortError(code) => {
                let builder = ResponseBuilder::short_error(&request, code);
                (builder, CLASS_ERROR_RESPONSE, Some((code, Vec::new())))
            }
        };
        let mut expected = message(oracle_method, class, transaction);
        if let Some((code, reason)) = error {
            let code = OracleCode(code.number());
            ErrorCodeAttribute { code, reason }.add_to(&mut expected).unwrap();
        }
        let mut response = builder;
        for part in &parts {
            response = part.build(&request, response);
            part.oracle(&request, &mut expected).unwrap();
        }
        let signing = key.as_ref().map(|(sha1, key)| {
            let integrity = if *sha1 { Integrity::Sha1 } else { Integrity::Sha256 };
            SigningKey { integrity, key }
        });
        match key.clone() {
            Some((true, key)) => MessageIntegrity(key).add_to(&mut expected).unwrap(),
            Some((false, key)) => sign_sha256(&mut expected, &key, 32),
            None => {}
        }
        if fingerprint {
            FINGERPRINT.add_to(&mut expected).unwrap();
        }
        prop_assert_eq!(response.finish(signing), expected.raw);
    }

    #[test]
    fn an_icmp_indication_is_byte_by_byte_that_of_webrtc_rs(
        peer: SocketAddr,
        transaction: [u8; 12],
        kind in 0u8..128,
        code: u8,
        mtu: u32,
    ) {
        let icmp = Icmp { family: Family::of(peer), kind, code, mtu };
        let mut expected = message(METHOD_DATA, CLASS_INDICATION, transaction);
        PeerAddress { ip: peer.ip(), port: peer.port() }.add_to(&mut expected).unwrap();
        let too_big = if peer.is_ipv4() { (kind, code) == (3, 4) } else { kind == 2 };
        let bits = (u32::from(kind) << 9 | u32::from(code)).to_be_bytes();
        let data = if too_big { mtu } else { 0 }.to_be_bytes();
        expected.add(AttrType(0x8004), &[bits, data].concat());
        prop_assert_eq!(icmp_indication(peer, icmp, TransactionId(transaction)), expected.raw);
    }

    #[test]
    fn a_connection_attempt_is_byte_by_byte_that_of_webrtc_rs(
        peer: SocketAddr,
        transaction: [u8; 12],
        id: u32,
    ) {
        let mut expected = message(METHOD_CONNECTION_ATTEMPT, CLASS_INDICATION, transaction);
        PeerAddress { ip: peer.ip(), port: peer.port() }.add_to(&mut expected).unwrap();
        expected.add(ATTR_CONNECTION_ID, &id.to_be_bytes());
        let made = ResponseBuilder::connection_attempt(TransactionId(transaction), peer, id);
        prop_assert_eq!(made, expected.raw);
    }

    #[test]
    fn a_data_indication_is_byte_by_byte_that_of_webrtc_rs(
        peer: SocketAddr,
        transaction: [u8; 12],
        payload in vec(any::<u8>(), 0..1500),
    ) {
        let (mut buffer, range) = roomy(&payload);
        let mut packet = Packet::new(&mut buffer, range);
        prop_assert!(write_data_indication(&mut packet, peer, TransactionId(transaction), MAX_FRAME));
        let mut expected = message(METHOD_DATA, CLASS_INDICATION, transaction);
        PeerAddress { ip: peer.ip(), port: peer.port() }.add_to(&mut expected).unwrap();
        expected.add(ATTR_DATA, &payload);
        prop_assert_eq!(packet.bytes(), &expected.raw[..]);
    }
}
