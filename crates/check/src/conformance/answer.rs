//! Messages of a server, read with the `stun` crate, and the checks that cases make on them.

use std::net::SocketAddr;

use ::stun::{
    addr::MappedAddress,
    attributes::{ATTR_ERROR_CODE, ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY_SHA256, AttrType},
    error_code::ErrorCodeAttribute,
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{CLASS_ERROR_RESPONSE, CLASS_SUCCESS_RESPONSE, Getter, Message, MessageType},
    xoraddr::XorMappedAddress,
};

use super::{
    integrity::sha256_tag,
    verdict::{Fault, Verdict, ensure},
};

/// A message of the server.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    message: Message,
}

impl Answer {
    /// Reads a message, which must be one from the first byte to the last (RFC 8489 §5).
    pub(super) fn parse(bytes: &[u8]) -> Verdict<Self> {
        let broken = |came: String| Fault::failed("a well-formed STUN message", came);
        let mut message = Message::new();
        message.unmarshal_binary(bytes).map_err(|error| broken(error.to_string()))?;
        let length = message.length as usize;
        if length + 20 != bytes.len() || !length.is_multiple_of(4) {
            let came = format!("one of {} bytes whose length says {length}", bytes.len());
            return Err(broken(came));
        }
        Ok(Self { message })
    }

    /// Returns method and class.
    pub(super) fn typ(&self) -> MessageType {
        self.message.typ
    }

    /// Returns true if it is a success response.
    pub(super) fn is_success(&self) -> bool {
        self.message.typ.class == CLASS_SUCCESS_RESPONSE
    }

    /// Returns the error code, of an error response that has one.
    pub(super) fn code(&self) -> Option<u16> {
        let mut error = ErrorCodeAttribute::default();
        let error_class = self.message.typ.class == CLASS_ERROR_RESPONSE;
        (error_class && error.get_from(&self.message).is_ok()).then_some(error.code.0)
    }

    /// Fails unless it is a success response.
    pub(super) fn success(self) -> Verdict<Self> {
        match self.is_success() {
            true => Ok(self),
            false => Err(Fault::failed("a success response", self.describe())),
        }
    }

    /// Fails unless it is an error response with this code.
    pub(super) fn refused(self, code: u16) -> Verdict<Self> {
        match self.code() {
            Some(came) if came == code => Ok(self),
            _ => Err(Fault::failed(format!("error {code}"), self.describe())),
        }
    }

    /// Fails unless it is an error response, with any code of the 400s.
    pub(super) fn refused_somehow(self) -> Verdict<Self> {
        match self.code() {
            Some(400..500) => Ok(self),
            _ => Err(Fault::failed("an error of the 400s", self.describe())),
        }
    }

    /// Returns the value of an attribute, which must be there.
    pub(super) fn need(&self, typ: AttrType) -> Verdict<Vec<u8>> {
        let came = || format!("{} without it", self.describe());
        self.get(typ).ok_or_else(|| Fault::failed(format!("{typ}"), came()))
    }

    /// Returns the value of an attribute, if it is there.
    pub(super) fn get(&self, typ: AttrType) -> Option<Vec<u8>> {
        self.message.get(typ).ok()
    }

    /// Returns how many attributes of a type there are.
    pub(super) fn count(&self, typ: AttrType) -> usize {
        self.message.attributes.0.iter().filter(|attribute| attribute.typ == typ).count()
    }

    /// Returns the value of an attribute, which must be text.
    pub(super) fn text(&self, typ: AttrType) -> Verdict<String> {
        String::from_utf8(self.need(typ)?)
            .map_err(|_| Fault::failed(format!("{typ} in UTF-8"), "other bytes"))
    }

    /// Returns the value of an attribute, which must be a number of 32 bits.
    pub(super) fn number(&self, typ: AttrType) -> Verdict<u32> {
        let value = self.need(typ)?;
        let number: Result<[u8; 4], _> = value.as_slice().try_into();
        number.map(u32::from_be_bytes).map_err(|_| {
            Fault::failed(format!("{typ} of 4 bytes"), format!("{} bytes", value.len()))
        })
    }

    /// Returns the value of an attribute, which must be an XORed address (RFC 8489 §14.2).
    pub(super) fn address(&self, typ: AttrType) -> Verdict<SocketAddr> {
        let value = self.need(typ)?;
        let mut address = XorMappedAddress::default();
        let read = address.get_from_as(&self.message, typ).is_ok();
        let whole = value.len() == if address.ip.is_ipv4() { 8 } else { 20 };
        ensure(read && whole, &format!("{typ} with an address"), format!("{value:02x?}"))?;
        Ok(SocketAddr::new(address.ip, address.port))
    }

    /// Returns the value of an attribute, which must be an address as it stands (RFC 8489 §14.1).
    pub(super) fn plain_address(&self, typ: AttrType) -> Verdict<SocketAddr> {
        let value = self.need(typ)?;
        let mut address = MappedAddress::default();
        let read = address.get_from_as(&self.message, typ).is_ok();
        ensure(read, &format!("{typ} with an address"), format!("{value:02x?}"))?;
        Ok(SocketAddr::new(address.ip, address.port))
    }

    /// Returns the value of an attribute, which must be a list of attribute types.
    pub(super) fn list(&self, typ: AttrType) -> Verdict<Vec<u16>> {
        let value = self.need(typ)?;
        ensure(value.len().is_multiple_of(2), "a list of 16-bit numbers", format!("{value:02x?}"))?;
        Ok(value.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    /// Fails unless it carries a MESSAGE-INTEGRITY by this key (RFC 8489 §14.5).
    pub(super) fn signed_by(&self, key: &MessageIntegrity) -> Verdict {
        self.need(::stun::attributes::ATTR_MESSAGE_INTEGRITY)?;
        let right = key.check(&mut self.message.clone()).is_ok();
        ensure(right, "a MESSAGE-INTEGRITY by the user's key", "one that does not verify")
    }

    /// Fails unless it carries a whole MESSAGE-INTEGRITY-SHA256 by this key (RFC 8489 §14.6).
    pub(super) fn signed_by_sha256(&self, key: &[u8]) -> Verdict {
        let tag = self.need(ATTR_MESSAGE_INTEGRITY_SHA256)?;
        let offset = self.offset(ATTR_MESSAGE_INTEGRITY_SHA256);
        let right = tag == sha256_tag(key, &self.message.raw[..offset]);
        ensure(right, "a MESSAGE-INTEGRITY-SHA256 by the key", "one that does not verify")
    }

    /// Fails if it carries a FINGERPRINT that is wrong or not the last attribute (RFC 8489 §14.7).
    pub(super) fn fingerprint(&self) -> Verdict {
        if self.get(ATTR_FINGERPRINT).is_none() {
            return Ok(());
        }
        let right = FINGERPRINT.check(&self.message).is_ok();
        ensure(right, "a FINGERPRINT that is right, at the end", "one that does not fit")
    }

    /// Returns the offset of an attribute.
    fn offset(&self, typ: AttrType) -> usize {
        let others = self.message.attributes.0.iter().take_while(|other| other.typ != typ);
        20 + others.map(|other| 4 + other.value.len().next_multiple_of(4)).sum::<usize>()
    }

    /// Describes it for a person.
    pub(super) fn describe(&self) -> String {
        let typ = self.message.typ;
        match self.code() {
            Some(code) => {
                let reason = self.get(ATTR_ERROR_CODE).unwrap_or_default();
                let reason = String::from_utf8_lossy(reason.get(4..).unwrap_or(&[])).into_owned();
                // It comes from a stranger, and goes to a terminal.
                let reason = reason.replace(char::is_control, "");
                format!("{} error {code} ({})", typ.method, reason.trim())
            }
            None => typ.to_string(),
        }
    }
}

/// Describes bytes for a person.
pub(super) fn describe(bytes: &[u8]) -> String {
    match bytes {
        [0..=3, ..] => match Answer::parse(bytes) {
            Ok(answer) => answer.describe(),
            Err(_) => format!("{} bytes that are no whole STUN message", bytes.len()),
        },
        [0x40..=0x7F, low, ..] => {
            format!("ChannelData on 0x{:02x}{low:02x}, {} bytes", bytes[0], bytes.len())
        }
        _ => format!("{} bytes", bytes.len()),
    }
}

/// Returns true if these bytes look like a response: a STUN message with the class's upper bit set
/// (RFC 8489 §5).
pub(super) fn is_response(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] & 0xC1 == 0x01
}
