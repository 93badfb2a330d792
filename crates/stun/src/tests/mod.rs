//! The wire format against the RFC's vectors, the crates' own messages, and nonsense.

mod attributes;
mod integrity;
mod oracle_read;
mod oracle_write;
mod random;
mod responses;
mod vectors;

use std::net::SocketAddr;

use ::stun::{
    attributes::*,
    error_code::ErrorCodeAttribute,
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{Getter, Message, Setter, *},
    textattrs::TextAttribute,
};
use ::turn::proto::{data::Data, peeraddr::PeerAddress};
use proptest::prelude::*;

use crate::{
    testing::{is_signed_sha256, sign_sha256},
    vectors::{RFC5769_LONG_TERM, RFC5769_REQUEST},
    *,
};

fn message(
    method: ::stun::message::Method,
    class: MessageClass,
    setters: &[&dyn Setter],
) -> Vec<u8> {
    let mut message = Message::new();
    message.typ = MessageType { method, class };
    message.transaction_id.0 = *b"transaction!";
    message.write_header();
    for setter in setters {
        setter.add_to(&mut message).unwrap();
    }
    message.raw
}

fn raw(typ: AttrType, value: &[u8]) -> RawAttribute {
    RawAttribute { typ, length: value.len() as u16, value: value.to_vec() }
}
