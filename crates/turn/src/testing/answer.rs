//! The responses that a client gets.

use std::net::SocketAddr;

use ::stun::attributes::*;
use ::stun::{
    error_code::ErrorCodeAttribute,
    message::{Getter, Message, *},
    textattrs::TextAttribute,
    xoraddr::XorMappedAddress,
};
use ::turn::proto::{lifetime::Lifetime, relayaddr::RelayedAddress};

/// A response, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub message: Message,
    pub code: Option<u16>,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).expect("the server answers with STUN");
        let code = (message.typ.class == CLASS_ERROR_RESPONSE).then(|| {
            let mut code = ErrorCodeAttribute::default();
            code.get_from(&message).expect("an error response has a code");
            code.code.0
        });
        Self { message, code }
    }

    pub(crate) fn text(&self, typ: AttrType) -> Option<String> {
        TextAttribute::get_from_as(&self.message, typ).ok().map(|t| t.text)
    }

    pub(crate) fn relayed(&self) -> SocketAddr {
        let mut address = RelayedAddress::default();
        address.get_from(&self.message).expect("a relayed address");
        SocketAddr::new(address.ip, address.port)
    }

    /// Every relayed address, in order.
    pub(crate) fn all_relayed(&self) -> Vec<SocketAddr> {
        let attributes = self.message.attributes.0.iter();
        let relayed = attributes.filter(|a| a.typ == ATTR_XOR_RELAYED_ADDRESS);
        relayed
            .map(|attribute| {
                let mut alone = Message::new();
                alone.transaction_id = self.message.transaction_id;
                alone.add(attribute.typ, &attribute.value);
                let mut address = RelayedAddress::default();
                address.get_from(&alone).expect("a relayed address");
                SocketAddr::new(address.ip, address.port)
            })
            .collect()
    }

    /// ADDRESS-ERROR-CODE: of which family (`true` for IPv4) there is no address, and why.
    pub(crate) fn address_error(&self) -> Option<(bool, u16)> {
        let value = self.raw(AttrType(0x8001))?;
        let [family @ 1..=2, 0, class, number, ..] = value[..] else {
            panic!("ADDRESS-ERROR-CODE is {value:x?}");
        };
        Some((family == 1, u16::from(class) * 100 + u16::from(number)))
    }

    pub(crate) fn mapped(&self) -> SocketAddr {
        let mut address = XorMappedAddress::default();
        address.get_from(&self.message).expect("a mapped address");
        SocketAddr::new(address.ip, address.port)
    }

    pub(crate) fn lifetime(&self) -> u64 {
        let mut lifetime = Lifetime::default();
        lifetime.get_from(&self.message).expect("a lifetime");
        lifetime.0.as_secs()
    }

    pub(crate) fn raw(&self, typ: AttrType) -> Option<Vec<u8>> {
        self.message.get(typ).ok()
    }
}
