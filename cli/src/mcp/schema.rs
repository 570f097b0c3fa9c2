//! Schemas of what tools take and give, made from the types themselves and kept short: models pay for every byte.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// The schema of a type and what its documentation says of it.
pub(crate) struct Described {
    /// The schema, always of an object.
    pub(crate) schema: JsonObject,
    /// The documentation of the type, on one line.
    pub(crate) about: String,
}

/// Returns the schema of what a tool takes, with what every field means.
pub(crate) fn input<T: JsonSchema>() -> Described {
    let mut described = generate::<T>();
    described.schema.entry("properties").or_insert_with(|| Value::Object(JsonObject::new()));
    described
}

/// Returns the schema of what a tool gives; fields speak for themselves unless their documentation adds something. Which
/// of them are always there is left out, as it is of no use to a model.
pub(crate) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = Value::Object(generate::<T>().schema);
    without_required(&mut schema);
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}

fn without_required(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_required),
        Value::Object(fields) => {
            // A property may be called so; then it is a schema and no list.
            if fields.get("required").is_some_and(Value::is_array) {
                fields.remove("required");
            }
            fields.values_mut().for_each(without_required);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn generate<T: JsonSchema>() -> Described {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    shorten(&mut value);
    let Value::Object(mut schema) = value else { return Described { schema: JsonObject::new(), about: String::new() } };
    let about = schema.remove("description").and_then(|about| about.as_str().map(str::to_owned)).unwrap_or_default();
    schema.entry("type").or_insert_with(|| "object".into());
    Described { schema, about }
}

/// Takes away what says nothing to a model.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => {
            for noise in ["title", "$schema", "format", "default", "minimum"] {
                // A property may be called so; then it is a schema and no text or number.
                if fields.get(noise).is_some_and(|value| !value.is_object() || noise == "default") {
                    fields.remove(noise);
                }
            }
            words_only(fields);
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    fields.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::String(about)) = fields.get_mut("description") {
                *about = about.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            optional(fields);
            fields.values_mut().for_each(shorten);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Makes a choice of documented words a list of words.
fn words_only(fields: &mut JsonObject) {
    let Some(Value::Array(choices)) = fields.get("oneOf") else { return };
    let mut words = Vec::new();
    for choice in choices {
        match (choice.get("const"), choice.get("enum")) {
            (Some(word), _) => words.push(word.clone()),
            (None, Some(Value::Array(several))) => words.extend(several.iter().cloned()),
            (None, _) => return,
        }
    }
    fields.remove("oneOf");
    fields.insert("type".to_owned(), "string".into());
    fields.insert("enum".to_owned(), Value::Array(words));
}

/// Makes what may be null what it is otherwise: an absent field says the same.
fn optional(fields: &mut JsonObject) {
    let Some(Value::Array(choices)) = fields.get("anyOf") else { return };
    let rest: Vec<&Value> = choices.iter().filter(|choice| choice["type"] != "null").collect();
    if let [Value::Object(one)] = rest.as_slice()
        && rest.len() < choices.len()
    {
        let mut one = one.clone();
        if let Some(about) = fields.get("description") {
            one.insert("description".to_owned(), about.clone());
        }
        *fields = one;
        words_only(fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    #[schemars(deny_unknown_fields)]
    /// Does
    /// this.
    struct Sample {
        /// What for.
        kind: fedp2p_protocols::payload::MessageType,
        text: Option<String>,
        priority: Option<fedp2p_protocols::task::Priority>,
        count: u32,
    }

    #[test]
    fn schemas_are_short_and_say_what_matters() {
        let sample = input::<Sample>();
        assert_eq!(sample.about, "Does this.");
        let text = Value::Object(sample.schema).to_string();
        assert!(text.contains("\"enum\":[\"chat\",\"task\""), "{text}");
        assert!(text.contains("\"enum\":[\"low\",\"normal\""), "{text}");
        assert!(text.contains("\"additionalProperties\":false"), "{text}");
        for noise in ["null", "oneOf", "anyOf", "title", "format", "$schema", "minimum"] {
            assert!(!text.contains(noise), "{noise} in {text}");
        }
    }
}
