//! What holds for the documents beyond being up to date.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::signaling::{EventName, RequestName, Word};

fn asyncapi() -> Value {
    serde_json::from_str(&super::asyncapi()).expect("it is JSON")
}

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
    for document in [asyncapi(), serde_json::from_str(&super::openapi()).unwrap()] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').expect("it is in the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for part in ["schemas", "messages"] {
            for key in document["components"][part].as_object().into_iter().flat_map(Map::keys) {
                let reference = format!("#/components/{part}/{key}");
                assert!(found.contains(reference.as_str()), "nothing refers to {reference}");
                // As AsyncAPI and OpenAPI have it.
                let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                assert!(key.chars().all(allowed), "{key}");
            }
        }
    }
}

#[test]
fn every_request_and_event_has_its_messages() {
    let document = asyncapi();
    let says = |message: &str, action: &str, name: &str| {
        let operation = &document["operations"][message];
        let frame = &document["components"]["messages"][message];
        assert_eq!(operation["action"], action, "{message}");
        assert_eq!(frame["payload"]["properties"]["event"]["const"], name);
        assert_eq!(frame["name"], name);
        operation["reply"]["messages"].as_array().map_or(0, Vec::len)
    };
    for name in RequestName::ALL.iter().map(|name| name.as_str()) {
        let message = name.replace(':', ".");
        assert_eq!(says(&format!("{message}.request"), "receive", name), 2, "{name}");
    }
    for name in EventName::ALL.iter().map(|name| name.as_str()) {
        let message = name.replace(':', ".");
        assert_eq!(says(&format!("{message}.event"), "send", name), 0, "{name}");
    }
}
