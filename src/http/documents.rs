//! The machine-readable documents of the API. They are generated from the code
//! (`crate::documents`) by `cargo xtask generate`, and served from the files.

use axum::{
    http::{HeaderName, header},
    response::IntoResponse,
};
use utoipa::{
    OpenApi,
    openapi::{
        PathItem, Ref, RefOr, ResponseBuilder,
        content::ContentBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{rest, tokens};

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// This document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "openapi",
    responses((status = 200, description = "An OpenAPI document.", body = serde_json::Value)),
)]
pub(super) async fn openapi() -> impl IntoResponse {
    (JSON, include_str!("../../docs/openapi.json"))
}

/// The events of signaling.
#[utoipa::path(
    get,
    path = "/api/v1/asyncapi.json",
    operation_id = "asyncapi",
    responses((status = 200, description = "An AsyncAPI document.", body = serde_json::Value)),
)]
pub(super) async fn asyncapi() -> impl IntoResponse {
    (JSON, include_str!("../../docs/asyncapi.json"))
}

/// The OpenAPI document is generated from the attributes of the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "callbox",
        description = "Calls, sessions and relay credentials, for back ends and users. \
                       `docs/http-api.md` says more.",
    ),
    paths(
        rest::ice_servers,
        rest::calls::calls,
        rest::calls::call,
        rest::calls::hang_up,
        rest::sessions::sessions,
        rest::sessions::kick,
        rest::traces::trace,
        rest::faults::faults,
        rest::faults::set_faults,
        rest::faults::end_faults,
        tokens::mint,
        rest::health::health,
        rest::health::ready,
        openapi,
        asyncapi,
    )
)]
struct Handlers;

/// Returns the description of the API.
pub(crate) fn described() -> utoipa::openapi::OpenApi {
    let mut document = Handlers::openapi();
    let components = document.components.get_or_insert_default();
    for (name, format, description) in [
        ("user", Some("JWT"), "A user's token."),
        ("operator", None, "An API key, as the server's operator has set it."),
    ] {
        let mut scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        scheme = scheme.description(Some(description));
        if let Some(format) = format {
            scheme = scheme.bearer_format(format);
        }
        components.add_security_scheme(name, SecurityScheme::Http(scheme.build()));
    }
    // Any request may be refused for other reasons, such as a stop of the server.
    let refused = ContentBuilder::new().schema(Some(Ref::from_schema_name("Refused"))).build();
    let refused = ResponseBuilder::new()
        .description("Any other answer that is no success.")
        .content("application/json", refused)
        .build();
    for path in document.paths.paths.values_mut() {
        let PathItem { get, post, put, delete, .. } = path;
        for operation in [get, post, put, delete].into_iter().flatten() {
            // They would be the names of internal modules.
            operation.tags = None;
            let responses = &mut operation.responses.responses;
            responses.insert("default".into(), RefOr::T(refused.clone()));
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Axum does not list its routes, so the source is searched.
    #[test]
    fn every_route_is_described() {
        let source = include_str!("mod.rs");
        let mut routes = BTreeSet::new();
        for route in source.split(".route(").skip(1) {
            let path = route.trim_start().strip_prefix('"').expect("a path");
            let (path, handlers) = path.split_once('"').expect("the end of the path");
            let handlers = handlers.split(".route").next().unwrap_or_default();
            for method in ["get", "post", "put", "patch", "delete"] {
                if path.starts_with("/api/") && handlers.contains(&format!("{method}(")) {
                    routes.insert((path.to_owned(), method.to_owned()));
                }
            }
        }
        let document = serde_json::to_value(described()).unwrap();
        let paths = document["paths"].as_object().unwrap().iter();
        let described: BTreeSet<_> = paths
            .filter(|(path, _)| path.starts_with("/api/"))
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (path.clone(), method.clone()))
            })
            .collect();
        assert!(routes.len() > 5);
        assert_eq!(routes, described);
    }
}
