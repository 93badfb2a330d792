//! The errors of the REST API: `{ "ok": false, "error": { "code", "message" } }`, whatever the
//! status.

use axum::{
    Json,
    extract::rejection::{JsonRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use callbox_signaling::{ErrorCode, RequestError};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of an answer that is no success.
#[derive(Serialize, ToSchema)]
#[schema(as = Refused)]
pub(super) struct ApiRefusal {
    /// False.
    ok: bool,
    /// The reason.
    error: ApiReason,
}

/// The reason why a request was refused.
#[derive(Serialize, ToSchema)]
struct ApiReason {
    /// An error code of signaling, or a word of this API; for programs.
    code: &'static str,
    /// A text for people.
    message: String,
}

/// An answer that is no success.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The time in milliseconds after which the same request may be tried again.
    retry_after_ms: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_ms: None }
    }

    /// An error for a page that does not exist.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// An error for a page that exists, but not for this method.
    pub(super) fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This page is not there for this method.",
        )
    }

    /// An error for a page of an origin that is not allowed.
    pub(super) fn origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "Pages of this origin may not connect; the operator allows some with --allow-origin.",
        )
    }

    /// An error for a request that cannot be parsed.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidPayload.as_str(), message)
    }

    /// An error for a relay that does not serve some of its clients.
    pub(super) fn relay_broken() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "relay_broken",
            "A worker of the relay has ended, and its clients with it. The log says why; the server \
             stops.",
        )
    }

    /// An error for a server that injects no faults.
    pub(super) fn faults_not_allowed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "faults_not_allowed",
            "This server injects no faults: for tests, start it with --allow-faults.",
        )
    }

    /// An error for a server that has no secret to sign a token with.
    pub(super) fn no_signing_secret() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_signing_secret",
            "This server has no secret to sign tokens with, it only checks what others have signed: \
             get the token from them, or give the server a --jwt-secret.",
        )
    }

    /// An error for a server that is about to stop.
    pub(super) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::ServerShutdown.as_str(),
            "The server is about to stop.",
        )
    }
}

/// Parameters that cannot be parsed, or that the page does not have.
impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

/// A body that cannot be parsed, or is too long.
impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                status,
                ErrorCode::PayloadTooLarge.as_str(),
                "The body is larger than the server takes (--max-message).",
            ),
            _ => Self::invalid(rejection.body_text()),
        }
    }
}

/// A refusal that the fronts and the REST API share.
impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let status = match error.code {
            ErrorCode::Unauthorized | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
            ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::TooManyConnections | ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::ServerShutdown | ErrorCode::IssuerUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_REQUEST,
        };
        let retry_after_ms = error.retry_after_ms;
        Self { retry_after_ms, ..Self::new(status, error.code.as_str(), error.message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, retry_after_ms } = self;
        let body = ApiRefusal { ok: false, error: ApiReason { code, message } };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // In whole seconds, and at least one (RFC 9110 §10.2.3).
        if let Some(ms) = retry_after_ms {
            let secs = ms.div_ceil(1000).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        response
    }
}
