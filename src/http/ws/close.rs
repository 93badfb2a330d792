//! The close codes of the plain WebSocket protocol. The reason of a code is an error code or close
//! reason, then a colon and a text for people.

use callbox_signaling::{CloseReason, ErrorCode, RequestError, WireEnum};
use tokio_tungstenite::tungstenite::{
    Utf8Bytes,
    error::{CapacityError, Error, ProtocolError},
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::super::session::explain;

/// A text that is no frame, or a first frame that is no hello.
const BAD_FRAME: u16 = 4400;
/// No token, a wrong one, or an expired one.
const UNAUTHORIZED: u16 = 4401;
/// A page of an origin that may not connect.
const ORIGIN: u16 = 4403;
/// No hello in time.
const HELLO_TIMEOUT: u16 = 4408;
/// An administrator closed it.
const KICKED: u16 = 4410;
/// The same user and device connected again.
const REPLACED: u16 = 4409;
/// Too many events or connections.
const TOO_MANY: u16 = 4429;
/// The client does not read what it is sent.
const TOO_SLOW: u16 = 4430;

/// It is not known yet if the token is valid.
const ISSUER_UNAVAILABLE: u16 = 4503;

/// The longest reason that fits into a close frame (RFC 6455 §5.5).
const MAX_REASON: usize = 123;

fn frame(code: impl Into<CloseCode>, word: &str, message: &str) -> CloseFrame {
    let mut reason = format!("{word}: {message}");
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    CloseFrame { code: code.into(), reason: Utf8Bytes::from(reason) }
}

/// Returns the close for a reason of the hub.
pub(in crate::http) fn by_hub(reason: CloseReason) -> CloseFrame {
    let code = match reason {
        CloseReason::TokenExpired => UNAUTHORIZED,
        CloseReason::TooManyConnections | CloseReason::RateLimited => TOO_MANY,
        CloseReason::ServerShutdown => CloseCode::Away.into(),
        CloseReason::Replaced => REPLACED,
        CloseReason::Kicked => KICKED,
    };
    frame(code, reason.as_str(), explain(reason))
}

/// Returns the close for a first frame that was refused.
pub(in crate::http) fn refused(error: &RequestError) -> CloseFrame {
    let code = match error.code {
        ErrorCode::Unauthorized | ErrorCode::TokenExpired => UNAUTHORIZED,
        ErrorCode::IssuerUnavailable => ISSUER_UNAVAILABLE,
        _ => BAD_FRAME,
    };
    frame(code, error.code.as_str(), &error.message)
}

/// Returns the close for a page that may not connect.
pub(in crate::http) fn origin() -> CloseFrame {
    frame(ORIGIN, "origin_not_allowed", "Pages of this origin may not connect.")
}

/// Returns the close for a connection that sends nothing.
pub(in crate::http) fn hello_timeout() -> CloseFrame {
    frame(HELLO_TIMEOUT, "hello_timeout", "No session:hello came within 5 seconds.")
}

/// The text for a client that sends too many invalid frames.
pub(in crate::http) const TOO_MANY_BAD_FRAMES: &str = "Too many frames could not be read.";

/// Returns the close for a client that sends too many invalid frames.
pub(in crate::http) fn bad_frames() -> CloseFrame {
    frame(BAD_FRAME, ErrorCode::InvalidFrame.as_str(), TOO_MANY_BAD_FRAMES)
}

/// Returns the close for a client of Socket.IO that sends text that is no packet.
pub(in crate::http) fn no_packet() -> CloseFrame {
    frame(BAD_FRAME, ErrorCode::InvalidFrame.as_str(), "It is no packet of Socket.IO.")
}

/// Returns the close for a message that is too long to be read.
pub(in crate::http) fn too_long(max_message: usize) -> CloseFrame {
    let message = format!("A message may have {max_message} bytes.");
    frame(CloseCode::Size, ErrorCode::PayloadTooLarge.as_str(), &message)
}

/// Returns the close for a client that does not read.
pub(in crate::http) fn too_slow() -> CloseFrame {
    frame(TOO_SLOW, "too_slow", "You do not read what you are sent.")
}

/// Returns the close for a stop before there was a session.
pub(in crate::http) fn stopping() -> CloseFrame {
    by_hub(CloseReason::ServerShutdown)
}

/// Returns the close for an error of the WebSocket layer, if the client can still be told.
pub(in crate::http) fn by_error(error: &Error, max_message: usize) -> Option<CloseFrame> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(too_long(max_message)),
        Error::Utf8(_) => {
            Some(frame(CloseCode::Invalid, ErrorCode::InvalidFrame.as_str(), "It is not UTF-8."))
        }
        Error::Protocol(_) => Some(frame(
            CloseCode::Protocol,
            ErrorCode::InvalidFrame.as_str(),
            "It does not follow RFC 6455.",
        )),
        _ => None,
    }
}

/// Returns every close, as its code and the word in its reason: for the documents.
pub(crate) fn all() -> Vec<(u16, String)> {
    let first = [
        ErrorCode::Unauthorized,
        ErrorCode::TokenExpired,
        ErrorCode::IssuerUnavailable,
        ErrorCode::InvalidFrame,
        ErrorCode::InvalidPayload,
    ];
    let refused = first.map(|code| refused(&RequestError::new(code, "")));
    let too_long = Error::Capacity(CapacityError::MessageTooLong { size: 1, max_size: 0 });
    let layer = [
        too_long,
        Error::Utf8(String::new()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
    ];
    CloseReason::ALL
        .iter()
        .map(|reason| by_hub(*reason))
        .chain(refused)
        .chain([origin(), hello_timeout(), bad_frames(), too_slow()])
        .chain(layer.iter().filter_map(|error| by_error(error, 0)))
        .map(|frame| {
            let word = frame.reason.split(':').next().unwrap_or_default().to_owned();
            (frame.code.into(), word)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_close_frame() {
        let error = RequestError::new(ErrorCode::Unauthorized, "ü".repeat(100));
        let frame = refused(&error);
        assert!(frame.reason.len() <= MAX_REASON);
        assert!(frame.reason.starts_with("unauthorized: üüü"));
        assert_eq!(u16::from(frame.code), 4401);
    }

    /// Clients understand 4401 as the end of a token that they cannot renew.
    #[test]
    fn a_token_that_cannot_be_checked_is_not_a_wrong_one() {
        let frame = refused(&RequestError::new(ErrorCode::IssuerUnavailable, "Later."));
        assert_eq!(u16::from(frame.code), 4503);
        assert_eq!(&*frame.reason, "issuer_unavailable: Later.");
    }

    #[test]
    fn standard_codes_are_used_if_there_are_some() {
        assert_eq!(u16::from(stopping().code), 1001);
        let error = Error::Capacity(CapacityError::MessageTooLong { size: 9, max_size: 5 });
        let frame = by_error(&error, 5).unwrap();
        assert_eq!(u16::from(frame.code), 1009);
        assert_eq!(&*frame.reason, "payload_too_large: A message may have 5 bytes.");
    }
}
