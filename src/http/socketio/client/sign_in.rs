//! The sign-in of a client, which opens its session.

use callbox_base::ids::DeviceId;
use callbox_signaling::{ClientMark, CloseReason, ErrorCode, JsonText, RequestError, Resume};
use serde::Deserialize;

use super::handshake::Handshake;
use crate::http::{
    app::App,
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

/// A client that has authenticated, with its session.
pub(super) struct SignIn {
    pub session: Session,
    /// The payload of its first event.
    pub welcome: JsonText,
    /// True if the client has named its device.
    is_named: bool,
}

impl SignIn {
    /// Authenticates a client by `auth` or its handshake, and opens its session.
    ///
    /// # Errors
    /// The refusal, which has been counted.
    pub(super) async fn open(
        app: &App,
        handshake: &Handshake,
        auth: &str,
    ) -> Result<Self, RequestError> {
        let auth = if auth.is_empty() || auth == "null" { "{}" } else { auth };
        let auth: Auth = serde_json::from_str(auth).map_err(|_| {
            let message = "`auth` must be { token, deviceId? }, both text.";
            app.refuse(ErrorCode::InvalidPayload, message)
        })?;
        let token = auth.token.as_deref().or(handshake.token.as_deref());
        let token = token.ok_or_else(|| {
            let message = match handshake.revision {
                Revision::Three => "The connection needs a header `Authorization: Bearer …`.",
                Revision::Four => "`auth` needs a `token`.",
            };
            app.refuse(ErrorCode::Unauthorized, message)
        })?;
        let identity = app.authenticate(handshake.remote, token).await?;
        let (device, resume) = match auth.device_id {
            Some(device) => (Some(device), Resume::Never),
            None => {
                let user_agent = handshake.user_agent.as_deref();
                let mark = ClientMark::of(&*handshake.marks, token, user_agent);
                (auth.pid.as_deref().and_then(device_of), Resume::Like(mark))
            }
        };
        let is_named = resume == Resume::Never;
        let opened =
            Session::open(app, Front::SocketIo, handshake.remote, identity, device, resume).await;
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
        Ok(Self { session, welcome, is_named })
    }

    /// Returns the packet that tells the client that it is connected.
    pub(super) fn connected(&self, revision: Revision) -> String {
        match revision {
            Revision::Three => packet::CONNECTED_BEFORE.to_owned(),
            Revision::Four => {
                let sid = self.session.id().to_string();
                let pid = (!self.is_named).then(|| pid(&self.welcome, &sid)).flatten();
                packet::connected(&sid, pid.as_deref())
            }
        }
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
