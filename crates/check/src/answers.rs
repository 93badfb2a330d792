//! JSON answers of the server.

use anyhow::bail;
use serde_json::Value;

/// Returns a member that is text.
pub(super) fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    match answer[field].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("the answer has no {field}"),
    }
}

/// Returns the reason of a refusal: `{ ok: false, error: { code, message } }`.
pub(super) fn refusal(answer: &Value) -> String {
    let error = &answer["error"];
    match (error["code"].as_str(), error["message"].as_str()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => answer.to_string(),
    }
}
