//! Validation of values against our schemas. It knows the keywords that our schemas use, and panics
//! at any other, so that nothing goes unchecked.
//!
//! It is stricter than JSON Schema in one respect: a property that the schema does not name is an
//! error unless the schema has `additionalProperties`. Everything that the server sends is to be
//! documented.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The targets of references: `#/components/schemas/…`.
pub(super) struct Schemas<'a>(pub &'a Map<String, Value>);

impl Schemas<'_> {
    /// Checks a value; the error names the path at which it differs from the schema.
    pub(super) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        self.check_at("$", schema, value)
    }

    fn check_at(&self, at: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{at}: {what}, but it is {value}"));
        for (keyword, rule) in schema.as_object().expect("a schema is an object") {
            match keyword.as_str() {
                "description" | "title" | "required" | "additionalProperties" | "readOnly" => {}
                "format" => {
                    let is = |check: fn(&str) -> bool| value.as_str().is_none_or(check);
                    let fits = match rule.as_str().unwrap_or_default() {
                        "int32" | "int64" | "double" => true,
                        "ulid" => is(is_ulid),
                        "date-time" => is(|text| text.len() == 24 && text.ends_with('Z')),
                        other => panic!("{at}: the format {other} is not known here"),
                    };
                    if !fits {
                        return wrong(&format!("must be a {rule}"));
                    }
                }
                "$ref" => {
                    let name = rule.as_str().and_then(|r| r.strip_prefix("#/components/schemas/"));
                    let name = name.unwrap_or_else(|| panic!("{at} refers to {rule}"));
                    let schema = self.0.get(name).unwrap_or_else(|| panic!("no schema {name}"));
                    self.check_at(at, schema, value)?;
                }
                "type" => {
                    let types = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
                    if !types.iter().any(|name| is_of(value, name.as_str().unwrap_or_default())) {
                        return wrong(&format!("must be {rule}"));
                    }
                }
                "const" if rule != value => return wrong(&format!("must be {rule}")),
                "const" => {}
                "enum" => {
                    if !rule.as_array().expect("a list of values").contains(value) {
                        return wrong("must be a word of the list");
                    }
                }
                "minimum" | "maximum" => {
                    let (limit, is) = (rule.as_f64().unwrap(), value.as_f64());
                    let fits = |is| if keyword == "minimum" { is >= limit } else { is <= limit };
                    if !is.is_none_or(fits) {
                        return wrong(&format!("{keyword} is {limit}"));
                    }
                }
                "minLength" | "maxLength" => {
                    let limit = rule.as_u64().unwrap() as usize;
                    let length = value.as_str().map(|text| text.chars().count());
                    let fits =
                        |len| if keyword == "minLength" { len >= limit } else { len <= limit };
                    if !length.is_none_or(fits) {
                        return wrong(&format!("{keyword} is {limit}"));
                    }
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check_at(&format!("{at}[{n}]"), rule, item)?;
                    }
                }
                "properties" => self.check_fields(at, schema, value)?,
                "allOf" => self.check_parts(at, rule, value)?,
                "oneOf" | "anyOf" => {
                    let all = rule.as_array().expect("a list of schemas").iter();
                    let tried: Vec<_> = all.map(|one| self.check_at(at, one, value)).collect();
                    let fit = tried.iter().filter(|tried| tried.is_ok()).count();
                    if fit == 0 || (fit > 1 && keyword == "oneOf") {
                        return Err(format!("{at}: {fit} of {keyword} fit: {tried:?}"));
                    }
                }
                other => panic!("{at}: the keyword {other} is not known here"),
            }
        }
        Ok(())
    }

    fn check_fields(&self, at: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(fields) = value.as_object() else { return Ok(()) };
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a field's name");
            if !fields.contains_key(name) {
                return Err(format!("{at}: {name} is missing in {value}"));
            }
        }
        for (name, field) in fields {
            let described = schema["properties"].get(name).or(schema.get("additionalProperties"));
            match described {
                Some(schema) => self.check_at(&format!("{at}.{name}"), schema, field)?,
                None => return Err(format!("{at}: {name} is not described")),
            }
        }
        Ok(())
    }

    /// Returns the names of the properties that a part describes, in any of its alternatives.
    fn known_fields<'a>(&'a self, part: &'a Value) -> BTreeSet<&'a str> {
        if let Some(name) = part["$ref"].as_str() {
            return self.known_fields(&self.0[name.trim_start_matches("#/components/schemas/")]);
        }
        let own = part["properties"].as_object().into_iter().flatten();
        let parts = ["allOf", "oneOf", "anyOf"].map(|keyword| part[keyword].as_array());
        let parts = parts.into_iter().flatten().flatten();
        own.map(|(name, _)| name.as_str())
            .chain(parts.flat_map(|part| self.known_fields(part)))
            .collect()
    }

    /// Checks a value against `allOf`, each part of which describes some of the properties.
    fn check_parts(&self, at: &str, parts: &Value, value: &Value) -> Result<(), String> {
        let Some(fields) = value.as_object() else { return Err(format!("{at}: no object")) };
        let mut described = BTreeSet::new();
        for part in parts.as_array().expect("a list of schemas") {
            let known = self.known_fields(part);
            let own = fields.iter().filter(|(name, _)| known.contains(name.as_str()));
            let own: Map<_, _> = own.map(|(name, field)| (name.clone(), field.clone())).collect();
            described.extend(own.keys().cloned());
            self.check_at(at, part, &own.into())?;
        }
        match fields.keys().find(|name| !described.contains(*name)) {
            Some(name) => Err(format!("{at}: {name} is not described")),
            None => Ok(()),
        }
    }
}

/// Returns true for a ULID: 26 characters of Crockford's base 32, which lacks I, L, O and U.
fn is_ulid(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() && !"ILOU".contains(c);
    text.len() == 26 && text.chars().all(allowed)
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}
