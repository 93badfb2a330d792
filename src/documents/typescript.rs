//! Types for TypeScript, generated from the schemas.

use callbox_signaling::{EventName, RequestName, WireEnum};
use utoipa::openapi::{
    Object, RefOr, Schema,
    schema::{AdditionalProperties, ArrayItems, SchemaType, Type},
};

use super::schemas::Schemas;

/// The text before the generated part.
const HEAD: &str = "\
// The types of callbox's events, as docs/protocol.md describes them. They are generated from
// the server's own types by: cargo xtask generate

/** The payload of a request. A repeated `msgId` gets the first answer again, and is not executed again. */
export type Payload<Name extends keyof Requests> = Requests[Name]['request'] & { msgId?: string };

/** The answer to a request. */
export type Answer<Name extends keyof Requests> = ({ ok: true } & Requests[Name]['answer']) | Refused;

/** The answer to a request that was refused. */
export interface Refused {
  ok: false;
  error: Refusal;
}
";

/// Returns the text of `clients/js/events.d.ts`.
pub fn typescript() -> String {
    let mut out = HEAD.to_owned();
    out += "\n/** The requests of clients, each with its payload and its successful answer. */\n";
    out += "export interface Requests {\n";
    for request in RequestName::ALL {
        out += &comment(request.meaning(), "  ");
        let (payload, answer) = (request.payload().name, request.answer().name);
        out += &format!("  '{request}': {{ request: {payload}; answer: {answer} }};\n");
    }
    out +=
        "}\n\n/** The events of the server, each with its payload. */\nexport interface Events {\n";
    out += &comment("The session is open: the first event.", "  ");
    out += "  'session:welcome': SessionWelcome;\n";
    for event in EventName::ALL {
        out += &comment(event.meaning(), "  ");
        out += &format!("  '{event}': {};\n", event.payload().name);
    }
    out += "}\n";
    for (name, schema) in &Schemas::of_signaling().0 {
        out += "\n";
        out += &comment(description(schema), "");
        out += &match schema {
            RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
                format!("export interface {name} {}\n", fields(object, ""))
            }
            _ => format!("export type {name} = {};\n", type_of(schema, "")),
        };
    }
    out
}

/// Returns the type that a schema describes. Lines after the first one are indented by `indent`.
fn type_of(schema: &RefOr<Schema>, indent: &str) -> String {
    let all = |parts: &[RefOr<Schema>], operator: &str| {
        let types = parts.iter().map(|part| type_of(part, indent));
        types.collect::<Vec<_>>().join(operator)
    };
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next();
            name.unwrap_or_default().to_owned()
        }
        RefOr::T(Schema::OneOf(one)) => all(&one.items, " | "),
        RefOr::T(Schema::AnyOf(any)) => all(&any.items, " | "),
        RefOr::T(Schema::AllOf(every)) => all(&every.items, " & "),
        RefOr::T(Schema::Array(array)) => match &array.items {
            ArrayItems::RefOrSchema(items) => format!("Array<{}>", type_of(items, indent)),
            ArrayItems::False => "[]".to_owned(),
        },
        RefOr::T(Schema::Object(object)) => match &object.enum_values {
            Some(words) => {
                let words = words.iter().filter_map(|word| word.as_str());
                words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" | ")
            }
            None => of_object(object, indent),
        },
        RefOr::T(_) => "unknown".to_owned(),
    }
}

fn of_object(object: &Object, indent: &str) -> String {
    let types = match &object.schema_type {
        SchemaType::Type(one) => std::slice::from_ref(one),
        SchemaType::Array(several) => several,
        SchemaType::AnyValue => &[],
    };
    if types.is_empty() {
        return "unknown".to_owned();
    }
    let names = types.iter().map(|kind| match kind {
        Type::Object => fields(object, indent),
        Type::String => "string".to_owned(),
        Type::Integer | Type::Number => "number".to_owned(),
        Type::Boolean => "boolean".to_owned(),
        Type::Array => "unknown[]".to_owned(),
        Type::Null => "null".to_owned(),
    });
    names.collect::<Vec<_>>().join(" | ")
}

/// Returns the fields of an object, in braces.
fn fields(object: &Object, indent: &str) -> String {
    let inner = format!("{indent}  ");
    let mut out = "{\n".to_owned();
    for (name, schema) in &object.properties {
        let mark = if object.required.contains(name) { "" } else { "?" };
        out += &comment(description(schema), &inner);
        out += &format!("{inner}{name}{mark}: {};\n", type_of(schema, &inner));
    }
    if let Some(AdditionalProperties::RefOr(other)) = object.additional_properties.as_deref() {
        out += &comment(description(other), &inner);
        out += &format!("{inner}[other: string]: {};\n", type_of(other, &inner));
    }
    out + indent + "}"
}

/// Returns the description of a schema. For a field that may be null, it is at its other type.
fn description(schema: &RefOr<Schema>) -> &str {
    let own = match schema {
        RefOr::Ref(reference) => return &reference.description,
        RefOr::T(Schema::Object(object)) => &object.description,
        RefOr::T(Schema::Array(array)) => &array.description,
        RefOr::T(Schema::AllOf(every)) => &every.description,
        RefOr::T(Schema::AnyOf(any)) => &any.description,
        RefOr::T(Schema::OneOf(one)) if one.description.is_none() => {
            return one.items.first().map(description).unwrap_or_default();
        }
        RefOr::T(Schema::OneOf(one)) => &one.description,
        RefOr::T(_) => &None,
    };
    own.as_deref().unwrap_or_default()
}

/// Returns a comment on lines of its own, if there is text.
fn comment(text: &str, indent: &str) -> String {
    let text = text.trim().replace("*/", "* /");
    match text.contains('\n') {
        _ if text.is_empty() => String::new(),
        false => format!("{indent}/** {text} */\n"),
        true => {
            let lines = text.lines().map(|line| format!("{indent} * {line}").trim_end().to_owned());
            let lines: Vec<_> = lines.collect();
            format!("{indent}/**\n{}\n{indent} */\n", lines.join("\n"))
        }
    }
}
