//! What operations a document holds: enough of each to judge the next change exactly, without Automerge.
//!
//! A document has one writer and its counters have no gaps, so an operation is known by its counter alone and the
//! ledger is a list. It answers what Automerge does not check: whether a predecessor exists at the same key of
//! the same map. One that does not is lost when the document is saved, and the saved document no longer loads.
//! It also says which parts of the content a change touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::gate::{MAX_DEPTH, Refusal};
use crate::genesis;
use crate::read;
use crate::scan::{Action, Op, Reference, Scanned};

/// The counter of the map `nodes`, the only operation of the first change.
const NODES: u64 = genesis::OPS;
/// The keys from the writer's own map down to what a change touched; empty for everything.
pub(crate) type Path = Vec<Arc<str>>;

#[derive(Debug, Clone)]
struct Entry {
    /// The counter of the map that it is in; 0 for the root.
    object: u64,
    /// Index of its key in the list of keys.
    key: usize,
    action: Action,
    /// How deep it stands: 1 in the root.
    depth: u8,
}

/// All operations of one document, the first change included.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    /// The key of the writer's own map.
    own: Arc<str>,
    /// The operation with counter `n` is at `n - 1`.
    entries: Vec<Entry>,
    keys: Vec<Arc<str>>,
    indices: BTreeMap<Arc<str>, usize>,
}

/// How much a ledger held at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    entries: usize,
    keys: usize,
}

impl Ledger {
    /// Returns the ledger of a document with the first change only, whose writer owns the key `own`.
    pub(crate) fn new(own: &str) -> Self {
        let mut ledger = Self { own: own.into(), entries: Vec::new(), keys: Vec::new(), indices: BTreeMap::new() };
        let key = ledger.intern(genesis::NODES);
        ledger.entries.push(Entry { object: 0, key, action: Action::MakeMap, depth: 1 });
        ledger
    }

    /// The highest counter.
    pub(crate) fn max_op(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Returns where the ledger stands, for [`Self::rewind`].
    pub(crate) fn mark(&self) -> Mark {
        Mark { entries: self.entries.len(), keys: self.keys.len() }
    }

    /// Forgets everything after `mark`.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.entries.truncate(mark.entries);
        for key in self.keys.drain(mark.keys..) {
            self.indices.remove(&key);
        }
    }

    /// Adds the operations of `scanned` and returns what they touch, without paths below other paths.
    ///
    /// # Errors
    /// When an operation breaks a rule; the caller then rewinds.
    pub(crate) fn extend(&mut self, scanned: &Scanned<'_>) -> Result<Vec<Path>, Refusal> {
        let first = self.entries.len();
        for (op, preds) in scanned.ops() {
            self.push(op, preds)?;
        }
        let mut paths: Vec<Path> = self.entries[first..].iter().map(|entry| self.path(entry)).collect();
        // A path sorts right before the paths below it.
        paths.sort_unstable();
        paths.dedup_by(|below, above| below.starts_with(above));
        Ok(paths)
    }

    fn push(&mut self, op: &Op<'_>, preds: &[Reference]) -> Result<(), Refusal> {
        let counter = self.max_op() + 1;
        if op.key.is_empty() {
            return Err(Refusal::EmptyKey(counter));
        }
        let (object, depth) = self.object(op, counter)?;
        if op.action == Action::MakeMap && depth >= MAX_DEPTH {
            return Err(Refusal::TooDeep(counter));
        }
        let key = self.intern(op.key);
        self.check_preds(op.action, preds, object, key, counter)?;
        self.entries.push(Entry { object, key, action: op.action, depth });
        Ok(())
    }

    /// Returns the map that `op` writes to and the depth of what is in it.
    fn object(&self, op: &Op<'_>, counter: u64) -> Result<(u64, u8), Refusal> {
        let reference = op.object.ok_or(Refusal::OutOfScope(counter))?;
        let own = reference.actor == 0;
        if own != (reference.counter > NODES) || reference.actor > 1 {
            return Err(Refusal::UnknownObject(counter));
        }
        let map = self.entry(reference.counter).filter(|entry| entry.action == Action::MakeMap);
        let map = map.ok_or(Refusal::UnknownObject(counter))?;
        if !own && op.key != &*self.own {
            return Err(Refusal::OutOfScope(counter));
        }
        Ok((reference.counter, map.depth + 1))
    }

    fn check_preds(
        &self,
        action: Action,
        preds: &[Reference],
        object: u64,
        key: usize,
        counter: u64,
    ) -> Result<(), Refusal> {
        let ascending = preds.windows(2).all(|pair| pair[0].counter < pair[1].counter);
        let there = preds.iter().all(|pred| {
            pred.actor == 0
                && pred.counter > NODES
                && self
                    .entry(pred.counter)
                    .is_some_and(|entry| entry.object == object && entry.key == key && entry.action != Action::Delete)
        });
        // A deletion is stored with what it deletes, so one without predecessors would be lost.
        let enough = action != Action::Delete || !preds.is_empty();
        if ascending && there && enough { Ok(()) } else { Err(Refusal::Predecessor(counter)) }
    }

    fn entry(&self, counter: u64) -> Option<&Entry> {
        let index = usize::try_from(counter.checked_sub(1)?).ok()?;
        self.entries.get(index)
    }

    /// Returns the keys from the writer's own map down to the part of the content that `entry` belongs to.
    fn path(&self, entry: &Entry) -> Path {
        let mut keys = Vec::new();
        let mut at = Some(entry);
        while let Some(entry) = at {
            keys.push(&self.keys[entry.key]);
            at = self.entry(entry.object);
        }
        // From the root down: `nodes`, the own key, then the content.
        let keys = keys.into_iter().rev().skip(2);
        let most = keys.clone().next().map_or(0, |section| read::path_keys(section));
        keys.take(most).cloned().collect()
    }

    fn intern(&mut self, key: &str) -> usize {
        if let Some(&index) = self.indices.get(key) {
            return index;
        }
        let key: Arc<str> = key.into();
        self.keys.push(Arc::clone(&key));
        self.indices.insert(key, self.keys.len() - 1);
        self.keys.len() - 1
    }
}
