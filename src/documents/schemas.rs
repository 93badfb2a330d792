//! The schemas that a document needs, without repetitions.

use std::collections::BTreeMap;

use callbox_signaling::{
    Described, EventName, RequestError, RequestName, SessionWelcome, WireEnum,
};
use utoipa::openapi::{RefOr, Schema};

use crate::http::SessionHello;

/// Schemas by name.
#[derive(Default)]
pub(super) struct Schemas(pub BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// Returns all schemas that signaling needs.
    pub(super) fn of_signaling() -> Self {
        let mut schemas = Self::default();
        for request in RequestName::ALL {
            schemas.add(request.payload());
            schemas.add(request.answer());
        }
        for event in EventName::ALL {
            schemas.add(event.payload());
        }
        schemas.add(Described::of::<SessionHello>());
        schemas.add(Described::of::<SessionWelcome>());
        schemas.add(Described::of::<RequestError>());
        schemas
    }

    fn add(&mut self, described: Described) {
        let Described { name, schema, refers_to } = described;
        self.0.extend(refers_to);
        self.0.insert(name, schema);
    }
}
