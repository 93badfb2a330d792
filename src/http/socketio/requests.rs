//! Requests to `/socket.io/`: they open a session, fetch its next packets, send some, or open a
//! WebSocket.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use callbox_signaling::{ErrorCode, RequestError};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    client::{Client, End, Handshake, longest},
    engine::{self, Revision},
    heartbeat::{INTERVAL, PING_TIMEOUT},
    polling::{self, Command, Reply},
    table::SocketIo,
    upgrade,
};
use crate::http::{
    REQUEST_TIMEOUT, arrival::Remote, authorization::bearer, error::ApiError, exchange::Exchange,
    unauthenticated_input::ClientInput, ws::accept_key,
};

/// The longest part of `User-Agent` that is used to tell clients apart, in bytes.
const MAX_USER_AGENT: usize = 512;

/// The errors of Engine.IO, by their codes.
#[derive(Debug, Clone, Copy)]
enum Refused {
    UnknownTransport = 0,
    UnknownSession = 1,
    BadMethod = 2,
    BadRequest = 3,
    UnsupportedProtocol = 5,
}

impl Refused {
    fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::UnsupportedProtocol => "Unsupported protocol version",
        }
    }
}

#[derive(Serialize)]
struct Refusal {
    code: u8,
    message: &'static str,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Refusal { code: self as u8, message: self.message() };
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

/// The error that a request is answered with: one of Engine.IO, or one of the API.
enum Failure {
    Refused(Refused),
    Api(ApiError),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refused) => refused.into_response(),
            Self::Api(error) => error.into_response(),
        }
    }
}

/// The parameters of a request.
#[derive(Debug, Default)]
struct Query<'a> {
    sid: Option<&'a str>,
    transport: Option<&'a str>,
    revision: Option<&'a str>,
}

impl<'a> Query<'a> {
    fn read(query: &'a str) -> Self {
        let mut read = Self::default();
        for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            let field = match name {
                "sid" => &mut read.sid,
                "transport" => &mut read.transport,
                "EIO" => &mut read.revision,
                _ => continue,
            };
            field.get_or_insert(value);
        }
        read
    }

    fn revision(&self) -> Result<Revision, Refused> {
        match self.revision {
            Some("4") => Ok(Revision::Four),
            Some("3") => Ok(Revision::Three),
            _ => Err(Refused::UnsupportedProtocol),
        }
    }
}

/// The transport that carries a client's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Polling,
    WebSocket,
}

/// Serves one request.
pub(in crate::http) async fn serve(
    State(socket_io): State<Arc<SocketIo>>,
    Extension(remote): Extension<Remote>,
    request: Request,
) -> Response {
    let answered = answer(&socket_io, remote, request).await;
    answered.unwrap_or_else(Failure::into_response)
}

async fn answer(
    socket_io: &Arc<SocketIo>,
    remote: Remote,
    request: Request,
) -> Result<Response, Failure> {
    let uri = request.uri().clone();
    let query = Query::read(uri.query().unwrap_or_default());
    let transport = match query.transport {
        Some("polling") => Transport::Polling,
        Some("websocket") => Transport::WebSocket,
        _ => return Err(Refused::UnknownTransport.into()),
    };
    let Some(sid) = query.sid else {
        let revision = query.revision()?;
        if request.method() != Method::GET {
            return Err(Refused::BadMethod.into());
        }
        if socket_io.app.is_draining() {
            return Err(ApiError::stopping().into());
        }
        let handshake = handshake(socket_io, remote, revision, request.headers())?;
        return match transport {
            Transport::Polling => {
                drop(request);
                begin_polling(socket_io, handshake).await
            }
            Transport::WebSocket => begin_websocket(socket_io, handshake, request),
        };
    };
    let client = socket_io.find(sid).ok_or(Refused::UnknownSession)?;
    match (transport, request.method()) {
        (Transport::Polling, &Method::GET) => {
            // It may wait for long, for a known client: nothing of the request is kept.
            drop(request);
            if let Some(exchange) = Exchange::current() {
                exchange.release();
            }
            ask(&client, Command::Poll).await
        }
        (Transport::Polling, &Method::POST) => {
            let packets = match body(socket_io, request).await {
                Ok(packets) => packets,
                Err((failure, end)) => {
                    // The client considers the transport broken, too.
                    let _ = client.send(Command::End(end)).await;
                    return Err(failure);
                }
            };
            ask(&client, |reply| Command::Post(packets, reply)).await
        }
        (Transport::WebSocket, &Method::GET) => {
            let (accepted, upgrading, input) = accept(request)?;
            tokio::spawn(upgrade::try_out(socket_io.app.clone(), upgrading, input, client));
            Ok(accepted)
        }
        _ => Err(Refused::BadRequest.into()),
    }
}

fn handshake(
    socket_io: &SocketIo,
    remote: Remote,
    revision: Revision,
    headers: &HeaderMap,
) -> Result<Handshake, ApiError> {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent = user_agent.map(|text| &text[..text.floor_char_boundary(MAX_USER_AGENT)]);
    // Clients of protocol 4 send `auth`.
    let token = match revision {
        Revision::Three => bearer(headers)?,
        Revision::Four => None,
    };
    Ok(Handshake {
        remote,
        revision,
        user_agent: user_agent.map(Into::into),
        token: token.map(Into::into),
        marks: socket_io.marks.clone(),
    })
}

/// Returns the first packet of a session.
fn open(socket_io: &SocketIo, sid: &str, upgrades: &[&str]) -> String {
    let [interval, timeout] = [INTERVAL, PING_TIMEOUT].map(|time| time.as_millis() as u64);
    engine::open(sid, upgrades, interval, timeout, socket_io.app.max_message)
}

async fn begin_polling(socket_io: &SocketIo, handshake: Handshake) -> Result<Response, Failure> {
    let (listed, commands) = socket_io.enter(handshake.remote.0.ip()).map_err(|refusal| {
        socket_io.app.counters.refusals(refusal).add();
        let message = "There are too many sessions from your address.";
        ApiError::from(RequestError::new(ErrorCode::TooManyConnections, message))
    })?;
    let open = open(socket_io, listed.id(), &["websocket"]);
    let client = socket_io.find(listed.id()).ok_or(Refused::UnknownSession)?;
    let served = Client::new(socket_io.app.clone(), handshake);
    tokio::spawn(polling::run(served, commands, open, listed));
    ask(&client, Command::Poll).await
}

fn begin_websocket(
    socket_io: &SocketIo,
    handshake: Handshake,
    request: Request,
) -> Result<Response, Failure> {
    let (accepted, upgrading, input) = accept(request)?;
    let open = open(socket_io, &socket_io.id(), &[]);
    let client = Client::new(socket_io.app.clone(), handshake);
    tokio::spawn(upgrade::begin(client, upgrading, input, open));
    Ok(accepted)
}

/// Accepts a WebSocket (RFC 6455 §4.2). Nothing of the request is kept.
fn accept(
    mut request: Request,
) -> Result<(Response, hyper::upgrade::OnUpgrade, ClientInput), Refused> {
    let input = request.extensions_mut().remove::<ClientInput>().ok_or(Refused::BadRequest)?;
    let accept = accept_key(request.headers()).map_err(|_| Refused::BadRequest)?;
    let upgrading = hyper::upgrade::on(&mut request);
    let accepted = (StatusCode::SWITCHING_PROTOCOLS, accept, Body::empty()).into_response();
    Ok((accepted, upgrading, input))
}

/// Sends a command to a client's task and waits for the answer.
async fn ask(
    client: &tokio::sync::mpsc::Sender<Command>,
    command: impl FnOnce(oneshot::Sender<Reply>) -> Command,
) -> Result<Response, Failure> {
    let (sender, reply) = oneshot::channel();
    client.send(command(sender)).await.map_err(|_| Refused::UnknownSession)?;
    match reply.await {
        Ok(Reply::Payload(text)) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            Ok((headers, text).into_response())
        }
        Ok(Reply::BadRequest) => Err(Refused::BadRequest.into()),
        Err(_) => Err(Refused::UnknownSession.into()),
    }
}

/// Reads the packets of a POST.
async fn body(socket_io: &SocketIo, request: Request) -> Result<String, (Failure, End)> {
    let limited = Limited::new(request.into_body(), longest(&socket_io.app));
    let collected = tokio::time::timeout(REQUEST_TIMEOUT, limited.collect()).await;
    let collected = collected.map_err(|_| {
        let message = "The body of the request did not come in time.";
        let error = ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message);
        (error.into(), End::Gone)
    })?;
    let bytes: Bytes = match collected {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("A message may have {} bytes.", socket_io.app.max_message);
            let error = socket_io.app.refuse(ErrorCode::PayloadTooLarge, message);
            return Err((ApiError::from(error).into(), End::TooLong));
        }
        Err(_) => return Err((Refused::BadRequest.into(), End::Gone)),
    };
    String::from_utf8(bytes.into()).map_err(|_| (Refused::BadRequest.into(), End::NoPacket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_parsed() {
        let query = Query::read("EIO=4&transport=polling&t=abc&sid=x-y_z&sid=other");
        assert_eq!(query.sid, Some("x-y_z"));
        assert_eq!(
            (query.transport, query.revision().ok()),
            (Some("polling"), Some(Revision::Four))
        );
        for wrong in ["", "EIO", "EIO=2", "EIO=5", "EIO=", "x=4"] {
            assert!(Query::read(wrong).revision().is_err(), "{wrong}");
        }
    }
}
