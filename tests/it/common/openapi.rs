//! Validation of every response of the server against the OpenAPI document.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{http::Response, json_schema::Schemas};

static DOCUMENT: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("it is JSON")
});

/// Checks a response against the document, which does not cover other paths such as `/metrics`.
pub(crate) fn check(method: &str, path: &str, response: &Response) {
    let path = path.split('?').next().unwrap_or_default();
    let paths = DOCUMENT["paths"].as_object().expect("there are paths").iter();
    let described = paths.filter(|(template, _)| matches(template, path)).map(|(_, item)| item);
    let Some(responses) = described.map(|item| &item[method.to_lowercase()]["responses"]).next()
    else {
        return assert!(
            !path.starts_with("/api/") || response.status >= 400,
            "{path} is not described"
        );
    };
    if responses.is_null() {
        return assert!(
            response.status >= 400 || method == "OPTIONS",
            "{method} {path} is not described"
        );
    }
    let described = match &responses[response.status.to_string()] {
        Value::Null if response.status >= 400 => &responses["default"],
        own => own,
    };
    let schema = &described["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path}: {} is not described", response.status);
    assert_eq!(response.header("content-type"), Some("application/json"), "{method} {path}");
    let schemas = DOCUMENT["components"]["schemas"].as_object().expect("there are schemas");
    let checked = Schemas(schemas).check(schema, &response.json());
    checked.unwrap_or_else(|error| panic!("{method} {path} is not as described: {error}"));
}

/// Returns true if a path matches a template such as `/api/v1/calls/{id}`.
fn matches(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let fit = template.split('/').all(|part| {
        parts.next().is_some_and(|own| part == own || part.starts_with('{') && !own.is_empty())
    });
    fit && parts.next().is_none()
}
