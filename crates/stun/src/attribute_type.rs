//! The numbers of the attributes that this server reads or writes, by their names in IANA's
//! registry "STUN Attributes".

/// The type of an attribute (RFC 8489 §14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttributeType(pub u16);

impl AttributeType {
    /// RFC 8489 §14.1
    pub(crate) const MAPPED_ADDRESS: Self = Self(0x0001);
    /// RFC 5780 §7.2
    pub(crate) const CHANGE_REQUEST: Self = Self(0x0003);
    /// RFC 8489 §14.3
    pub(crate) const USERNAME: Self = Self(0x0006);
    /// RFC 8489 §14.5
    pub(crate) const MESSAGE_INTEGRITY: Self = Self(0x0008);
    /// RFC 8489 §14.8
    pub(crate) const ERROR_CODE: Self = Self(0x0009);
    /// RFC 8489 §14.13
    pub(crate) const UNKNOWN_ATTRIBUTES: Self = Self(0x000A);
    /// RFC 8656 §18.1
    pub(crate) const CHANNEL_NUMBER: Self = Self(0x000C);
    /// RFC 8656 §18.2
    pub(crate) const LIFETIME: Self = Self(0x000D);
    /// RFC 8656 §18.3
    pub(crate) const XOR_PEER_ADDRESS: Self = Self(0x0012);
    /// RFC 8656 §18.4
    pub(crate) const DATA: Self = Self(0x0013);
    /// RFC 8489 §14.9
    pub(crate) const REALM: Self = Self(0x0014);
    /// RFC 8489 §14.10
    pub(crate) const NONCE: Self = Self(0x0015);
    /// RFC 8656 §18.5
    pub(crate) const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    /// RFC 8656 §18.6
    pub(crate) const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    /// RFC 8656 §18.7
    pub(crate) const EVEN_PORT: Self = Self(0x0018);
    /// RFC 8656 §18.8
    pub(crate) const REQUESTED_TRANSPORT: Self = Self(0x0019);
    /// RFC 8656 §18.9
    pub(crate) const DONT_FRAGMENT: Self = Self(0x001A);
    /// RFC 7635 §6.2
    pub(crate) const ACCESS_TOKEN: Self = Self(0x001B);
    /// RFC 8489 §14.6
    pub(crate) const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001C);
    /// RFC 8489 §14.12
    pub(crate) const PASSWORD_ALGORITHM: Self = Self(0x001D);
    /// RFC 8489 §14.4
    pub(crate) const USERHASH: Self = Self(0x001E);
    /// RFC 8489 §14.2
    pub(crate) const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    /// RFC 8656 §18.10
    pub(crate) const RESERVATION_TOKEN: Self = Self(0x0022);
    /// RFC 5780 §7.6
    pub(crate) const PADDING: Self = Self(0x0026);
    /// RFC 5780 §7.5
    pub(crate) const RESPONSE_PORT: Self = Self(0x0027);
    /// RFC 6062 §6.2.1
    pub(crate) const CONNECTION_ID: Self = Self(0x002A);
    /// RFC 8656 §18.11
    pub(crate) const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    /// RFC 8656 §18.12
    pub(crate) const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    /// RFC 8489 §14.11
    pub(crate) const PASSWORD_ALGORITHMS: Self = Self(0x8002);
    /// RFC 8656 §18.13
    pub(crate) const ICMP: Self = Self(0x8004);
    /// RFC 8489 §14.7
    pub(crate) const FINGERPRINT: Self = Self(0x8028);
    /// RFC 5780 §7.3
    pub(crate) const RESPONSE_ORIGIN: Self = Self(0x802B);
    /// RFC 5780 §7.4
    pub(crate) const OTHER_ADDRESS: Self = Self(0x802C);
    /// RFC 7635 §6.1
    pub(crate) const THIRD_PARTY_AUTHORIZATION: Self = Self(0x802E);
    /// RFC 8016 §4
    pub(crate) const MOBILITY_TICKET: Self = Self(0x8030);
    /// ADDITIONAL-ADDRESS-FAMILY by the number of the drafts before RFC 8656, which coturn's client
    /// still sends. It is assigned to nothing else.
    pub(crate) const ADDITIONAL_ADDRESS_FAMILY_DRAFT: Self = Self(0x8032);

    /// Returns true for a comprehension-required attribute: a message with one that is not
    /// understood cannot be processed (RFC 8489 §14).
    pub(crate) fn is_required(self) -> bool {
        self.0 < 0x8000
    }
}
