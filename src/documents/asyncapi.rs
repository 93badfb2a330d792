//! The AsyncAPI document: the frames of the plain WebSocket, which carry the events.
//! <https://www.asyncapi.com/docs/reference/specification/v3.0.0>

use std::collections::{BTreeMap, BTreeSet};

use callbox_signaling::{EventName, RequestName, WireEnum};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::{pretty, schemas::Schemas};
use crate::http::closes;

#[derive(Serialize)]
struct Document {
    asyncapi: &'static str,
    info: Value,
    #[serde(rename = "defaultContentType")]
    content_type: &'static str,
    servers: Value,
    channels: Value,
    operations: BTreeMap<String, Value>,
    components: Components,
}

#[derive(Serialize)]
struct Components {
    #[serde(rename = "securitySchemes")]
    security_schemes: Value,
    messages: BTreeMap<String, Value>,
    schemas: BTreeMap<String, RefOr<Schema>>,
}

/// Returns the text of `docs/asyncapi.json`.
pub fn asyncapi() -> String {
    let mut frames = Frames::default();
    frames.request("session:hello", "Say who you are: the first frame.", "SessionHello");
    let replies = ["session.welcome.event".to_owned(), "refused".to_owned()];
    frames.operation("session.hello.request", "receive", &replies);
    frames.event("session:welcome", "The session is open: the first event.", "SessionWelcome");
    for request in RequestName::ALL {
        let (name, payload) = (request.as_str(), request.payload().name);
        frames.request(name, request.meaning(), &payload);
        frames.answered(name, &request.answer().name);
        let replies = [key(name, "answer"), "refused".to_owned()];
        frames.operation(&key(name, "request"), "receive", &replies);
    }
    for event in EventName::ALL {
        frames.event(event.as_str(), event.meaning(), &event.payload().name);
        frames.operation(&key(event.as_str(), "event"), "send", &[]);
    }
    frames.refused();
    frames.acknowledged();
    frames.operation("ack", "receive", &[]);

    let Frames { messages, operations } = frames;
    let in_channel = messages.keys().map(|key| (key, to(&format!("components/messages/{key}"))));
    let document = Document {
        asyncapi: "3.0.0",
        info: json!({
            "title": "callbox signaling",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        }),
        content_type: "application/json",
        servers: json!({
            "callbox": {
                "host": "callbox.example",
                "protocol": "wss",
                "description": "Your own server.",
                "security": [to("components/securitySchemes/token")],
            },
        }),
        channels: json!({
            "signaling": {
                "address": "/ws",
                "description": format!("A text frame is one message.\n\n{}", close_codes()),
                "messages": in_channel.collect::<BTreeMap<_, _>>(),
            },
        }),
        operations,
        components: Components {
            security_schemes: json!({
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A user's token, in the first frame or in the header.",
                },
            }),
            messages,
            schemas: Schemas::of_signaling().0,
        },
    };
    pretty(&document)
}

const ABOUT: &str = "\
The events by which a client makes, takes and ends calls. `docs/protocol.md` says more of each event.

Over Socket.IO, at `/socket.io/`, the same events have the same names: `data` is the argument, and the \
answer's `data` is the acknowledgement. `session:hello`, `ack` and the fields around `data` are not \
needed there.";

/// The messages and operations of the one channel.
#[derive(Default)]
struct Frames {
    messages: BTreeMap<String, Value>,
    operations: BTreeMap<String, Value>,
}

impl Frames {
    /// Adds a frame that a client sends.
    fn request(&mut self, name: &str, meaning: &str, payload: &str) {
        let options = json!({
            "type": "object",
            "properties": {
                "msgId": {
                    "type": "string",
                    "maxLength": 64,
                    "description": "Names the request: the same one again is not executed again.",
                },
            },
        });
        let is_hello = payload == "SessionHello";
        let data = match is_hello {
            true => schema(payload),
            false => json!({ "allOf": [schema(payload), options] }),
        };
        let id = number("Chosen by the client; without one there is no answer.");
        let fields = json!({ "event": { "const": name }, "id": id, "data": data });
        let message = message(name, meaning, fields, &["event", "data"], Some("id"));
        self.messages.insert(key(name, "request"), message);
    }

    /// Adds the answer to it, if it succeeds.
    fn answered(&mut self, name: &str, payload: &str) {
        let ok = json!({ "ok": { "const": true } });
        let ok = json!({ "type": "object", "required": ["ok"], "properties": ok });
        let data = json!({ "allOf": [ok, schema(payload)] });
        self.answer(&key(name, "answer"), name, &format!("The answer to `{name}`."), data);
    }

    /// Adds the answer to any request that is refused.
    fn refused(&mut self) {
        let fields = json!({ "ok": { "const": false }, "error": schema("Refusal") });
        let data = json!({ "type": "object", "required": ["ok", "error"], "properties": fields });
        self.answer("refused", "refused", "A request was refused.", data);
    }

    fn answer(&mut self, key: &str, name: &str, meaning: &str, data: Value) {
        let fields = json!({ "re": number("The request's `id`."), "data": data });
        let message = message(name, meaning, fields, &["re", "data"], Some("re"));
        self.messages.insert(key.to_owned(), message);
    }

    /// Adds a frame that the server sends without a request.
    fn event(&mut self, name: &str, meaning: &str, payload: &str) {
        let mut fields = json!({ "event": { "const": name }, "data": schema(payload) });
        let correlation = if payload == "SessionWelcome" {
            fields["re"] = number("The `id` of `session:hello`, if it had one.");
            Some("re")
        } else {
            fields["seq"] = number("The event's number in its session.");
            None
        };
        let message = message(name, meaning, fields, &["event", "data"], correlation);
        self.messages.insert(key(name, "event"), message);
    }

    /// Adds the only frame without an event.
    fn acknowledged(&mut self) {
        let fields = json!({ "ack": number("The number of an event.") });
        let meaning = "The client has every event up to this one.";
        self.messages.insert("ack".into(), message("ack", meaning, fields, &["ack"], None));
    }

    /// Adds the operation of a message.
    fn operation(&mut self, message: &str, action: &str, replies: &[String]) {
        let channel = to("channels/signaling");
        let in_channel = |key: &str| to(&format!("channels/signaling/messages/{key}"));
        let mut operation =
            json!({ "action": action, "channel": channel, "messages": [in_channel(message)] });
        if !replies.is_empty() {
            let replies: Vec<_> = replies.iter().map(|key| in_channel(key)).collect();
            operation["reply"] = json!({ "channel": channel, "messages": replies });
        }
        self.operations.insert(message.into(), operation);
    }
}

/// Returns a message: a frame with these fields.
fn message(
    name: &str,
    meaning: &str,
    fields: Value,
    required: &[&str],
    correlation: Option<&str>,
) -> Value {
    let payload = json!({ "type": "object", "required": required, "properties": fields });
    let mut message = json!({ "name": name, "summary": meaning, "payload": payload });
    if let Some(field) = correlation {
        message["correlationId"] = json!({ "location": format!("$message.payload#/{field}") });
    }
    message
}

/// Returns a key of `components`: event names contain a colon, and keys may not.
fn key(name: &str, kind: &str) -> String {
    format!("{}.{kind}", name.replace(':', "."))
}

fn to(path: &str) -> Value {
    json!({ "$ref": format!("#/{path}") })
}

fn schema(name: &str) -> Value {
    to(&format!("components/schemas/{name}"))
}

fn number(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

/// Returns the description of the close codes.
fn close_codes() -> String {
    let mut by_code: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for (code, word) in closes() {
        by_code.entry(code).or_default().insert(format!("`{word}`"));
    }
    let mut text =
        "The server's close codes, and the words in the close frame's reason:\n".to_owned();
    for (code, words) in by_code {
        let words: Vec<_> = words.into_iter().collect();
        text += &format!("\n- {code}: {}", words.join(", "));
    }
    text
}
