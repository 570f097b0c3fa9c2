//! Long answers of operations, in parts: a model pays for every byte, and a client may refuse what is too long.
//!
//! The first answer has the beginning of every long text and list, and says under `read_on` where each goes on. Who calls
//! again with one of these gets the next part of that text or list alone.

use std::collections::BTreeMap;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::words;

/// The argument that asks for the rest, and the field that says where there is some.
pub(super) const READ_ON: &str = "read_on";
/// The field with a part that was asked for.
const PART: &str = "part";
/// The field of operations that holds what agents give to each other as they like, and is handed on as it is.
const DATA: &str = "data";
/// Most bytes of one text in a first answer.
const MAX_TEXT_BYTES: usize = words::MAX_TEXT_BYTES;
/// Most bytes of an answer, as long as there are lists to shorten.
const MAX_BYTES: usize = 32 * 1024;
/// Most bytes of a text that was asked for.
const MAX_PART_BYTES: usize = 16 * 1024;

/// Where to read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The text or list, as a JSON pointer
    at: String,
    /// The byte or row to begin at
    offset: usize,
}

/// Adds to the schemas of an operation what is said of parts here.
pub(super) fn describe(input: &mut JsonObject, output: &mut JsonObject, reads: bool) {
    let place = Value::Object(super::schema::input::<Part>().schema);
    if let (true, Some(Value::Object(fields))) = (reads, input.get_mut("properties")) {
        let mut argument = place.clone();
        argument["description"] = "One of read_on of an answer, for the next part".into();
        fields.insert(READ_ON.to_owned(), argument);
    }
    if let Value::Object(fields) = output.entry("properties").or_insert_with(|| json!({})) {
        fields.insert(READ_ON.to_owned(), json!({"type": "array", "items": place}));
        fields.insert(PART.to_owned(), json!({"description": "The part that was asked for"}));
    }
}

/// Returns what fits of a reply, without fields that say nothing.
pub(super) fn first(mut reply: Value) -> Value {
    without_nulls(&mut reply);
    let mut rest = BTreeMap::new();
    cut_texts(&mut reply, &mut String::new(), &mut rest);
    while reply.to_string().len() > MAX_BYTES && cut_longest_list(&mut reply, &mut rest) {}
    if let (Value::Object(fields), false) = (&mut reply, rest.is_empty()) {
        fields.insert(READ_ON.to_owned(), places(rest));
    }
    reply
}

/// Returns the next part of a text or list; nothing if there is none there.
pub(super) fn next(reply: &Value, from: &Part) -> Option<Value> {
    let mut rest = BTreeMap::new();
    let part = match reply.pointer(&from.at)? {
        Value::String(text) if from.offset < text.len() => {
            let (part, next) = words::page(text, from.offset, MAX_PART_BYTES);
            if let Some(next) = next {
                rest.insert(from.at.clone(), next as usize);
            }
            Value::String(part)
        }
        Value::Array(rows) if from.offset < rows.len() => {
            // As if the rows before were not cut, so that places stay what they are in the whole reply.
            let mut part = json!({ PART: &rows[from.offset..] });
            without_nulls(&mut part);
            let mut inner = BTreeMap::new();
            cut_texts(&mut part, &mut String::new(), &mut inner);
            while part.to_string().len() > MAX_BYTES && cut_longest_list(&mut part, &mut inner) {}
            rest.extend(inner.into_iter().map(|(at, offset)| moved(&at, offset, from)));
            part[PART].take()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return None;
        }
    };
    let mut fields = Map::from_iter([(PART.to_owned(), part)]);
    if !rest.is_empty() {
        fields.insert(READ_ON.to_owned(), places(rest));
    }
    Some(Value::Object(fields))
}

/// Returns where something of a part is in the whole reply.
fn moved(at: &str, offset: usize, from: &Part) -> (String, usize) {
    let within = at.strip_prefix(&format!("/{PART}")).unwrap_or(at);
    let Some(row) = within.strip_prefix('/') else { return (from.at.clone(), from.offset + offset) };
    let (row, below) = row.split_once('/').map_or((row, String::new()), |(row, below)| (row, format!("/{below}")));
    let row = row.parse().unwrap_or(0) + from.offset;
    (format!("{}/{row}{below}", from.at), offset)
}

fn places(rest: BTreeMap<String, usize>) -> Value {
    rest.into_iter().map(|(at, offset)| json!({"at": at, "offset": offset})).collect()
}

/// Takes away fields without a value: an absent one says the same, and the schemas have no null.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.iter_mut().filter(|(name, _)| *name != DATA).for_each(|(_, value)| without_nulls(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Cuts all texts that are too long, and notes where they go on.
fn cut_texts(value: &mut Value, at: &mut String, rest: &mut BTreeMap<String, usize>) {
    let Value::String(text) = value else {
        return each(value, at, &mut |value, at| cut_texts(value, at, rest));
    };
    if let (part, Some(next)) = words::page(text, 0, MAX_TEXT_BYTES) {
        *text = part;
        rest.insert(at.clone(), next as usize);
    }
}

/// Halves the list that takes the most room, and notes where it goes on. Returns whether there was one.
fn cut_longest_list(value: &mut Value, rest: &mut BTreeMap<String, usize>) -> bool {
    let mut longest = (0, String::new());
    find_longest(value, &mut String::new(), &mut longest);
    let (bytes, at) = longest;
    let Some(Value::Array(rows)) = value.pointer_mut(&at).filter(|_| bytes > 0) else { return false };
    let kept = rows.len() / 2;
    rows.truncate(kept);
    rest.retain(|place, _| {
        let row =
            place.strip_prefix(&at).and_then(|row| row.strip_prefix('/')?.split('/').next()?.parse::<usize>().ok());
        row.is_none_or(|row| row < kept)
    });
    rest.insert(at, kept);
    true
}

fn find_longest(value: &mut Value, at: &mut String, longest: &mut (usize, String)) {
    if let Value::Array(rows) = value
        && rows.len() > 1
    {
        let bytes = rows.iter().map(|row| row.to_string().len()).sum();
        if bytes > longest.0 {
            *longest = (bytes, at.clone());
        }
    }
    each(value, at, &mut |value, at| find_longest(value, at, longest));
}

/// Goes on to everything that is right below, with its place.
fn each(value: &mut Value, at: &mut String, go: &mut dyn FnMut(&mut Value, &mut String)) {
    let length = at.len();
    let mut below = |name: &str, value: &mut Value| {
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        go(value, at);
        at.truncate(length);
    };
    match value {
        Value::Array(items) => items.iter_mut().enumerate().for_each(|(row, value)| below(&row.to_string(), value)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| below(name, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Value {
        let row =
            |n: usize| json!({"n": n, "text": format!("{n}:{}", "愛".repeat(n * 40)), "tags": ["a/b", null, "c"]});
        json!({"rows": (0..200).map(row).collect::<Vec<_>>(), "a/b~c": "x".repeat(50_000), "none": null, "data": {"n": null}})
    }

    /// Puts the parts into a reply, as a client would, until nothing is left.
    fn read_all(whole: &Value, mut shown: Value) -> Value {
        let take = |value: &mut Value| -> Vec<Part> {
            let places = value.as_object_mut().and_then(|fields| fields.remove(READ_ON)).unwrap_or(json!([]));
            serde_json::from_value(places).unwrap()
        };
        let mut open = take(&mut shown);
        while let Some(place) = open.pop() {
            let mut part = next(whole, &place).unwrap();
            assert!(part.to_string().len() <= MAX_BYTES + 8192, "{}", part.to_string().len());
            open.extend(take(&mut part));
            match (shown.pointer_mut(&place.at).unwrap(), part[PART].take()) {
                (Value::String(text), Value::String(more)) => text.push_str(&more),
                (Value::Array(rows), Value::Array(more)) => {
                    assert_eq!(rows.len(), place.offset);
                    rows.extend(more);
                }
                (place, part) => panic!("{part} at {place}"),
            }
            // Longer lists first: what lies in them is there then.
            open.sort_by_key(|place| std::cmp::Reverse(place.at.len()));
        }
        shown
    }

    #[test]
    fn a_long_reply_is_short_at_first_and_can_be_read_on_to_its_end() {
        let whole = reply();
        let shown = first(whole.clone());
        assert!(shown.to_string().len() <= MAX_BYTES + 1024, "{}", shown.to_string().len());
        assert!(
            shown["rows"].as_array().unwrap().len() < 200 && shown["a/b~c"].as_str().unwrap().len() == MAX_TEXT_BYTES
        );
        let mut expected = whole.clone();
        without_nulls(&mut expected);
        assert_eq!(read_all(&whole, shown), expected);
        assert_eq!(expected["data"], json!({"n": null}), "what agents give to each other stays as it is");
    }

    #[test]
    fn a_short_reply_stays_whole() {
        let reply = json!({"text": "x", "rows": [1, 2, 3]});
        assert_eq!(first(reply.clone()), reply);
    }

    #[test]
    fn there_is_nothing_to_read_on_where_nothing_is() {
        let from = |at: &str, offset| next(&reply(), &Part { at: at.to_owned(), offset });
        assert_eq!(from("/nothing", 0), None);
        assert_eq!(from("/rows", 200), None);
        assert_eq!(from("/rows/0/n", 0), None);
        assert_eq!(from("/rows/0/text", 1_000_000), None);
        assert_eq!(from("", 0), None);
    }
}
