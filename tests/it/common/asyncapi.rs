//! Validation of every frame of the server against the AsyncAPI document.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::json_schema::Schemas;

static COMPONENTS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let mut document: Value =
        serde_json::from_str(include_str!("../../../docs/asyncapi.json")).expect("it is JSON");
    serde_json::from_value(document["components"].take()).expect("there are components")
});

/// Checks an event.
pub(crate) fn check_event(frame: &Value) {
    if let Some(name) = frame["event"].as_str() {
        check(&format!("{name}.event"), frame);
    }
}

/// Checks the response to a request.
pub(crate) fn check_answer(request: &str, frame: &Value) {
    match frame["data"]["ok"] == true {
        true => check(&format!("{request}.answer"), frame),
        false => check("refused", frame),
    }
}

fn check(message: &str, frame: &Value) {
    let payload = &COMPONENTS["messages"][message.replace(':', ".")]["payload"];
    assert!(payload.is_object(), "{message} is not described");
    let schemas = COMPONENTS["schemas"].as_object().expect("there are schemas");
    let checked = Schemas(schemas).check(payload, frame);
    checked.unwrap_or_else(|error| panic!("{message} is not as described: {error}\nin {frame}"));
}
