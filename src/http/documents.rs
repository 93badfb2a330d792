//! The documents of the API, for programs. They are made from the code (`crate::documents`), kept in the
//! tree by a test, and served as they are there.

use axum::{
    http::{HeaderName, header},
    response::IntoResponse,
};

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// The events, as an AsyncAPI document.
pub(super) async fn asyncapi() -> impl IntoResponse {
    (JSON, include_str!("../../docs/asyncapi.json"))
}
