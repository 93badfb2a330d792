//! The sign-in of a client, which opens its session.

use callbox_base::ids::DeviceId;
use callbox_signaling::{ClientMark, CloseReason, ErrorCode, JsonText, RequestError, Resume};
use serde::Deserialize;

use super::{Client, End, WELCOME};
use crate::http::{
    counters::Front,
    session::{Session, explain},
    socketio::{engine::Revision, packet},
};

/// The separator between the device and the rest in a client's [`pid`].
const PID_SEPARATOR: char = '.';

/// The object that `io(url, { auth })` sends, with the fields that the client's library adds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    token: Option<String>,
    device_id: Option<DeviceId>,
    /// The value of [`pid`] that the server sent on its previous connection.
    pid: Option<String>,
}

impl Client {
    /// Connects the client, or sends the reason why not; it may try again then.
    pub(super) async fn connect(&mut self, auth: &str, out: &mut Vec<String>) -> Result<(), End> {
        if self.app.is_draining() {
            return Err(End::Closed(CloseReason::ServerShutdown));
        }
        match self.open(auth).await {
            Ok((session, welcome, is_named)) => {
                out.push(match self.revision() {
                    Revision::Three => packet::CONNECTED_BEFORE.to_owned(),
                    Revision::Four => {
                        let sid = session.id().to_string();
                        let pid = (!is_named).then(|| pid(&welcome, &sid)).flatten();
                        packet::connected(&sid, pid.as_deref())
                    }
                });
                out.push(packet::event(WELCOME, &welcome));
                self.session = Some(session);
            }
            Err(error) => out.push(self.refused(&error)),
        }
        Ok(())
    }

    /// Returns the packet that refuses a connection: a code, then a colon and a text for people.
    pub(super) fn refused(&self, error: &RequestError) -> String {
        match self.revision() {
            Revision::Three => packet::refused_before(&error.to_string()),
            Revision::Four => packet::refused(&error.to_string()),
        }
    }

    /// Authenticates the client and opens its session. Also returns true if it has named its
    /// device.
    async fn open(&mut self, auth: &str) -> Result<(Session, JsonText, bool), RequestError> {
        let app = self.app.clone();
        let auth = if auth.is_empty() || auth == "null" { "{}" } else { auth };
        let auth: Auth = serde_json::from_str(auth).map_err(|_| {
            let message = "`auth` must be { token, deviceId? }, both text.";
            app.refuse(ErrorCode::InvalidPayload, message)
        })?;
        let token = auth.token.as_deref().or(self.handshake.token.as_deref());
        let token = token.ok_or_else(|| {
            let message = match self.revision() {
                Revision::Three => "The connection needs a header `Authorization: Bearer …`.",
                Revision::Four => "`auth` needs a `token`.",
            };
            app.refuse(ErrorCode::Unauthorized, message)
        })?;
        let identity = app.authenticate(self.handshake.remote, token).await?;
        let (device, resume) = match auth.device_id {
            Some(device) => (Some(device), Resume::Never),
            None => {
                let mark = ClientMark::of(&*self.handshake.marks, token, self.user_agent());
                (auth.pid.as_deref().and_then(device_of), Resume::Like(mark))
            }
        };
        let is_named = resume == Resume::Never;
        let opened =
            Session::open(&app, Front::SocketIo, self.handshake.remote, identity, device, resume)
                .await;
        let (session, welcome) = opened.map_err(|reason| {
            let code = match reason {
                CloseReason::TokenExpired => ErrorCode::TokenExpired,
                CloseReason::TooManyConnections => ErrorCode::TooManyConnections,
                CloseReason::RateLimited => ErrorCode::RateLimited,
                CloseReason::ServerShutdown | CloseReason::Replaced | CloseReason::Kicked => {
                    ErrorCode::ServerShutdown
                }
            };
            app.refuse(code, explain(reason))
        })?;
        Ok((session, welcome, is_named))
    }

    fn user_agent(&self) -> Option<&str> {
        self.handshake.user_agent.as_deref()
    }
}

/// Returns the value that a client keeps of its connection: the id of its device, which identifies
/// it when it comes back, and the id of this connection, so that the client does not conclude that
/// it has missed nothing.
fn pid(welcome: &JsonText, sid: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Welcome {
        device_id: DeviceId,
    }
    let Welcome { device_id } = serde_json::from_str(welcome.as_str()).ok()?;
    Some(format!("{device_id}{PID_SEPARATOR}{sid}"))
}

fn device_of(pid: &str) -> Option<DeviceId> {
    let (device, _) = pid.rsplit_once(PID_SEPARATOR)?;
    DeviceId::new(device).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_names_its_previous_device_by_its_pid() {
        let welcome = JsonText::of(&json!({ "deviceId": "01ABC.x" }));
        let first = pid(&welcome, "01DEF").unwrap();
        assert_eq!(device_of(&first), DeviceId::new("01ABC.x").ok());
        assert_ne!(pid(&welcome, "01GHI").unwrap(), first);
        for wrong in ["", "x", ".x", "\n.x", &format!("{}.x", "y".repeat(10_000))] {
            assert_eq!(device_of(wrong), None, "{wrong}");
        }
    }
}
