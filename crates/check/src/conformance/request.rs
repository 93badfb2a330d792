//! Messages of a client, right ones and wrong ones, made attribute by attribute. They are encoded
//! by the `stun` and `turn` crates, and not by the code with which a callbox server reads them.

use std::net::SocketAddr;

use ::stun::{
    attributes::{
        ATTR_CHANNEL_NUMBER, ATTR_CONNECTION_ID, ATTR_DATA, ATTR_LIFETIME,
        ATTR_MESSAGE_INTEGRITY_SHA256, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_ADDRESS_FAMILY,
        ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, AttrType,
    },
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{
        CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND,
        METHOD_CONNECT, METHOD_CONNECTION_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH,
        METHOD_SEND, Message, MessageClass, MessageType, Method, Setter,
    },
};
use ::turn::proto::peeraddr::PeerAddress;
use rand::Rng;

use super::{integrity::sha256_tag, login::Login};

/// The protocol number of UDP, in REQUESTED-TRANSPORT (RFC 8656 §18.8).
pub(super) const UDP: u8 = 17;
/// The protocol number of TCP (RFC 6062 §5.1).
pub(super) const TCP: u8 = 6;
/// IPv4 in REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6).
pub(super) const IPV4: u8 = 1;
/// IPv6 in REQUESTED-ADDRESS-FAMILY.
pub(super) const IPV6: u8 = 2;

/// A part of a message.
#[derive(Clone)]
enum Part {
    Attribute(AttrType, Vec<u8>),
    /// XOR-PEER-ADDRESS, whose bytes depend on the transaction id.
    Peer(SocketAddr),
    Integrity(MessageIntegrity),
    IntegritySha256(Vec<u8>),
    Fingerprint,
}

/// A message before it is encoded.
#[derive(Clone)]
pub(super) struct Request {
    typ: MessageType,
    id: [u8; 12],
    parts: Vec<Part>,
}

impl Request {
    /// Creates a message of any method and class, without attributes.
    pub(super) fn new(method: Method, class: MessageClass) -> Self {
        let typ = MessageType { method, class };
        Self { typ, id: rand::rng().random(), parts: Vec::new() }
    }

    /// Creates a Binding request.
    pub(super) fn binding() -> Self {
        Self::new(METHOD_BINDING, CLASS_REQUEST)
    }

    /// Creates an Allocate request without attributes.
    pub(super) fn bare_allocate() -> Self {
        Self::new(METHOD_ALLOCATE, CLASS_REQUEST)
    }

    /// Creates an Allocate request for a relayed UDP address.
    pub(super) fn allocate() -> Self {
        Self::bare_allocate().transport(UDP)
    }

    /// Creates a Refresh request.
    pub(super) fn refresh() -> Self {
        Self::new(METHOD_REFRESH, CLASS_REQUEST)
    }

    /// Creates a CreatePermission request without a peer.
    pub(super) fn permission() -> Self {
        Self::new(METHOD_CREATE_PERMISSION, CLASS_REQUEST)
    }

    /// Creates a ChannelBind request without number or peer.
    pub(super) fn bare_bind() -> Self {
        Self::new(METHOD_CHANNEL_BIND, CLASS_REQUEST)
    }

    /// Creates a ChannelBind request.
    pub(super) fn bind(number: u16, peer: SocketAddr) -> Self {
        Self::bare_bind().channel(number).peer(peer)
    }

    /// Creates a Connect request without a peer.
    pub(super) fn bare_connect() -> Self {
        Self::new(METHOD_CONNECT, CLASS_REQUEST)
    }

    /// Creates a Connect request.
    pub(super) fn connect(peer: SocketAddr) -> Self {
        Self::bare_connect().peer(peer)
    }

    /// Creates a ConnectionBind request without a connection's number.
    pub(super) fn bare_connection_bind() -> Self {
        Self::new(METHOD_CONNECTION_BIND, CLASS_REQUEST)
    }

    /// Creates a ConnectionBind request.
    pub(super) fn connection_bind(number: u32) -> Self {
        Self::bare_connection_bind().with(ATTR_CONNECTION_ID, &number.to_be_bytes())
    }

    /// Creates a Send indication without peer or data.
    pub(super) fn bare_send() -> Self {
        Self::new(METHOD_SEND, CLASS_INDICATION)
    }

    /// Creates a Send indication.
    pub(super) fn send(peer: SocketAddr, data: &[u8]) -> Self {
        Self::bare_send().peer(peer).data(data)
    }

    /// Adds an attribute of any type.
    pub(super) fn with(mut self, typ: AttrType, value: &[u8]) -> Self {
        self.parts.push(Part::Attribute(typ, value.to_vec()));
        self
    }

    /// Adds REQUESTED-TRANSPORT: a number, and three bytes that are reserved.
    pub(super) fn transport(self, protocol: u8) -> Self {
        self.with(ATTR_REQUESTED_TRANSPORT, &[protocol, 0, 0, 0])
    }

    /// Adds REQUESTED-ADDRESS-FAMILY.
    pub(super) fn family(self, family: u8) -> Self {
        self.with(ATTR_REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])
    }

    /// Adds LIFETIME, in seconds.
    pub(super) fn lifetime(self, seconds: u32) -> Self {
        self.with(ATTR_LIFETIME, &seconds.to_be_bytes())
    }

    /// Adds CHANNEL-NUMBER.
    pub(super) fn channel(self, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        self.with(ATTR_CHANNEL_NUMBER, &[high, low, 0, 0])
    }

    /// Adds XOR-PEER-ADDRESS.
    pub(super) fn peer(mut self, peer: SocketAddr) -> Self {
        self.parts.push(Part::Peer(peer));
        self
    }

    /// Adds DATA.
    pub(super) fn data(self, data: &[u8]) -> Self {
        self.with(ATTR_DATA, data)
    }

    /// Adds FINGERPRINT.
    pub(super) fn fingerprint(mut self) -> Self {
        self.parts.push(Part::Fingerprint);
        self
    }

    /// Adds MESSAGE-INTEGRITY.
    pub(super) fn integrity(mut self, key: &MessageIntegrity) -> Self {
        self.parts.push(Part::Integrity(key.clone()));
        self
    }

    /// Adds MESSAGE-INTEGRITY-SHA256.
    pub(super) fn integrity_sha256(mut self, key: &[u8]) -> Self {
        self.parts.push(Part::IntegritySha256(key.to_vec()));
        self
    }

    /// Adds the attributes that name the user, and MESSAGE-INTEGRITY (RFC 8489 §9.2.3.2).
    pub(super) fn signed(self, login: &Login) -> Self {
        self.user(login).integrity(&login.key)
    }

    /// Adds the attributes that name the user: USERNAME, REALM and NONCE.
    pub(super) fn user(self, login: &Login) -> Self {
        self.with(ATTR_USERNAME, login.username.as_bytes())
            .with(ATTR_REALM, login.realm.as_bytes())
            .with(ATTR_NONCE, &login.nonce)
    }

    /// Removes the attributes of a type.
    pub(super) fn without(mut self, typ: AttrType) -> Self {
        self.parts.retain(|part| !matches!(part, Part::Attribute(other, _) if *other == typ));
        self
    }

    /// Copies the message with a new transaction ID.
    pub(super) fn with_new_id(&self) -> Self {
        Self { id: rand::rng().random(), ..self.clone() }
    }

    /// Returns the transaction ID.
    pub(super) fn id(&self) -> [u8; 12] {
        self.id
    }

    /// Returns the method.
    pub(super) fn method(&self) -> Method {
        self.typ.method
    }

    /// Encodes the message.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut message = Message::new();
        message.typ = self.typ;
        message.transaction_id.0 = self.id;
        message.write_header();
        for part in &self.parts {
            part.add_to(&mut message);
        }
        message.raw
    }
}

impl Part {
    fn add_to(&self, message: &mut Message) {
        let added = match self {
            Self::Attribute(typ, value) => {
                message.add(*typ, value);
                Ok(())
            }
            Self::Peer(at) => PeerAddress { ip: at.ip(), port: at.port() }.add_to(message),
            Self::Integrity(key) => key.add_to(message),
            Self::IntegritySha256(key) => {
                let tag = sha256_tag(key, &message.raw);
                message.add(ATTR_MESSAGE_INTEGRITY_SHA256, &tag);
                Ok(())
            }
            Self::Fingerprint => FINGERPRINT.add_to(message),
        };
        added.expect("no case puts a FINGERPRINT in front of an integrity");
    }
}

/// Encodes a ChannelData message, padded if it is for a stream (RFC 8656 §12.5).
pub(super) fn channel_data(number: u16, data: &[u8], padded: bool) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    if padded {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
