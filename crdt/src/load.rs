//! How much of an epoch a content takes up, so that it is known beforehand that it can be restated.
//!
//! An epoch that is full is followed by another, which says first what still holds. If that alone filled an epoch the
//! writer could never say anything again. So a writer adds nothing beyond [`FULL`], which leaves most of an epoch for
//! what follows, and what ends something or is needed to clear away goes on up to [`BURSTING`].

use std::ops::{Add, Sub};

use crate::content::{Content, Entry, Invalid};
use crate::value::Value;
use crate::write::OP_BYTES;

/// How much of an epoch something takes up at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Operations.
    pub ops: u64,
    /// Those of them that make maps.
    pub maps: u64,
    /// Bytes of changes.
    pub bytes: u64,
}

/// Beyond this nothing is added to a document.
pub const FULL: Load = Load { ops: 24_000, maps: 7_000, bytes: 2 * 1024 * 1024 };
/// Beyond this nothing is changed in a document but by taking something away.
pub const BURSTING: Load = Load { ops: 30_000, maps: 9_000, bytes: 5 * 512 * 1024 };

impl Load {
    /// What a record takes up, with all the maps on the way to it, which it may share with others.
    ///
    /// # Errors
    /// When the record cannot be spelled.
    pub(crate) fn of(entry: &Entry) -> Result<Self, Invalid> {
        let (_, keys) = entry.path();
        let mut load = Self::default();
        keys.iter().for_each(|key| load.map(key));
        load.fill(&entry.value()?);
        Ok(load)
    }

    /// What all records take up.
    pub(crate) fn all(content: &Content) -> Self {
        // What was read can be spelled.
        content.entries().filter_map(|entry| Self::of(&entry).ok()).fold(Self::default(), Add::add)
    }

    /// Whether it is within `most` in every way.
    pub fn is_within(self, most: Self) -> bool {
        self.ops <= most.ops && self.maps <= most.maps && self.bytes <= most.bytes
    }

    fn op(&mut self, key: &str, text: usize) {
        self.ops += 1;
        self.bytes += (OP_BYTES + key.len() + text) as u64;
    }

    fn map(&mut self, key: &str) {
        self.op(key, 0);
        self.maps += 1;
    }

    fn fill(&mut self, value: &Value) {
        let Value::Map(entries) = value else { return };
        for (key, value) in entries {
            match value {
                Value::Text(text) => self.op(key, text.len()),
                Value::Number(_) => self.op(key, 0),
                Value::Map(_) => {
                    self.map(key);
                    self.fill(value);
                }
            }
        }
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { ops: self.ops + other.ops, maps: self.maps + other.maps, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Load {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            ops: self.ops.saturating_sub(other.ops),
            maps: self.maps.saturating_sub(other.maps),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}
