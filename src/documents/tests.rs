//! The invariants of the documents, besides being up to date.

use std::collections::BTreeSet;

use callbox_signaling::{EventName, RequestName, WireEnum};
use serde_json::{Map, Value};

fn asyncapi() -> Value {
    serde_json::from_str(&super::asyncapi()).expect("it is JSON")
}

/// Collects every `$ref` in a document.
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
fn every_reference_has_a_target_and_every_component_a_reference() {
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
                // The limits of AsyncAPI and OpenAPI.
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

/// The table of close codes in the description of the protocol lists every code.
#[test]
fn the_close_codes_are_those_of_the_protocol() {
    const PROTOCOL: &str = include_str!("../../docs/protocol.md");
    let (_, table) = PROTOCOL.split_once("| close code |").expect("the table");
    let rows = table.lines().skip(2).map_while(|row| row.strip_prefix("| "));
    let codes: BTreeSet<u16> = rows
        .flat_map(|row| row.split(" |").next().unwrap_or_default().split(", "))
        .map(|code| code.parse().expect("a number"))
        .collect();
    assert_eq!(codes, crate::http::closes().into_iter().map(|(code, _)| code).collect());
    let described = &asyncapi()["channels"]["signaling"]["description"];
    let described = described.as_str().expect("a text");
    assert!(codes.iter().all(|code| described.contains(&format!("- {code}: "))), "{described}");
}

/// Descriptions are noun phrases, which a reader understands without the field's name.
#[test]
fn no_description_begins_with_a_question_word() {
    const WORDS: [&str; 9] =
        ["What", "Whose", "Whether", "Who", "Which", "Why", "How", "Whom", "When"];
    let begins_with_one = |text: &str| {
        WORDS.contains(&text.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default())
    };
    let mut descriptions = Vec::new();
    collect_descriptions(&asyncapi(), &mut descriptions);
    assert!(descriptions.len() > 100);
    let types = super::typescript();
    let comments = types.lines().map(|line| line.trim().trim_start_matches(['/', '*', ' ']));
    let comments = comments.map(str::to_owned);
    let bad: Vec<_> =
        descriptions.into_iter().chain(comments).filter(|text| begins_with_one(text)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Collects every description and summary in a document.
fn collect_descriptions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for key in ["description", "summary"] {
                found.extend(fields.get(key).and_then(Value::as_str).map(str::to_owned));
            }
            fields.values().for_each(|value| collect_descriptions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_descriptions(value, found)),
        _ => {}
    }
}

/// A name in snake case is that of the Rust field, which the API does not take.
#[test]
fn the_fields_of_all_schemas_are_named_as_on_the_wire() {
    fn names(value: &Value, found: &mut Vec<String>) {
        if let Some(fields) = value["properties"].as_object() {
            found.extend(fields.keys().cloned());
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| names(value, found)),
            Value::Array(items) => items.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }
    for text in [include_str!("../../docs/openapi.json"), include_str!("../../docs/asyncapi.json")]
    {
        let mut found = Vec::new();
        names(&serde_json::from_str(text).unwrap(), &mut found);
        let wrong: Vec<_> = found.iter().filter(|name| name.contains('_')).collect();
        assert!(found.len() > 100 && wrong.is_empty(), "{wrong:?}");
    }
}
