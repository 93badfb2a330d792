//! The end of the service of a client, and its last packets.

use callbox_signaling::{CloseReason, ErrorCode, JsonText, RequestError};

use crate::http::{
    app::App, session::close_payload, socketio::packet, ws::close::TOO_MANY_BAD_FRAMES,
};

/// The reason why the server stops serving a client.
#[derive(Debug)]
pub(in crate::http::socketio) enum End {
    /// It has closed the connection, has not authenticated, or has vanished.
    Gone,
    /// The hub has closed its session. The client is told first.
    Closed(CloseReason),
    /// It does not read its messages.
    TooSlow,
    /// It has sent text that is no packet.
    NoPacket,
    /// It has sent too many events that cannot be parsed.
    BadFrames,
    /// It has sent a message that is too long to be read.
    TooLong,
}

impl End {
    /// Returns the last packets for the client. A client that is sent a disconnect does not
    /// reconnect; one whose transport only closes, as all do when the server stops, reconnects by
    /// itself.
    pub(crate) fn farewell(&self, app: &App) -> Vec<String> {
        match self {
            Self::Closed(reason) => {
                let mut last = vec![packet::event("error", &JsonText::of(&close_payload(*reason)))];
                if *reason != CloseReason::ServerShutdown {
                    last.push(packet::DISCONNECT.to_owned());
                }
                last
            }
            Self::TooLong => {
                let message = format!("A message may have {} bytes.", app.max_message);
                let error = RequestError::new(ErrorCode::PayloadTooLarge, message);
                vec![packet::event("error", &error.event(None).data)]
            }
            Self::BadFrames => {
                let error = RequestError::new(ErrorCode::InvalidFrame, TOO_MANY_BAD_FRAMES);
                vec![packet::event("error", &error.event(None).data)]
            }
            Self::Gone | Self::TooSlow | Self::NoPacket => Vec::new(),
        }
    }
}
