//! The attributes that this server understands, read in one pass over a message.

use std::net::SocketAddr;

use super::{
    Discovery, PasswordAlgorithm, TransactionId, address::read_xor,
    attribute_type::AttributeType as A,
};

/// An address family (REQUESTED-ADDRESS-FAMILY, RFC 8656 §18.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// 0x01
    V4,
    /// 0x02
    V6,
}

impl Family {
    /// Returns the family of an address.
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Returns the other family.
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Reads the value of a …-ADDRESS-FAMILY attribute. `Some(None)` is a family that there is not.
    fn read(value: &[u8]) -> Option<Option<Self>> {
        Some(match first_of_four(value)? {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        })
    }
}

/// EVEN-PORT (RFC 8656 §18.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvenPort {
    /// The R bit: keep the next port for a later allocation.
    pub reserve_next: bool,
}

/// The comprehension-required attributes of a message that are not understood: the first eight
/// kinds, which is what an honest client can make use of and an attacker cannot grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unknown {
    types: [u16; 8],
    len: usize,
}

impl Unknown {
    fn push(&mut self, typ: A) {
        if self.len < self.types.len() && !self.as_slice().contains(&typ.0) {
            self.types[self.len] = typ.0;
            self.len += 1;
        }
    }

    /// Returns their numbers, in order of appearance.
    pub fn as_slice(&self) -> &[u16] {
        &self.types[..self.len]
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The attributes of one message. Of one that is repeated the first counts (RFC 8489 §14), but
/// for XOR-PEER-ADDRESS, of which all count (RFC 8656 §10.2).
#[derive(Debug, Default, Clone)]
pub struct Attributes<'a> {
    /// USERNAME, up to 763 bytes of UTF-8: fewer than 509 may be sent, but RFC 5389 allowed more
    /// (RFC 8489 §14.3).
    pub username: Option<&'a str>,
    /// USERHASH, which stands in for USERNAME (RFC 8489 §14.4).
    pub userhash: Option<&'a [u8; 32]>,
    /// REALM, up to 763 bytes (RFC 8489 §14.9).
    pub realm: Option<&'a [u8]>,
    /// NONCE, up to 763 bytes (RFC 8489 §14.10).
    pub nonce: Option<&'a [u8]>,
    /// PASSWORD-ALGORITHM; `Some(None)` is one that there is not (RFC 8489 §14.12).
    pub password_algorithm: Option<Option<PasswordAlgorithm>>,
    /// PASSWORD-ALGORITHMS as it was sent: it is only ever compared (RFC 8489 §14.11).
    pub password_algorithms: Option<&'a [u8]>,
    /// LIFETIME in seconds (RFC 8656 §18.2).
    pub lifetime: Option<u32>,
    /// REQUESTED-TRANSPORT: an IP protocol number (RFC 8656 §18.8).
    pub requested_transport: Option<u8>,
    /// REQUESTED-ADDRESS-FAMILY; `Some(None)` is a family that there is not.
    pub requested_family: Option<Option<Family>>,
    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11); `Some(None)` as above.
    pub additional_family: Option<Option<Family>>,
    /// EVEN-PORT.
    pub even_port: Option<EvenPort>,
    /// RESERVATION-TOKEN (RFC 8656 §18.10).
    pub reservation_token: Option<[u8; 8]>,
    /// DONT-FRAGMENT (RFC 8656 §18.9).
    pub dont_fragment: bool,
    /// CHANNEL-NUMBER, not yet checked for its range (RFC 8656 §18.1).
    pub channel_number: Option<u16>,
    /// The first XOR-PEER-ADDRESS (RFC 8656 §18.3).
    pub peer: Option<SocketAddr>,
    /// CONNECTION-ID (RFC 6062 §6.2.1).
    pub connection_id: Option<u32>,
    /// The range of the value of DATA in the message (RFC 8656 §18.4).
    pub data: Option<std::ops::Range<usize>>,
    /// ACCESS-TOKEN (RFC 7635 §6.2).
    pub access_token: Option<&'a [u8]>,
    /// MOBILITY-TICKET: none yet if it is empty (RFC 8016 §4).
    pub mobility_ticket: Option<&'a [u8]>,
    /// The request to a server with two addresses (RFC 5780).
    pub discovery: Discovery,
    /// The comprehension-required attributes that are unknown.
    pub unknown: Unknown,
    /// True if the value of a known attribute cannot be read.
    pub malformed: bool,
}

impl<'a> Attributes<'a> {
    /// Takes in one attribute, whose value stands at `at` in the message.
    pub(super) fn read(&mut self, typ: A, value: &'a [u8], at: usize, transaction: TransactionId) {
        // `true` where the value is one that the attribute can have.
        let fine = match typ {
            A::USERNAME => {
                let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= 763);
                set(&mut self.username, text)
            }
            A::USERHASH => set(&mut self.userhash, value.try_into().ok()),
            A::REALM => set(&mut self.realm, (value.len() <= 763).then_some(value)),
            A::NONCE => set(&mut self.nonce, (value.len() <= 763).then_some(value)),
            A::PASSWORD_ALGORITHM => {
                set(&mut self.password_algorithm, Some(PasswordAlgorithm::read(value)))
            }
            A::PASSWORD_ALGORITHMS => set(&mut self.password_algorithms, Some(value)),
            A::LIFETIME => set(&mut self.lifetime, value.try_into().ok().map(u32::from_be_bytes)),
            A::REQUESTED_TRANSPORT => set(&mut self.requested_transport, first_of_four(value)),
            A::REQUESTED_ADDRESS_FAMILY => set(&mut self.requested_family, Family::read(value)),
            A::ADDITIONAL_ADDRESS_FAMILY | A::ADDITIONAL_ADDRESS_FAMILY_DRAFT => {
                set(&mut self.additional_family, Family::read(value))
            }
            A::EVEN_PORT => {
                let even =
                    (value.len() == 1).then(|| EvenPort { reserve_next: value[0] & 0x80 != 0 });
                set(&mut self.even_port, even)
            }
            A::RESERVATION_TOKEN => set(&mut self.reservation_token, value.try_into().ok()),
            A::DONT_FRAGMENT => {
                self.dont_fragment = true;
                value.is_empty()
            }
            A::CHANNEL_NUMBER => {
                let number = value.first_chunk().filter(|_| value.len() == 4);
                set(&mut self.channel_number, number.map(|n| u16::from_be_bytes(*n)))
            }
            A::XOR_PEER_ADDRESS => set(&mut self.peer, read_xor(value, transaction)),
            A::CONNECTION_ID => {
                set(&mut self.connection_id, value.try_into().ok().map(u32::from_be_bytes))
            }
            A::DATA => set(&mut self.data, Some(at..at + value.len())),
            A::ACCESS_TOKEN => set(&mut self.access_token, Some(value)),
            A::MOBILITY_TICKET => set(&mut self.mobility_ticket, Some(value)),
            _ => self.discovery.read(typ, value).unwrap_or_else(|| {
                if typ.is_required() {
                    self.unknown.push(typ);
                }
                true
            }),
        };
        self.malformed |= !fine;
    }

    /// Takes the attributes of RFC 5780 for ones that are not understood, as they are not where
    /// there is one address only.
    pub fn disown_discovery(&mut self) {
        std::mem::take(&mut self.discovery).types().for_each(|typ| self.unknown.push(typ));
    }

    /// Takes DONT-FRAGMENT for an attribute that is not understood, as a server does that cannot
    /// do what it asks for (RFC 8656 §7.2, §11.2).
    pub fn disown_dont_fragment(&mut self) {
        if std::mem::take(&mut self.dont_fragment) {
            self.unknown.push(A::DONT_FRAGMENT);
        }
    }
}

/// Keeps the first value of an attribute. Says whether this one could be read.
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let fine = value.is_some();
    if slot.is_none() {
        *slot = value;
    }
    fine
}

/// Reads a byte that is followed by three reserved ones, which are ignored.
fn first_of_four(value: &[u8]) -> Option<u8> {
    (value.len() == 4).then(|| value[0])
}
