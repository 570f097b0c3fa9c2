//! Turns edits into operations of one Automerge transaction.
//!
//! [`Document::write`](crate::document::Document::write) calls it on a copy of the document and drops the copy when
//! anything fails. Only what differs is written, so an edit that says what stands there already costs nothing.

use std::collections::BTreeMap;

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ScalarValue};
use fedp2p_protocols::limits::{MAX_CHANGE_BYTES, MAX_CHANGE_OPS};

use crate::content::{Content, Edit, Entry, Invalid, Place};
use crate::gate::Refusal;
use crate::genesis;
use crate::read;
use crate::value::Value;

/// Why a writer's edits were not written. The document is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A record is not well formed, over a limit, or must not take the place of the one before.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The edits do not fit in one change.
    #[error("the edits do not fit in one change")]
    TooLarge,
    /// The document says as much as it may: see [`FULL`](crate::load::FULL).
    #[error("the document of this node is full")]
    Full,
    /// The epoch is full; a new one must begin.
    #[error("the epoch is full")]
    EpochFull,
    /// The time is too far in the future to be written.
    #[error("the time is out of range")]
    Time,
    /// Automerge failed, which it does not in a sound document.
    #[error("automerge failed")]
    Automerge(#[from] AutomergeError),
    /// Our own gate refuses what was written, which is a bug.
    #[error("the gate refuses our own change")]
    Refused(#[source] Refusal),
}

/// More than an operation takes up beside its texts: three references, the lengths and the kinds.
pub(crate) const OP_BYTES: usize = 32;
/// More than the header of a change takes up.
const HEADER_BYTES: usize = 512;
/// What is packed together may cost at most, so that changes stay small.
const PACK_BYTES: usize = 32 * 1024;
/// The same for operations.
const PACK_OPS: u64 = 300;

/// An upper bound of what edits take up in a change.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    bytes: usize,
    ops: u64,
}

impl Cost {
    fn add(&mut self, texts: usize) {
        self.bytes += OP_BYTES + texts;
        self.ops += 1;
    }

    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, ops: self.ops + other.ops }
    }

    fn fits(self) -> bool {
        HEADER_BYTES + self.bytes <= MAX_CHANGE_BYTES && self.ops <= MAX_CHANGE_OPS
    }

    fn packs(self) -> bool {
        self.bytes <= PACK_BYTES && self.ops <= PACK_OPS
    }
}

/// A leaf, or a map with nothing in it, with all keys that lead to it from the node's own map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    path: Vec<String>,
    value: Value,
}

impl Leaf {
    /// What it costs where `before` stands: the maps on the way that both share are there already.
    fn cost(&self, before: Option<&Self>) -> Cost {
        let before = before.map_or(&[][..], |before| &before.path);
        let shared = self.path.iter().zip(before).take_while(|(key, before)| key == before).count();
        let mut cost = Cost::default();
        self.path[shared..].iter().for_each(|key| cost.add(key.len()));
        cost.bytes += if let Value::Text(text) = &self.value { text.len() } else { 0 };
        cost
    }
}

/// Returns the leaves that make `content` in an empty document, in groups that fit in one change each.
///
/// # Errors
/// When a record cannot be written.
pub(crate) fn restating(content: &Content) -> Result<Vec<Vec<Leaf>>, Invalid> {
    let mut groups: Vec<Vec<Leaf>> = Vec::new();
    let mut filled = Cost::default();
    for entry in content.entries() {
        entry.check()?;
        let (section, mut path) = entry.path();
        path.insert(0, section.to_owned());
        let mut leaves = Vec::new();
        flatten(&mut path, entry.value()?, &mut leaves);
        for leaf in leaves {
            let cost = leaf.cost(groups.last().and_then(|group| group.last()));
            let together = filled.and(cost);
            match groups.last_mut() {
                Some(group) if together.packs() => {
                    group.push(leaf);
                    filled = together;
                }
                Some(_) | None => {
                    filled = cost;
                    groups.push(vec![leaf]);
                }
            }
        }
    }
    Ok(groups)
}

fn flatten(path: &mut Vec<String>, value: Value, leaves: &mut Vec<Leaf>) {
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                path.push(key);
                flatten(path, value, leaves);
                path.pop();
            }
        }
        Value::Map(_) | Value::Text(_) | Value::Number(_) => leaves.push(Leaf { path: path.clone(), value }),
    }
}

/// Writes into a transaction.
pub(crate) struct Writer<'a, 'd> {
    transaction: &'a mut Transaction<'d>,
    own: String,
    cost: Cost,
}

impl<'a, 'd> Writer<'a, 'd> {
    /// Returns a writer for the node whose map has the key `own`.
    pub(crate) fn new(transaction: &'a mut Transaction<'d>, own: String) -> Self {
        Self { transaction, own, cost: Cost::default() }
    }

    /// Writes one edit.
    ///
    /// # Errors
    /// When the edit cannot be written; the transaction is then of no more use.
    pub(crate) fn write(&mut self, edit: &Edit) -> Result<(), WriteError> {
        match edit {
            Edit::Put(entry) => self.put_entry(entry),
            Edit::Remove(place) => self.remove(place),
        }
    }

    /// Writes one leaf.
    ///
    /// # Errors
    /// When Automerge fails.
    pub(crate) fn restate(&mut self, leaf: &Leaf) -> Result<(), WriteError> {
        let (last, path) = leaf.path.split_last().expect("a leaf stands below a section");
        let map = self.map_at(path)?;
        self.put(&map, last, &leaf.value)
    }

    /// Whether everything written so far fits in one change.
    pub(crate) fn fits(&self) -> bool {
        self.cost.fits()
    }

    fn put_entry(&mut self, entry: &Entry) -> Result<(), WriteError> {
        entry.check()?;
        let (section, mut path) = entry.path();
        path.insert(0, section.to_owned());
        let Value::Map(new) = entry.value()? else {
            return Err(Invalid::Spelling("a record is a map".to_owned()).into());
        };
        let found = self.find(&path);
        let before = found.as_ref().and_then(|map| read::record(self.transaction, map, usize::MAX));
        if let Some(before) = before.clone() {
            entry.check_follows(before)?;
        }
        let map = match found {
            Some(map) => map,
            None => self.map_at(&path)?,
        };
        match before {
            Some(Value::Map(before)) => self.change(&map, &before, &new),
            Some(Value::Text(_) | Value::Number(_)) | None => self.fill(&map, &new),
        }
    }

    fn remove(&mut self, place: &Place) -> Result<(), WriteError> {
        let (section, mut path) = place.path();
        path.insert(0, section.to_owned());
        let last = path.pop().expect("a record has a key");
        let Some(map) = self.find(&path) else { return Ok(()) };
        if read::child(self.transaction, &map, &last).is_none() {
            return Ok(());
        }
        self.delete(&map, &last)
    }

    /// Makes what stands in `map` and says `before` say `new`.
    fn change(
        &mut self,
        map: &ObjId,
        before: &BTreeMap<String, Value>,
        new: &BTreeMap<String, Value>,
    ) -> Result<(), WriteError> {
        for key in before.keys().filter(|key| !new.contains_key(*key)) {
            self.delete(map, key)?;
        }
        for (key, value) in new {
            match (before.get(key), value) {
                (Some(before), value) if before == value => {}
                (Some(Value::Map(before)), Value::Map(new)) => {
                    let inner = self.map(map, key)?;
                    self.change(&inner, before, new)?;
                }
                _ => self.put(map, key, value)?,
            }
        }
        Ok(())
    }

    fn fill(&mut self, map: &ObjId, new: &BTreeMap<String, Value>) -> Result<(), WriteError> {
        new.iter().try_for_each(|(key, value)| self.put(map, key, value))
    }

    fn put(&mut self, map: &ObjId, key: &str, value: &Value) -> Result<(), WriteError> {
        match value {
            Value::Text(text) => self.put_scalar(map, key, text.as_str().into(), text.len()),
            Value::Number(number) => self.put_scalar(map, key, (*number).into(), 0),
            Value::Map(entries) => {
                let inner = self.fresh_map(map, key)?;
                self.fill(&inner, entries)
            }
        }
    }

    /// Returns the map at `path` below the own map, if it is there.
    fn find(&self, path: &[String]) -> Option<ObjId> {
        let own = read::own(self.transaction, &self.own)?;
        path.iter().try_fold(own, |map, key| read::child(self.transaction, &map, key))
    }

    /// Returns the map at `path` below the own map and makes what is missing on the way.
    fn map_at(&mut self, path: &[String]) -> Result<ObjId, WriteError> {
        let own = self.own.clone();
        let nodes = self.map(&ROOT, genesis::NODES)?;
        let own = self.map(&nodes, &own)?;
        path.iter().try_fold(own, |map, key| self.map(&map, key))
    }

    fn map(&mut self, parent: &ObjId, key: &str) -> Result<ObjId, WriteError> {
        match read::child(self.transaction, parent, key) {
            Some(map) => Ok(map),
            None => self.fresh_map(parent, key),
        }
    }

    fn fresh_map(&mut self, parent: &ObjId, key: &str) -> Result<ObjId, WriteError> {
        self.cost.add(key.len());
        Ok(self.transaction.put_object(parent, key, ObjType::Map)?)
    }

    fn put_scalar(&mut self, map: &ObjId, key: &str, value: ScalarValue, text: usize) -> Result<(), WriteError> {
        self.cost.add(key.len() + text);
        Ok(self.transaction.put(map, key, value)?)
    }

    fn delete(&mut self, map: &ObjId, key: &str) -> Result<(), WriteError> {
        self.cost.add(key.len());
        Ok(self.transaction.delete(map, key)?)
    }
}
