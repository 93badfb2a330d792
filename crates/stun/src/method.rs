//! The methods of STUN and TURN that clients use.

use super::message_type::{Class, MessageType};

/// A method that a client can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 8489 §3
    Binding,
    /// RFC 8656 §7
    Allocate,
    /// RFC 8656 §8
    Refresh,
    /// RFC 8656 §10
    CreatePermission,
    /// RFC 8656 §12
    ChannelBind,
    /// RFC 6062 §4.3
    Connect,
    /// RFC 6062 §4.3
    ConnectionBind,
    /// RFC 8656 §11; the only one that is an indication, which has no answer.
    Send,
}

impl Method {
    /// Every method, in the order of [`Method::index`].
    pub const ALL: [Self; 8] = [
        Self::Binding,
        Self::Allocate,
        Self::Refresh,
        Self::CreatePermission,
        Self::ChannelBind,
        Self::Connect,
        Self::ConnectionBind,
        Self::Send,
    ];

    /// Returns a small number, to count by.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns the method's name in the RFC.
    pub fn label(self) -> &'static str {
        match self {
            Self::Binding => "Binding",
            Self::Allocate => "Allocate",
            Self::Refresh => "Refresh",
            Self::CreatePermission => "CreatePermission",
            Self::ChannelBind => "ChannelBind",
            Self::Connect => "Connect",
            Self::ConnectionBind => "ConnectionBind",
            Self::Send => "Send",
        }
    }

    /// Returns the number on the wire, from IANA's registry "STUN Methods" (RFC 8489 §18.2, RFC
    /// 8656 §17, RFC 6062 §6.1).
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Connect => 0x00A,
            Self::ConnectionBind => 0x00B,
        }
    }

    /// Returns the type of a message of this method.
    pub(crate) fn message_type(self, class: Class) -> MessageType {
        MessageType { method: self.number(), class }
    }

    /// Returns the method of a message's type, if it is one that a server acts on.
    pub(crate) fn of(typ: MessageType) -> Option<Self> {
        let method = Self::ALL.into_iter().find(|method| method.number() == typ.method)?;
        let class = if method == Self::Send { Class::Indication } else { Class::Request };
        (typ.class == class).then_some(method)
    }
}
