//! The attributes by which a Binding request learns from a server with two addresses how a NAT
//! behaves (RFC 5780 §7).

use super::attribute_type::AttributeType;

/// From where the answer is to come (CHANGE-REQUEST, RFC 5780 §7.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// From the other IP address.
    pub ip: bool,
    /// From the other port.
    pub port: bool,
}

/// The attributes of RFC 5780 in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discovery {
    /// CHANGE-REQUEST.
    pub change: Option<Change>,
    /// RESPONSE-PORT: to which port of the client the answer is to go (RFC 5780 §7.5).
    pub response_port: Option<u16>,
    /// PADDING: how many bytes of it there are (RFC 5780 §7.6).
    pub padding: Option<u16>,
}

impl Discovery {
    /// Takes in an attribute, if it is one of these. Whether its value is one that it can have.
    pub(super) fn read(&mut self, typ: AttributeType, value: &[u8]) -> Option<bool> {
        let fine = match typ {
            AttributeType::CHANGE_REQUEST => {
                let change = match value {
                    [_, _, _, flags] => Some(Change { ip: flags & 4 != 0, port: flags & 2 != 0 }),
                    _ => None,
                };
                self.change = self.change.or(change);
                change.is_some()
            }
            AttributeType::RESPONSE_PORT => {
                // "a 16-bit unsigned integer … followed by 2 bytes of padding"; some count those.
                let port = match value {
                    [a, b] | [a, b, _, _] => Some(u16::from_be_bytes([*a, *b])),
                    _ => None,
                };
                self.response_port = self.response_port.or(port);
                port.is_some()
            }
            AttributeType::PADDING => {
                self.padding = self.padding.or(Some(value.len() as u16));
                true
            }
            _ => return None,
        };
        Some(fine)
    }

    /// Returns true if anything is asked for.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    /// Returns the types of what is asked for.
    pub(super) fn types(self) -> impl Iterator<Item = AttributeType> {
        [
            self.change.map(|_| AttributeType::CHANGE_REQUEST),
            self.response_port.map(|_| AttributeType::RESPONSE_PORT),
            self.padding.map(|_| AttributeType::PADDING),
        ]
        .into_iter()
        .flatten()
    }
}
