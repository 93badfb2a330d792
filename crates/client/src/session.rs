//! The nonce of a five-tuple, and the answers that come on it.

use std::net::SocketAddr;

use stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, AttrType},
    error_code::{CODE_STALE_NONCE, CODE_UNAUTHORIZED, ErrorCode},
    message::{CLASS_SUCCESS_RESPONSE, Getter, Message},
    textattrs::TextAttribute,
    xoraddr::XorMappedAddress,
};
use turn::proto::relayaddr::RelayedAddress;

use crate::{Error, Login, Refusal, Request};

/// The authentication of one five-tuple: the nonce that the server wants there (RFC 8489 §9.2).
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Empty until the server has sent a challenge.
    nonce: String,
}

/// An answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// The server has done what it was asked for.
    Success(Message),
    /// The server wants a signature with another nonce, which the session has taken.
    Challenge {
        /// The response: 401 or 438.
        refusal: Refusal,
        /// The nonce is another one than the session had.
        is_new: bool,
        /// The same request may succeed with this nonce: it was not signed, or its nonce was stale.
        can_retry: bool,
    },
    /// The server refuses.
    Refused(Refusal),
}

impl Session {
    /// Encodes a request, signed if the server has sent a challenge.
    ///
    /// # Errors
    /// An attribute cannot be encoded.
    pub fn encode(&self, login: &Login, request: &Request) -> Result<Vec<u8>, Error> {
        let mut message = request.to_message()?;
        if !self.nonce.is_empty() {
            login.sign(&mut message, &self.nonce).map_err(Error::Encode)?;
        }
        Ok(message.raw)
    }

    /// Reads an answer, and takes realm and nonce from a challenge.
    ///
    /// # Errors
    /// It is no answer that a client understands.
    pub fn read(&mut self, login: &mut Login, answer: &[u8]) -> Result<Answer, Error> {
        let mut message = Message::new();
        message.unmarshal_binary(answer).map_err(Error::Broken)?;
        if message.typ.class == CLASS_SUCCESS_RESPONSE {
            return Ok(Answer::Success(message));
        }
        let refusal = Refusal::read(&message)?;
        let text = |kind: AttrType| TextAttribute::get_from_as(&message, kind).map(|it| it.text);
        match (ErrorCode(refusal.code), text(ATTR_NONCE)) {
            (code @ (CODE_STALE_NONCE | CODE_UNAUTHORIZED), Ok(nonce)) => {
                if let Ok(realm) = text(ATTR_REALM) {
                    login.enter(realm);
                }
                let is_new = self.nonce != nonce;
                let can_retry = code == CODE_STALE_NONCE || self.nonce.is_empty();
                self.nonce = nonce;
                Ok(Answer::Challenge { refusal, is_new, can_retry })
            }
            _ => Ok(Answer::Refused(refusal)),
        }
    }
}

/// Returns the transaction ID of a message, by which an answer is matched with its request.
pub fn transaction(message: &[u8]) -> Option<&[u8; 12]> {
    message.get(8..)?.first_chunk()
}

/// Returns the address that the server sees (XOR-MAPPED-ADDRESS).
pub fn mapped_address(answer: &Message) -> Option<SocketAddr> {
    let mut address = XorMappedAddress::default();
    address.get_from(answer).ok()?;
    Some(SocketAddr::new(address.ip, address.port))
}

/// Returns the address of an allocation (XOR-RELAYED-ADDRESS).
pub fn relayed_address(answer: &Message) -> Option<SocketAddr> {
    let mut address = RelayedAddress::default();
    address.get_from(answer).ok()?;
    Some(SocketAddr::new(address.ip, address.port))
}

#[cfg(test)]
mod tests {
    use stun::{
        error_code::ErrorCodeAttribute,
        message::{CLASS_ERROR_RESPONSE, Setter},
    };

    use super::*;

    /// An error response to a request.
    fn error(request: &[u8], code: u16, nonce: Option<&str>) -> Vec<u8> {
        let mut message = Message::new();
        message.unmarshal_binary(request).unwrap();
        let (method, id) = (message.typ.method, message.transaction_id);
        let mut answer = Message::new();
        answer.typ = stun::message::MessageType { method, class: CLASS_ERROR_RESPONSE };
        answer.transaction_id = id;
        answer.write_header();
        let error = ErrorCodeAttribute { code: ErrorCode(code), reason: b"No".to_vec() };
        error.add_to(&mut answer).unwrap();
        if let Some(nonce) = nonce {
            answer.add(ATTR_REALM, b"example.org");
            answer.add(ATTR_NONCE, nonce.as_bytes());
        }
        answer.raw
    }

    #[test]
    fn a_challenge_is_answered_and_a_stale_nonce_replaced() {
        let (mut session, mut login) = (Session::default(), Login::new("alice", "secret"));
        let mut answers = |code, nonce| {
            let request = session.encode(&login, &Request::allocate()).unwrap();
            let answer = error(&request, code, nonce);
            assert_eq!(transaction(&answer), transaction(&request));
            session.read(&mut login, &answer).unwrap()
        };
        let challenge = answers(401, Some("one"));
        assert!(matches!(challenge, Answer::Challenge { is_new: true, can_retry: true, .. }));
        let wrong = answers(401, Some("one"));
        assert!(matches!(wrong, Answer::Challenge { is_new: false, can_retry: false, .. }));
        let stale = answers(438, Some("two"));
        assert!(matches!(stale, Answer::Challenge { is_new: true, can_retry: true, .. }));
        let Answer::Refused(refusal) = answers(486, None) else { panic!("it is refused") };
        assert_eq!(refusal.to_string(), "Allocate error response (error 486: No)");
        assert_eq!(login.realm(), "example.org");
    }

    #[test]
    fn a_signature_is_by_the_realm_and_nonce_of_the_challenge() {
        let (mut session, mut login) = (Session::default(), Login::new("alice", "secret"));
        let unsigned = session.encode(&login, &Request::refresh()).unwrap();
        assert_eq!(unsigned.len(), 20);
        session.read(&mut login, &error(&unsigned, 401, Some("one"))).unwrap();
        let mut message = Message::new();
        let signed = session.encode(&login, &Request::refresh()).unwrap();
        message.unmarshal_binary(&signed).unwrap();
        let key = stun::integrity::MessageIntegrity::new_long_term_integrity(
            "alice".into(),
            "example.org".into(),
            "secret".into(),
        );
        key.check(&mut message).unwrap();
        assert_eq!(message.get(ATTR_NONCE).unwrap(), b"one");
    }

    #[test]
    fn a_message_that_is_no_answer_is_an_error() {
        let (mut session, mut login) = (Session::default(), Login::default());
        assert!(matches!(session.read(&mut login, &[1, 2, 3]), Err(Error::Broken(_))));
        let request = session.encode(&login, &Request::binding()).unwrap();
        assert!(matches!(session.read(&mut login, &request), Err(Error::NoCode(_))));
    }
}
