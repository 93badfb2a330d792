//! Responses of the ACME server and their parts.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Fault, http::Response};

impl Response {
    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Returns the response of a faulty server.
pub(super) fn failure(fault: Fault) -> Response {
    match fault {
        Fault::BadNonce => problem(400, "badNonce", "this nonce has been forgotten"),
        Fault::RateLimited(seconds) => problem(429, "rateLimited", "too many for today")
            .with("retry-after", seconds.to_string()),
        Fault::Refuse => problem(403, "rejectedIdentifier", "not for such a name"),
        Fault::NoAccount => problem(400, "accountDoesNotExist", "who are you?"),
        Fault::BadGateway => {
            let body = "<html>it will be back soon</html>".to_owned();
            Response { status: 502, headers: vec![("content-type", "text/html".into())], body }
        }
    }
}

/// Returns a problem document (RFC 8555 §6.7).
pub(super) fn problem(status: u16, kind: &str, detail: &str) -> Response {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body = json!({ "type": kind, "detail": detail, "status": status }).to_string();
    Response { status, headers: vec![("content-type", "application/problem+json".into())], body }
}

pub(super) fn ok(status: u16, body: &Value) -> Response {
    let headers = vec![("content-type", "application/json".to_owned())];
    Response { status, headers, body: body.to_string() }
}

/// Returns the strings of a JSON array.
pub(super) fn strings(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(ToOwned::to_owned).collect()
}

/// Returns an unpredictable string.
pub(super) fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}
