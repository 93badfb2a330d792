//! The requests of a client.

use std::{net::SocketAddr, time::Duration};

use stun::{
    attributes::{ATTR_CONNECTION_ID, ATTR_REQUESTED_ADDRESS_FAMILY, AttrType, RawAttribute},
    message::{
        CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND,
        METHOD_CONNECT, METHOD_CONNECTION_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH,
        METHOD_SEND, Message, MessageClass, MessageType, Method, Setter,
    },
};
use turn::proto::{
    PROTO_TCP, PROTO_UDP, channum::ChannelNumber, lifetime::Lifetime, peeraddr::PeerAddress,
    reqtrans::RequestedTransport,
};

use crate::Error;

/// A request, or an indication, before it is signed and encoded.
///
/// It can be sent several times: each has a transaction ID of its own.
pub struct Request {
    kind: MessageType,
    attributes: Vec<Box<dyn Setter>>,
}

impl Request {
    /// Creates a request without attributes.
    pub fn new(method: Method) -> Self {
        Self::of_class(method, CLASS_REQUEST)
    }

    fn of_class(method: Method, class: MessageClass) -> Self {
        Self { kind: MessageType { method, class }, attributes: Vec::new() }
    }

    /// Adds an attribute.
    pub fn with(mut self, attribute: impl Setter + 'static) -> Self {
        self.attributes.push(Box::new(attribute));
        self
    }

    fn to(self, peer: SocketAddr) -> Self {
        self.with(PeerAddress { ip: peer.ip(), port: peer.port() })
    }

    /// Asks for the address that the server sees.
    pub fn binding() -> Self {
        Self::new(METHOD_BINDING)
    }

    /// Asks for a relayed address of UDP.
    pub fn allocate() -> Self {
        Self::new(METHOD_ALLOCATE).with(RequestedTransport { protocol: PROTO_UDP })
    }

    /// Asks for a relayed address of TCP (RFC 6062 §4.1).
    pub fn allocate_tcp() -> Self {
        Self::new(METHOD_ALLOCATE).with(RequestedTransport { protocol: PROTO_TCP })
    }

    /// Keeps an allocation.
    pub fn refresh() -> Self {
        Self::new(METHOD_REFRESH)
    }

    /// Ends an allocation.
    pub fn release() -> Self {
        Self::refresh().with(Lifetime(Duration::ZERO))
    }

    /// Asks for a permission.
    pub fn create_permission(peer: SocketAddr) -> Self {
        Self::new(METHOD_CREATE_PERMISSION).to(peer)
    }

    /// Binds a channel, which gives the permission too.
    pub fn channel_bind(number: u16, peer: SocketAddr) -> Self {
        Self::new(METHOD_CHANNEL_BIND).with(ChannelNumber(number)).to(peer)
    }

    /// Connects to a peer (RFC 6062 §4.3).
    pub fn connect(peer: SocketAddr) -> Self {
        Self::new(METHOD_CONNECT).to(peer)
    }

    /// Makes a stream one with a peer's connection, by its CONNECTION-ID (RFC 6062 §4.3).
    pub fn connection_bind(id: &[u8]) -> Self {
        Self::new(METHOD_CONNECTION_BIND).with(attribute(ATTR_CONNECTION_ID, id))
    }

    /// Creates a Send indication to a peer.
    pub(crate) fn send(peer: SocketAddr) -> Self {
        Self::of_class(METHOD_SEND, CLASS_INDICATION).to(peer)
    }

    /// Encodes the request without a signature.
    ///
    /// # Errors
    /// An attribute cannot be encoded.
    pub fn to_message(&self) -> Result<Message, Error> {
        let mut message = Message::new();
        message.typ = self.kind;
        message.write_header();
        message.new_transaction_id().map_err(Error::Encode)?;
        let mut attributes = self.attributes.iter();
        attributes.try_for_each(|it| it.add_to(&mut message)).map_err(Error::Encode)?;
        Ok(message)
    }
}

/// Creates an attribute from the bytes of its value.
pub fn attribute(typ: AttrType, value: &[u8]) -> RawAttribute {
    RawAttribute { typ, length: value.len() as u16, value: value.to_vec() }
}

/// Creates REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.8).
pub fn requested_family(ipv6: bool) -> RawAttribute {
    attribute(ATTR_REQUESTED_ADDRESS_FAMILY, &[if ipv6 { 2 } else { 1 }, 0, 0, 0])
}
