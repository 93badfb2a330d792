//! Requests of a client, and what is read from the answers.

use std::{net::SocketAddr, time::Duration};

use ::stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, AttrType},
    error_code::{CODE_STALE_NONCE, CODE_UNAUTHORIZED, ErrorCodeAttribute},
    integrity::MessageIntegrity,
    message::{
        CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE, METHOD_CHANNEL_BIND,
        METHOD_CREATE_PERMISSION, METHOD_REFRESH, Message, MessageType, Method, Setter,
    },
    textattrs::TextAttribute,
};
use ::turn::proto::{
    PROTO_UDP,
    channum::ChannelNumber,
    lifetime::Lifetime,
    peeraddr::PeerAddress,
    relayaddr::RelayedAddress,
    reqfamily::{REQUESTED_FAMILY_IPV6, RequestedAddressFamily},
    reqtrans::RequestedTransport,
};
use anyhow::Context;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A relayed address, of the family of the server's.
    Allocate { ipv6: bool },
    /// A permission for a peer.
    Permission(SocketAddr),
    /// A channel to a peer, which is a permission too.
    Channel(u16, SocketAddr),
    /// That the allocation stays.
    Refresh,
    /// That it ends.
    Close,
}

impl Ask {
    fn method(self) -> Method {
        match self {
            Self::Allocate { .. } => METHOD_ALLOCATE,
            Self::Permission(_) => METHOD_CREATE_PERMISSION,
            Self::Channel(..) => METHOD_CHANNEL_BIND,
            Self::Refresh | Self::Close => METHOD_REFRESH,
        }
    }

    fn write(self, message: &mut Message) -> Result<(), ::stun::Error> {
        let peer = |at: SocketAddr| PeerAddress { ip: at.ip(), port: at.port() };
        match self {
            Self::Allocate { ipv6 } => {
                RequestedTransport { protocol: PROTO_UDP }.add_to(message)?;
                if ipv6 {
                    RequestedAddressFamily(REQUESTED_FAMILY_IPV6.0).add_to(message)?;
                }
                Ok(())
            }
            Self::Permission(to) => peer(to).add_to(message),
            Self::Channel(number, to) => {
                ChannelNumber(number).add_to(message)?;
                peer(to).add_to(message)
            }
            Self::Refresh => Ok(()),
            Self::Close => Lifetime(Duration::ZERO).add_to(message),
        }
    }

    /// The bytes of a request, signed if there is a login for it.
    pub fn request(self, signed: Option<(&Login, &str)>) -> anyhow::Result<Vec<u8>> {
        let mut message = Message::new();
        message.typ = MessageType { method: self.method(), class: CLASS_REQUEST };
        message.write_header();
        message.new_transaction_id()?;
        self.write(&mut message)?;
        if let Some((login, nonce)) = signed {
            message.add(ATTR_USERNAME, login.username.as_bytes());
            message.add(ATTR_REALM, login.realm.as_bytes());
            message.add(ATTR_NONCE, nonce.as_bytes());
            login.key.add_to(&mut message)?;
        }
        Ok(message.raw)
    }
}

/// Who the clients are: all the same user. The key is made once, since it costs more than the rest
/// of a request.
pub(super) struct Login {
    username: String,
    password: String,
    realm: String,
    key: MessageIntegrity,
}

impl Login {
    pub fn new(username: String, password: String) -> Self {
        Self { username, password, realm: String::new(), key: MessageIntegrity::default() }
    }

    /// Takes the realm that a server asks for.
    fn learn(&mut self, realm: String) {
        if self.realm != realm {
            let (username, password) = (self.username.clone(), self.password.clone());
            self.key = MessageIntegrity::new_long_term_integrity(username, realm.clone(), password);
            self.realm = realm;
        }
    }
}

/// What an answer says.
#[derive(Debug)]
pub(super) enum Answer {
    /// Done; the relayed address, if there is one.
    Done(Option<SocketAddr>),
    /// To be asked again with this nonce: it was not signed, or is too old.
    Again { nonce: String, stale: bool },
    /// No.
    Refused(String),
}

/// Reads an answer, and learns the realm from it.
pub(super) fn read(bytes: &[u8], login: &mut Login) -> anyhow::Result<Answer> {
    let mut message = Message::new();
    message.unmarshal_binary(bytes).context("the server answers with something broken")?;
    if message.typ.class == CLASS_SUCCESS_RESPONSE {
        let mut address = RelayedAddress::default();
        let relayed = address.get_from(&message).is_ok();
        return Ok(Answer::Done(relayed.then(|| SocketAddr::new(address.ip, address.port))));
    }
    let mut error = ErrorCodeAttribute::default();
    error.get_from(&message).context("the server refuses and does not say why")?;
    let text = |kind: AttrType| TextAttribute::get_from_as(&message, kind).map(|text| text.text);
    match (error.code, text(ATTR_NONCE)) {
        (CODE_STALE_NONCE | CODE_UNAUTHORIZED, Ok(nonce)) => {
            if let Ok(realm) = text(ATTR_REALM) {
                login.learn(realm);
            }
            Ok(Answer::Again { nonce, stale: error.code == CODE_STALE_NONCE })
        }
        _ => Ok(Answer::Refused(format!("the server answers {} with {error}", message.typ.method))),
    }
}
