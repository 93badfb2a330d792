use serde_json::{Value, json};

use super::*;

fn refused(document: Value) -> String {
    FaultDocument::from_value(document).expect_err("it is refused").to_string()
}

#[test]
fn a_document_is_read_and_written_as_it_is() {
    let call = "01JAAAAAAAAAAAAAAAAAAAAAAA";
    let document = json!({
        "seed": 42,
        "packets": [{
            "for": { "userId": "alice", "callId": call }, "direction": "up", "lossPercent": 5.5,
            "delayMs": 80, "jitterMs": 20, "reorderPercent": 1.0, "duplicatePercent": 0.0,
            "bandwidthKbps": 500,
        }],
        "requests": [
            { "for": {}, "method": "allocate", "answer": 438, "count": 3 },
            { "for": {}, "method": "createPermission", "answer": "silence", "count": 1 },
        ],
        "events": [
            { "for": { "userId": "bob" }, "event": "call:incoming", "effect": "delay", "delayMs": 5 },
            { "for": {}, "event": "ice:candidate", "effect": "drop", "count": 2 },
        ],
        "actions": [
            { "action": "expireCredentials", "for": {} },
            { "action": "dropAllocations", "for": { "callId": call } },
            { "action": "relayGone", "forMs": 5000 },
            { "action": "cutSession", "for": {} },
            { "action": "halfOpenSession", "for": {} },
            { "action": "stallSession", "for": {}, "forMs": 1 },
        ],
    });
    let read = FaultDocument::parse(&document.to_string()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), document);
    for (action, value) in read.actions.iter().zip(document["actions"].as_array().unwrap()) {
        assert_eq!(action.name(), value["action"]);
    }
    assert_eq!(FaultDocument::parse("{}"), Ok(FaultDocument::default()));
}

#[test]
fn a_wrong_document_is_refused_by_its_field_and_value() {
    for (document, expected) in [
        (json!({ "packet": [] }), "unknown field `packet`"),
        (json!({ "packets": [{ "loss": 5 }] }), "packets[0]"),
        (json!({ "packets": [{}, { "lossPercent": 101 }] }), "packets[1].lossPercent is 101"),
        (json!({ "packets": [{ "lossPercent": -1 }] }), "packets[0].lossPercent is -1"),
        (json!({ "packets": [{ "lossPercent": "5" }] }), "packets[0].lossPercent: invalid type"),
        (json!({ "packets": [{ "direction": "sideways" }] }), "unknown variant `sideways`"),
        (json!({ "packets": [{ "delayMs": 60_001 }] }), "packets[0].delayMs is 60001"),
        (json!({ "packets": [{ "delayMs": 5, "jitterMs": 6 }] }), "packets[0].jitterMs is 6"),
        (json!({ "packets": [{ "reorderPercent": 5 }] }), "packets[0].reorderPercent is 5"),
        (json!({ "packets": [{ "bandwidthKbps": 0 }] }), "packets[0].bandwidthKbps is 0"),
        (json!({ "packets": [{ "for": { "user": "a" } }] }), "unknown field `user`"),
        (json!({ "packets": [{ "for": { "callId": "x" } }] }), "packets[0].for.callId"),
        (
            json!({ "requests": [{ "method": "allocate", "answer": 403, "count": 1 }] }),
            "requests[0].answer: the value is 403",
        ),
        (
            json!({ "requests": [{ "method": "allocate", "answer": 438, "count": 0 }] }),
            "requests[0].count is 0",
        ),
        (
            json!({ "requests": [{ "method": "offer", "answer": 438, "count": 1 }] }),
            "unknown variant `offer`",
        ),
        (
            json!({ "requests": [{
                "method": "binding", "answer": 438, "count": 1, "for": { "userId": "a" },
            }] }),
            r#"requests[0].for is {"userId":"a"}"#,
        ),
        (
            json!({ "events": [{ "event": "call:never", "effect": "drop" }] }),
            "unknown variant `call:never`",
        ),
        (
            json!({ "events": [{ "event": "call:ended", "effect": "delay" }] }),
            "events[0].delayMs: the effect is delay",
        ),
        (
            json!({ "events": [{ "event": "call:ended", "effect": "drop", "delayMs": 5 }] }),
            "events[0].delayMs is 5",
        ),
        (json!({ "actions": [{ "action": "explode" }] }), "unknown variant `explode`"),
        (json!({ "actions": [{ "action": "relayGone", "forMs": 0 }] }), "actions[0].forMs is 0"),
        (json!({ "actions": [{ "action": "relayGone" }] }), "missing field `forMs`"),
        (json!({ "actions": [{ "action": "cutSession", "forMs": 5 }] }), "unknown field `forMs`"),
        (json!({ "seed": 9_007_199_254_740_992_u64 }), "seed is 9007199254740992"),
        (json!({ "packets": vec![json!({}); 65] }), "the number of faults is 65"),
        (json!([]), "the document is []"),
        (json!({ "packets": [["up"]] }), "packets[0] is [\"up\"]"),
        (json!({ "actions": [{ "action": "cutSession", "for": ["a"] }] }), "actions[0].for is"),
    ] {
        let error = refused(document.clone());
        assert!(error.contains(expected), "{document}: {error}");
    }
    assert!(FaultDocument::parse("{").unwrap_err().to_string().starts_with("the faults are not"));
}

#[test]
fn the_seed_is_that_of_the_document_or_one_that_javascript_keeps() {
    let with = FaultDocument { seed: Some(7), ..FaultDocument::default() };
    assert_eq!(with.seed_or(u64::MAX), 7);
    let drawn = FaultDocument::default().seed_or(u64::MAX);
    assert_eq!(drawn, (1 << 53) - 1);
}
