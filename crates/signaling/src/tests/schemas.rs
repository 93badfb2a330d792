//! The check that payloads fit the documents' schemas. Every test's [`World`](super::World) asks
//! here, and so does the simulation.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value, json};

use super::json_schema::Schemas;
use crate::{Described, EventName, RequestError, RequestName, SessionWelcome, WireEnum};

/// All schemas, and which of them a payload has to follow.
struct Documented {
    schemas: Map<String, Value>,
    events: BTreeMap<&'static str, Value>,
    requests: BTreeMap<&'static str, Value>,
    answers: BTreeMap<&'static str, Value>,
    welcome: Value,
    refusal: Value,
}

static DOCUMENTED: LazyLock<Documented> = LazyLock::new(|| {
    let mut schemas = Map::new();
    let mut add = |described: Described| {
        let refers_to = described.refers_to.into_iter();
        schemas.extend(refers_to.map(|(name, schema)| (name, json!(schema))));
        json!(described.schema)
    };
    Documented {
        events: EventName::ALL.iter().map(|name| (name.as_str(), add(name.payload()))).collect(),
        requests: RequestName::ALL
            .iter()
            .map(|name| (name.as_str(), add(name.payload())))
            .collect(),
        answers: RequestName::ALL.iter().map(|name| (name.as_str(), add(name.answer()))).collect(),
        welcome: add(Described::of::<SessionWelcome>()),
        refusal: add(Described::of::<RequestError>()),
        schemas,
    }
});

fn check(what: &str, schema: &Value, data: &Value) {
    let checked = Schemas(&DOCUMENTED.schemas).check(schema, data);
    checked.unwrap_or_else(|error| panic!("{what} is not as documented: {error}\nin {data}"));
}

/// Checks the payload of an event.
pub(super) fn check_event(name: &str, data: &Value) {
    check(name, &DOCUMENTED.events[name], data);
}

/// Checks the payload of `session:welcome`.
pub(super) fn check_welcome(data: &Value) {
    check("session:welcome", &DOCUMENTED.welcome, data);
}

/// Checks the payload of a request, one of the document's.
pub(super) fn check_request(name: &str, data: &Value) {
    let mut data = data.clone();
    data.as_object_mut().expect("a payload is an object").remove("msgId");
    check(name, &DOCUMENTED.requests[name], &data);
}

/// Checks the answer to a request.
pub(super) fn check_answer(request: &str, answer: &Value) {
    let mut answer = answer.clone();
    let fields = answer.as_object_mut().expect("an answer is an object");
    match fields.remove("ok") {
        Some(Value::Bool(true)) => check(request, &DOCUMENTED.answers[request], &answer),
        Some(Value::Bool(false)) => {
            check(request, &DOCUMENTED.refusal, &answer["error"]);
            assert_eq!(answer.as_object().map(Map::len), Some(1), "{answer}");
        }
        _ => panic!("an answer without ok: {answer}"),
    }
}

#[test]
fn undocumented_fields_and_values_are_detected() {
    let good =
        json!({ "callId": "01JNVH0A7GQ2W5E8R1T4Y6V9PB", "calleeId": "bob", "deviceId": "phone" });
    check_event("call:accepted", &good);
    let schema = &DOCUMENTED.events["call:accepted"];
    for (field, value) in [
        ("deviceId", json!(7)),
        ("calleeId", json!("")),
        ("more", json!(true)),
        ("callId", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        Schemas(&DOCUMENTED.schemas).check(schema, &bad).unwrap_err();
    }
    Schemas(&DOCUMENTED.schemas).check(schema, &json!({ "callId": "x" })).unwrap_err();
}
