//! What stands in a document: enough of it to judge the next change exactly, without Automerge.
//!
//! A document has one writer and its counters have no gaps, so an operation is known by its counter alone. The ledger
//! answers what Automerge does not check: whether an operation names as its predecessor exactly what stands at its
//! key. A predecessor that does not exist is lost when the document is saved, and the saved document no longer loads;
//! one that is left out makes a conflict, and what is hidden by a conflict can be made to appear again, all of it at
//! once. A writer who is alone has no use for conflicts, so at each key stands one operation at most.
//!
//! It also bounds what a change costs, and says which parts of the content it touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::columns::Reference;
use crate::gate::{MAX_DEPTH, MAX_EPOCH_MAPS, MAX_TOUCHED_OPS, Refusal};
use crate::genesis;
use crate::read;
use crate::scan::{Action, Op, Scanned};

/// The counter of the map `nodes`, the only operation of the first change.
const NODES: u64 = genesis::OPS;
/// How many maps stand above a section: `nodes` and the writer's own.
const ABOVE_SECTIONS: u8 = 2;
/// The keys from the writer's own map down to what a change touched; empty for everything.
pub(crate) type Path = Vec<Arc<str>>;
/// A key of the map with this counter.
type Place = (u64, Arc<str>);

/// A map, which may have been removed since.
#[derive(Debug, Clone)]
struct Map {
    /// The counter of the map that it is in; 0 for the root.
    parent: u64,
    key: Arc<str>,
    /// How deep it stands: 1 in the root.
    depth: u8,
    /// How many operations were written to it. Automerge walks them all to apply one more.
    ops: u64,
    /// How many keys lead from the writer's own map to the records of the section that it is in; 0 above sections.
    keys: usize,
    /// The outermost map of the record that it belongs to, perhaps itself; 0 above records.
    record: u64,
    /// For the outermost map of a record: how many operations were written to the record. It is read again as a whole.
    record_ops: u64,
}

impl Map {
    /// Returns the map with this counter that an operation puts at `key` of the map `parent`.
    fn inside(parent: (u64, &Self), key: &Arc<str>, counter: u64) -> Self {
        let (at, parent) = parent;
        let depth = parent.depth + 1;
        // `nodes` and the writer's own map stand above the sections.
        let keys = if depth == ABOVE_SECTIONS + 1 { read::path_keys(key) } else { parent.keys };
        let is_record = keys > 0 && usize::from(depth - ABOVE_SECTIONS) == keys;
        let record = if is_record { counter } else { parent.record };
        Self { parent: at, key: Arc::clone(key), depth, ops: 0, keys, record, record_ops: 0 }
    }
}

/// What stands in one document, the first change included.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    /// The key of the writer's own map.
    own: Arc<str>,
    max_op: u64,
    maps: BTreeMap<u64, Map>,
    /// The operation that stands at each key.
    standing: BTreeMap<Place, u64>,
    /// Every key that was ever used, to keep each once.
    keys: BTreeSet<Arc<str>>,
}

/// What a change adds to a ledger.
#[derive(Debug)]
pub(crate) struct Additions {
    max_op: u64,
    maps: BTreeMap<u64, Map>,
    /// How many operations it writes to each map.
    written: BTreeMap<u64, u64>,
    /// How many operations it writes to each record.
    recorded: BTreeMap<u64, u64>,
    standing: BTreeMap<Place, Option<u64>>,
    keys: BTreeSet<Arc<str>>,
    paths: Vec<Path>,
}

impl Additions {
    /// Takes out what the change touches, without paths below other paths.
    pub(crate) fn take_paths(&mut self) -> Vec<Path> {
        std::mem::take(&mut self.paths)
    }
}

impl Ledger {
    /// Returns the ledger of a document with the first change only, whose writer owns the key `own`.
    pub(crate) fn new(own: &str) -> Self {
        let key: Arc<str> = genesis::NODES.into();
        let nodes = Map { parent: 0, key: Arc::clone(&key), depth: 1, ops: 0, keys: 0, record: 0, record_ops: 0 };
        Self {
            own: own.into(),
            max_op: NODES,
            maps: BTreeMap::from([(NODES, nodes)]),
            standing: BTreeMap::new(),
            keys: BTreeSet::from([key]),
        }
    }

    /// The highest counter.
    pub(crate) fn max_op(&self) -> u64 {
        self.max_op
    }

    /// Judges the operations of `scanned` and returns what they add.
    ///
    /// # Errors
    /// When an operation breaks a rule, or all of them touch too much.
    pub(crate) fn judge(&self, scanned: &Scanned<'_>) -> Result<Additions, Refusal> {
        let added = Additions {
            max_op: self.max_op,
            maps: BTreeMap::new(),
            written: BTreeMap::new(),
            recorded: BTreeMap::new(),
            standing: BTreeMap::new(),
            keys: BTreeSet::new(),
            paths: Vec::new(),
        };
        let mut judge = Judge { before: self, added, stand: BTreeSet::new() };
        for (op, preds) in scanned.ops() {
            judge.push(op, preds)?;
        }
        judge.finish()
    }

    /// Adds what [`Self::judge`] has returned last.
    pub(crate) fn take(&mut self, added: Additions) {
        self.max_op = added.max_op;
        self.maps.extend(added.maps);
        for (map, count) in added.written {
            if let Some(map) = self.maps.get_mut(&map) {
                map.ops += count;
            }
        }
        for (record, count) in added.recorded {
            if let Some(map) = self.maps.get_mut(&record) {
                map.record_ops += count;
            }
        }
        for (place, standing) in added.standing {
            match standing {
                Some(counter) => self.standing.insert(place, counter),
                None => self.standing.remove(&place),
            };
        }
        self.keys.extend(added.keys);
    }
}

/// Judges one operation after the other.
struct Judge<'a> {
    before: &'a Ledger,
    added: Additions,
    /// Maps that are known to stand, until one is replaced or removed.
    stand: BTreeSet<u64>,
}

impl Judge<'_> {
    fn push(&mut self, op: &Op<'_>, preds: &[Reference]) -> Result<(), Refusal> {
        let counter = self.added.max_op + 1;
        if op.key.is_empty() {
            return Err(Refusal::EmptyKey(counter));
        }
        let parent = self.object(op, counter)?;
        let map = self.map(parent).ok_or(Refusal::UnknownObject(counter))?;
        let (depth, record) = (map.depth + 1, map.record);
        if op.action == Action::MakeMap && depth >= MAX_DEPTH {
            return Err(Refusal::TooDeep(counter));
        }
        let key = self.intern(op.key);
        let place = (parent, Arc::clone(&key));
        let standing = self.standing(&place);
        let expected = standing.map(|counter| Reference { actor: 0, counter });
        // A deletion is stored with what it deletes, so one of nothing would be lost.
        let nothing = op.action == Action::Delete && standing.is_none();
        if preds != expected.as_slice() || nothing {
            return Err(Refusal::Predecessor(counter));
        }
        let path = self.path(parent, &key);
        if self.added.paths.last() != Some(&path) {
            self.added.paths.push(path);
        }
        self.add(op.action, place, counter, record);
        if standing.is_some_and(|counter| self.map(counter).is_some()) {
            self.stand.clear();
        }
        Ok(())
    }

    fn add(&mut self, action: Action, place: Place, counter: u64, record: u64) {
        let (parent, key) = (place.0, Arc::clone(&place.1));
        *self.added.written.entry(parent).or_default() += 1;
        if record > 0 {
            *self.added.recorded.entry(record).or_default() += 1;
        }
        if action == Action::MakeMap
            && let Some(above) = self.map(parent)
        {
            let map = Map::inside((parent, above), &key, counter);
            self.added.maps.insert(counter, map);
        }
        self.added.standing.insert(place, (action != Action::Delete).then_some(counter));
        self.added.max_op = counter;
    }

    /// Returns the map that `op` writes to, which must stand.
    fn object(&mut self, op: &Op<'_>, counter: u64) -> Result<u64, Refusal> {
        let reference = op.object.ok_or(Refusal::OutOfScope(counter))?;
        let own = reference.actor == 0;
        if own != (reference.counter > NODES) || reference.actor > 1 || !self.stands(reference.counter) {
            return Err(Refusal::UnknownObject(counter));
        }
        if !own && op.key != &*self.before.own {
            return Err(Refusal::OutOfScope(counter));
        }
        Ok(reference.counter)
    }

    /// Whether this is a map that stands, and all maps around it do.
    fn stands(&mut self, counter: u64) -> bool {
        let mut way = Vec::new();
        let mut at = counter;
        while at != NODES && !self.stand.contains(&at) {
            let Some(map) = self.map(at) else { return false };
            if self.standing(&(map.parent, Arc::clone(&map.key))) != Some(at) {
                return false;
            }
            way.push(at);
            at = map.parent;
        }
        self.stand.extend(way);
        true
    }

    /// The operation that stands at a key.
    fn standing(&self, place: &Place) -> Option<u64> {
        match self.added.standing.get(place) {
            Some(standing) => *standing,
            None => self.before.standing.get(place).copied(),
        }
    }

    fn map(&self, counter: u64) -> Option<&Map> {
        self.before.maps.get(&counter).or_else(|| self.added.maps.get(&counter))
    }

    /// Returns the keys from the writer's own map down to the part of the content that `key` of `parent` belongs to.
    fn path(&self, parent: u64, key: &Arc<str>) -> Path {
        let mut keys = vec![key];
        let mut at = self.map(parent);
        while let Some(map) = at {
            keys.push(&map.key);
            at = self.map(map.parent);
        }
        // From the root down: `nodes`, the own key, then the content.
        let keys = keys.into_iter().rev().skip(2);
        let most = keys.clone().next().map_or(0, |section| read::path_keys(section));
        keys.take(most).cloned().collect()
    }

    fn intern(&mut self, key: &str) -> Arc<str> {
        if let Some(known) = self.before.keys.get(key).or_else(|| self.added.keys.get(key)) {
            return Arc::clone(known);
        }
        let key: Arc<str> = key.into();
        self.added.keys.insert(Arc::clone(&key));
        key
    }

    fn finish(mut self) -> Result<Additions, Refusal> {
        if self.before.maps.len() + self.added.maps.len() > MAX_EPOCH_MAPS {
            return Err(Refusal::EpochFull);
        }
        let before = |map: &u64| self.before.maps.get(map);
        let walked = self.added.written.iter().map(|(map, count)| count + before(map).map_or(0, |map| map.ops));
        let read = self.added.recorded.iter().map(|(map, count)| count + before(map).map_or(0, |map| map.record_ops));
        if walked.chain(read).sum::<u64>() > MAX_TOUCHED_OPS {
            return Err(Refusal::TooMuchTouched);
        }
        let paths = &mut self.added.paths;
        // A path sorts right before the paths below it.
        paths.sort_unstable();
        paths.dedup_by(|below, above| below.starts_with(above));
        Ok(self.added)
    }
}
