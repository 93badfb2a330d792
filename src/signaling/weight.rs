//! How much memory a payload takes, about.

use serde_json::Value;

/// What a value weighs besides its text: about its place in memory.
const NODE: usize = 32;

/// About how many bytes a value holds on to. How deep it goes is bounded by what reads it.
pub fn weigh(value: &Value) -> usize {
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weigh).sum(),
        Value::Object(fields) => fields.iter().map(|(key, v)| key.len() + weigh(v)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_weighs_its_texts_and_a_little_more() {
        assert_eq!(weigh(&json!("four")), NODE + 4);
        let value = json!({ "key": ["text", 1, null], "other": { "a": true } });
        assert_eq!(weigh(&value), 7 * NODE + "keytextothera".len());
    }
}
