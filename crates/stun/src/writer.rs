//! Messages to bytes (RFC 8489 §5, §14): attribute by attribute, each at its final offset.

use std::net::SocketAddr;

use super::{
    SigningKey, TransactionId,
    address::{write_address, write_xor, xor_len},
    attribute_type::AttributeType,
    fingerprint::{FINGERPRINT, fingerprint},
    header::{ATTRIBUTE_HEADER, HEADER, MAGIC_COOKIE},
    message_type::MessageType,
};

/// A message in the making. Its header always fits what has been written.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    bytes: Vec<u8>,
    transaction: TransactionId,
}

impl MessageWriter {
    /// Begins a message with its header. No memory is asked for again up to `capacity` bytes.
    pub(crate) fn new(typ: MessageType, transaction: TransactionId, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&typ.value().to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(&transaction.0);
        Self { bytes, transaction }
    }

    /// Makes room for so many more bytes at once.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Adds an attribute of `len` zero bytes and their padding, which "MUST be set to zero"
    /// (RFC 8489 §14), and gives the value to be filled in.
    pub(crate) fn add(&mut self, typ: AttributeType, len: usize) -> &mut [u8] {
        let at = self.bytes.len() + ATTRIBUTE_HEADER;
        self.bytes.extend_from_slice(&typ.0.to_be_bytes());
        self.bytes.extend_from_slice(&(len as u16).to_be_bytes());
        self.bytes.resize(at + len.next_multiple_of(4), 0);
        self.set_length(self.bytes.len());
        &mut self.bytes[at..at + len]
    }

    /// Adds an attribute with this value.
    pub(crate) fn add_value(&mut self, typ: AttributeType, value: &[u8]) {
        self.add(typ, value.len()).copy_from_slice(value);
    }

    /// Adds an address in the form of MAPPED-ADDRESS (RFC 8489 §14.1).
    pub(crate) fn add_address(&mut self, typ: AttributeType, address: SocketAddr) {
        write_address(self.add(typ, xor_len(address)), address);
    }

    /// Adds an address in the form of XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    pub(crate) fn add_xor_address(&mut self, typ: AttributeType, address: SocketAddr) {
        let transaction = self.transaction;
        write_xor(self.add(typ, xor_len(address)), address, transaction);
    }

    /// Adds MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 over all that has been written.
    pub(crate) fn sign(&mut self, key: SigningKey<'_>) {
        let value = key.sign(&self.bytes);
        self.add_value(key.integrity.attribute(), value.as_ref());
    }

    /// Adds FINGERPRINT, which is the last attribute. Its sum is over a length field that counts it
    /// (RFC 8489 §14.7).
    pub(crate) fn add_fingerprint(&mut self) {
        self.set_length(self.bytes.len() + ATTRIBUTE_HEADER + FINGERPRINT);
        let value = fingerprint(&self.bytes);
        self.add_value(AttributeType::FINGERPRINT, &value);
    }

    /// Gives the message.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the length field of a message that ends at `end`: the header is not counted.
    fn set_length(&mut self, end: usize) {
        let length = end - HEADER;
        debug_assert!(length <= usize::from(u16::MAX), "a message of {length} bytes");
        self.bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    }
}
