//! Any bytes, read by this crate and by webrtc-rs: both accept the same and see the same in it.

use ::stun::{
    attributes::*,
    fingerprint::fingerprint_value,
    integrity::MessageIntegrity,
    message::{Message, Method as OracleMethod, *},
};
use proptest::{collection::vec, prelude::*};

use crate::{Method, *};

const KEY: &[u8] = b"key";

/// The verdict on a message by webrtc-rs's reader and the rules that it leaves to its caller;
/// `None` where the attributes run past the end, behind a FINGERPRINT that may be wrong as well.
fn verdict(bytes: &[u8]) -> Option<Result<Method, ParseError>> {
    if bytes.len() < 20 || bytes[0] >= 0x40 || bytes[4..8] != MAGIC_COOKIE.to_be_bytes() {
        return Some(Err(ParseError::NotStun));
    }
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if length % 4 != 0 || length + 20 != bytes.len() {
        return Some(Err(ParseError::NotStun));
    }
    let mut message = Message::new();
    message.unmarshal_binary(bytes).ok()?;
    let mut at = 20;
    for attribute in &message.attributes.0 {
        let next = at + 4 + attribute.value.len().next_multiple_of(4);
        if attribute.typ == ATTR_FINGERPRINT {
            let sum = fingerprint_value(&bytes[..at]).to_be_bytes();
            if attribute.value != sum || next != bytes.len() {
                return Some(Err(ParseError::Fingerprint));
            }
        }
        at = next;
    }
    let MessageType { method, class } = message.typ;
    let known: [(OracleMethod, Method); 7] = [
        (METHOD_BINDING, Method::Binding),
        (METHOD_ALLOCATE, Method::Allocate),
        (METHOD_REFRESH, Method::Refresh),
        (METHOD_CREATE_PERMISSION, Method::CreatePermission),
        (METHOD_CHANNEL_BIND, Method::ChannelBind),
        (METHOD_CONNECT, Method::Connect),
        (METHOD_CONNECTION_BIND, Method::ConnectionBind),
    ];
    let known = match class {
        CLASS_REQUEST => known.iter().find(|(oracle, _)| *oracle == method).map(|(_, ours)| *ours),
        CLASS_INDICATION => (method == METHOD_SEND).then_some(Method::Send),
        _ => None,
    };
    Some(known.ok_or(ParseError::NotARequest))
}

/// Attributes of every kind that is read, with a value that it can have.
fn sound() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let fixed = prop::sample::select(vec![
        (0x0003u16, 4usize), // CHANGE-REQUEST
        (0x0008, 20),        // MESSAGE-INTEGRITY
        (0x000C, 4),         // CHANNEL-NUMBER
        (0x000D, 4),         // LIFETIME
        (0x0017, 4),         // REQUESTED-ADDRESS-FAMILY
        (0x0018, 1),         // EVEN-PORT
        (0x0019, 4),         // REQUESTED-TRANSPORT
        (0x001A, 0),         // DONT-FRAGMENT
        (0x001C, 32),        // MESSAGE-INTEGRITY-SHA256
        (0x001D, 4),         // PASSWORD-ALGORITHM
        (0x001E, 32),        // USERHASH
        (0x0022, 8),         // RESERVATION-TOKEN
        (0x0027, 2),         // RESPONSE-PORT
        (0x002A, 4),         // CONNECTION-ID
        (0x8000, 4),         // ADDITIONAL-ADDRESS-FAMILY
        (0x8032, 4),         // the same, by its earlier number
    ]);
    // DATA, REALM, NONCE, ACCESS-TOKEN, PADDING, PASSWORD-ALGORITHMS, MOBILITY-TICKET
    let open =
        prop::sample::select(vec![0x0013u16, 0x0014, 0x0015, 0x001B, 0x0026, 0x8002, 0x8030]);
    let peer = (prop_oneof![Just((1u8, 4usize)), Just((2, 16))], any::<u8>());
    prop_oneof![
        8 => fixed.prop_flat_map(|(typ, len)| (Just(typ), vec(any::<u8>(), len))),
        4 => (open, vec(any::<u8>(), 0..40)),
        1 => "[a-z]{0,20}".prop_map(|name| (ATTR_USERNAME.value(), name.into_bytes())),
        3 => peer.prop_map(|((family, len), byte)| {
            (ATTR_XOR_PEER_ADDRESS.value(), [vec![0, family], vec![byte; 2 + len]].concat())
        }),
    ]
}

/// Attributes of any kind and length, most of them sound.
fn attribute() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let typ = prop_oneof![0x0000u16..0x0030, 0x8000u16..0x8040, any::<u16>()];
    prop_oneof![12 => sound(), 1 => (typ, vec(any::<u8>(), 0..40))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_accepted_exactly_if_webrtc_rs_accepts_them(
        typ in prop_oneof![8 => prop::sample::select(vec![1u16, 3, 4, 8, 9, 10, 11, 0x16]), 1 => any::<u16>()],
        transaction: [u8; 12],
        attributes in vec(attribute(), 0..8),
        sign: bool,
        fingerprint: bool,
        behind in prop_oneof![4 => Just(Vec::new()), 1 => vec(attribute(), 1..3)],
        changes in prop_oneof![2 => Just(Vec::new()), 1 => vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)],
        cut in prop_oneof![6 => Just(0usize), 1 => 0usize..30],
    ) {
        let mut message = Message::new();
        message.typ.read_value(typ);
        message.transaction_id.0 = transaction;
        message.write_header();
        attributes.iter().for_each(|(typ, value)| message.add(AttrType(*typ), value));
        let seen = |typ| attributes.iter().any(|(other, _)| *other == typ);
        if sign && !seen(ATTR_FINGERPRINT.value()) {
            MessageIntegrity(KEY.to_vec()).add_to(&mut message).unwrap();
        }
        let at = message.raw.len();
        if fingerprint {
            message.add(ATTR_FINGERPRINT, &[0; 4]);
        }
        behind.iter().for_each(|(typ, value)| message.add(AttrType(*typ), value));
        let mut bytes = message.raw;
        if fingerprint {
            let sum = fingerprint_value(&bytes[..at]).to_be_bytes();
            bytes[at + 4..at + 8].copy_from_slice(&sum);
        }
        changes.iter().for_each(|(at, to)| *at.get_mut(&mut bytes) = *to);
        bytes.truncate(bytes.len().saturating_sub(cut));

        let parsed = Request::parse(&bytes);
        let Some(verdict) = verdict(&bytes) else {
            let refused = matches!(parsed, Err(ParseError::NotStun | ParseError::Fingerprint));
            prop_assert!(refused, "{:?}", parsed);
            return Ok(());
        };
        prop_assert_eq!(parsed.as_ref().map(|request| request.method).map_err(|e| *e), verdict);
        let Ok(request) = parsed else { return Ok(()) };
        let mut read = Message::new();
        read.unmarshal_binary(&bytes).unwrap();
        prop_assert_eq!(request.transaction.0, read.transaction_id.0);
        prop_assert_eq!(request.fingerprint, read.contains(ATTR_FINGERPRINT));

        let oracle = &read.attributes.0;
        let end = oracle.iter().position(|attribute| {
            let len = attribute.value.len();
            match attribute.typ {
                ATTR_MESSAGE_INTEGRITY => len == 20,
                ATTR_MESSAGE_INTEGRITY_SHA256 => (16..=32).contains(&len) && len % 4 == 0,
                _ => false,
            }
        });
        let counted = &oracle[..end.unwrap_or(oracle.len())];
        let first = |typ: AttrType| counted.iter().find(|a| a.typ == typ).map(|a| &a.value[..]);
        let read_by_us = &request.attributes;
        if !read_by_us.malformed {
            prop_assert_eq!(read_by_us.username.map(str::as_bytes), first(ATTR_USERNAME));
            prop_assert_eq!(read_by_us.userhash.map(|hash| &hash[..]), first(ATTR_USER_HASH));
            prop_assert_eq!(read_by_us.realm, first(ATTR_REALM));
            prop_assert_eq!(read_by_us.nonce, first(ATTR_NONCE));
            prop_assert_eq!(read_by_us.password_algorithms, first(ATTR_PASSWORD_ALGORITHMS));
            prop_assert_eq!(read_by_us.access_token, first(AttrType(0x001B)));
            prop_assert_eq!(read_by_us.mobility_ticket, first(AttrType(0x8030)));
            prop_assert_eq!(read_by_us.data.clone().map(|at| &bytes[at]), first(ATTR_DATA));
            prop_assert_eq!(read_by_us.dont_fragment, first(ATTR_DONT_FRAGMENT).is_some());
            let lifetime = read_by_us.lifetime.map(u32::to_be_bytes);
            prop_assert_eq!(lifetime.as_ref().map(|l| &l[..]), first(ATTR_LIFETIME));
            let id = read_by_us.connection_id.map(u32::to_be_bytes);
            prop_assert_eq!(id.as_ref().map(|id| &id[..]), first(ATTR_CONNECTION_ID));
            prop_assert_eq!(
                read_by_us.requested_transport,
                first(ATTR_REQUESTED_TRANSPORT).map(|value| value[0])
            );
            let peers = counted.iter().filter(|a| a.typ == ATTR_XOR_PEER_ADDRESS).count();
            prop_assert_eq!(request.peers().count(), peers);
        }
        if let (Some(credentials), Some(end)) = (&request.credentials, end)
            && credentials.integrity() == Integrity::Sha1
            && oracle.iter().position(|a| a.typ == ATTR_MESSAGE_INTEGRITY) == Some(end)
        {
            let right = MessageIntegrity(KEY.to_vec()).check(&mut read).is_ok();
            prop_assert_eq!(credentials.verify(KEY), right);
        }
    }

    #[test]
    fn no_bytes_are_read_that_webrtc_rs_refuses(bytes in vec(any::<u8>(), 0..120), cookie: bool) {
        let mut bytes = bytes;
        if cookie && bytes.len() >= 20 {
            bytes.truncate(bytes.len() & !3);
            let length = (bytes.len() - 20) as u16;
            bytes[0] &= 0x3F;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        let parsed = Request::parse(&bytes).map(|request| request.method);
        match verdict(&bytes) {
            Some(verdict) => prop_assert_eq!(parsed, verdict),
            None => prop_assert!(parsed.is_err()),
        }
    }
}
