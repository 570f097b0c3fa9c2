//! Reads typed content out of a document, all of it or what stands below one path.
//!
//! Reading is total: what is malformed, over a limit or in the wrong place is left out. Automerge picks the winner
//! where one key holds several values. Reading a part and replacing it ([`replace`]) gives the same content as
//! reading everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use automerge::{ObjId, ObjType, ROOT, ReadDoc, ScalarValueRef, ValueRef};

use crate::content::{Content, SECTIONS, Section};
use crate::genesis;
use crate::load::Load;
use crate::value::Value;

/// How deep the maps of a record may nest.
const MAX_RECORD_DEPTH: usize = 6;

/// Returns how many keys, the section's own included, lead to the smallest part of it that is read by itself.
///
/// All keys below that lead to the same part, so that a change of many fields reads it once.
pub(crate) fn path_keys(section: &str) -> usize {
    let known = SECTIONS.iter().find(|known| known.name == section);
    // Nothing is read in a section that is not known.
    known.map_or(1, |known| known.parts + 1)
}

/// Returns the map at `key` of `map`.
pub(crate) fn child(document: &impl ReadDoc, map: &ObjId, key: &str) -> Option<ObjId> {
    let (value, id) = document.get(map, key).ok()??;
    (value.to_objtype() == Some(ObjType::Map)).then_some(id)
}

/// Returns the maps in `map`.
fn children(document: &impl ReadDoc, map: &ObjId) -> Vec<(String, ObjId)> {
    let entries = document.map_range(map, ..);
    let maps = entries.filter(|entry| matches!(entry.value, ValueRef::Object(ObjType::Map)));
    maps.map(|entry| (entry.key.to_string(), entry.id())).collect()
}

/// Returns the map that the node with this key writes in.
pub(crate) fn own(document: &impl ReadDoc, own: &str) -> Option<ObjId> {
    child(document, &child(document, &ROOT, genesis::NODES)?, own)
}

/// Returns what stands in the record at `map`; nothing if it has more than `most` leaves and maps.
pub(crate) fn record(document: &impl ReadDoc, map: &ObjId, most: usize) -> Option<Value> {
    let mut room = most;
    entries(document, map, MAX_RECORD_DEPTH, &mut room).map(Value::Map)
}

fn entries(document: &impl ReadDoc, map: &ObjId, depth: usize, room: &mut usize) -> Option<BTreeMap<String, Value>> {
    let depth = depth.checked_sub(1)?;
    let mut found = BTreeMap::new();
    for entry in document.map_range(map, ..) {
        *room = room.checked_sub(1)?;
        let value = match &entry.value {
            ValueRef::Object(ObjType::Map) => Some(Value::Map(entries(document, &entry.id(), depth, room)?)),
            ValueRef::Object(_) => None,
            ValueRef::Scalar(scalar) => leaf(scalar),
        };
        if let Some(value) = value {
            found.insert(entry.key.into_owned(), value);
        }
    }
    Some(found)
}

fn leaf(scalar: &ScalarValueRef<'_>) -> Option<Value> {
    // Other Automerge tools write small numbers as signed ones.
    if let ScalarValueRef::Str(text) = scalar {
        Some(Value::Text(text.to_string()))
    } else if let ScalarValueRef::Uint(number) = scalar {
        Some(Value::Number(*number))
    } else if let ScalarValueRef::Int(number) = scalar {
        Some(Value::Number(u64::try_from(*number).ok()?))
    } else {
        None
    }
}

/// Finds what stands below paths, counted from the map of one node. It remembers the maps on the way to the last one,
/// so that a change of many records is read quickly.
pub(crate) struct Finder<'a, D> {
    document: &'a D,
    own: Option<ObjId>,
    /// The keys that led to the last path, and the maps there.
    way: Vec<(Arc<str>, Option<ObjId>)>,
}

impl<'a, D: ReadDoc> Finder<'a, D> {
    /// Looks at what the node with the key `own_key` says.
    pub(crate) fn new(document: &'a D, own_key: &str) -> Self {
        Self { document, own: own(document, own_key), way: Vec::new() }
    }

    /// Returns what stands below `path`.
    pub(crate) fn below(&mut self, path: &[Arc<str>]) -> Content {
        let mut content = Content::default();
        let Some(map) = self.map(path) else { return content };
        let (section, rest) = match path.split_first() {
            Some((section, rest)) => (Some(&**section), rest),
            None => (None, path),
        };
        for known in SECTIONS.iter().filter(|known| section.is_none_or(|section| section == known.name)) {
            let map = if section.is_some() { Some(map.clone()) } else { child(self.document, &map, known.name) };
            let keys = rest.iter().map(ToString::to_string).collect();
            let mut walk = Walk { document: self.document, section: known, keys, content: &mut content };
            map.iter().for_each(|map| walk.down(map));
        }
        content
    }

    /// Returns the map at `path`.
    fn map(&mut self, path: &[Arc<str>]) -> Option<ObjId> {
        let shared = self.way.iter().zip(path).take_while(|((known, _), key)| known == *key).count();
        self.way.truncate(shared);
        for key in &path[shared..] {
            let above = self.way.last().map_or(&self.own, |(_, map)| map);
            let map = above.as_ref().and_then(|map| child(self.document, map, key));
            self.way.push((Arc::clone(key), map));
        }
        self.way.last().map_or(&self.own, |(_, map)| map).clone()
    }
}

/// A walk through one section, down to its records.
struct Walk<'a, D> {
    document: &'a D,
    section: &'static Section,
    keys: Vec<String>,
    content: &'a mut Content,
}

impl<D: ReadDoc> Walk<'_, D> {
    fn down(&mut self, map: &ObjId) {
        if self.keys.len() == self.section.parts {
            if let Some(value) = record(self.document, map, self.section.most) {
                let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
                self.content.put_value(self.section.name, &keys, value);
            }
            return;
        }
        for (key, map) in children(self.document, map) {
            self.keys.push(key);
            self.down(&map);
            self.keys.pop();
        }
    }
}

/// Replaces what `content` says below `path` by what was found there.
pub(crate) fn replace(content: &mut Content, path: &[Arc<str>], found: Content) {
    let Some((section, rest)) = path.split_first() else {
        *content = found;
        return;
    };
    let prefix: Vec<&str> = rest.iter().map(|key| &**key).collect();
    content.forget(section, &prefix);
    content.extend(found);
}

/// What the records take up that `content` has below `path`.
pub(crate) fn load_below(content: &Content, path: &[Arc<str>]) -> Load {
    let Some((section, rest)) = path.split_first() else { return Load::all(content) };
    let prefix: Vec<&str> = rest.iter().map(|key| &**key).collect();
    let records = content.below(section, &prefix);
    // What was read can be spelled.
    records.iter().filter_map(|entry| Load::of(entry).ok()).fold(Load::default(), std::ops::Add::add)
}
