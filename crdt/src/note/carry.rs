//! What has to be carried on, so that a log that forked takes nothing with it.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::id::NodeId;

use super::gate::Verdict;
use super::limits::{MAX_CARRIED, MAX_DELETED, MAX_INSERTED};
use super::scan::{self, Action};
use super::{Hash, Incoming, Note, Outcome, Refusal, Task, Writer};

/// A change that is carried on. It counts once something that may count follows it.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    pub(super) incoming: Incoming,
    /// Its own node carries it on: it counts even if nothing follows it.
    pub(super) own: bool,
}

/// What a log has carried on, whether it counts or not, so that what it may carry on is a function of the log alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Carrier {
    changes: u64,
    /// Characters that changes of its own node insert and delete.
    inserted: u64,
    deleted: u64,
}

impl Carrier {
    fn is_over(&self) -> bool {
        self.changes > MAX_CARRIED || self.inserted > MAX_INSERTED || self.deleted > MAX_DELETED
    }
}

/// A change that does not count, and what it names.
struct Known {
    /// Its place among those that can be carried on, if it is one.
    void: Option<usize>,
    deps: Vec<Hash>,
    start_op: u64,
}

fn known(change: &[u8], void: Option<usize>) -> Option<(Hash, Known)> {
    let head = scan::scan(change).ok()?.head;
    // Bounded by the scan, so Automerge may see it.
    let hash = crate::gate::read(change).ok()?.hash().0;
    Some((hash, Known { void, deps: head.deps, start_op: head.start_op }))
}

/// For whom something is carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// For this node: what it has written itself, and what its changes wait for.
    Node(NodeId),
    /// For everybody: what anybody's changes wait for.
    All,
}

impl Note {
    /// Takes in what a log carries on and names the change. Returns what may go on.
    pub(super) fn carrying(&mut self, by: Writer, incoming: &Incoming) -> Result<Option<Task>, Refusal> {
        let own = by.node == incoming.writer.node;
        let carrier = self.carriers.entry(by).or_default();
        carrier.changes += 1;
        if carrier.is_over() {
            return Err(Refusal::Full);
        }
        let scanned = scan::scan(&incoming.change)?;
        if scanned.head.actor != self.id.actor(&incoming.writer, scanned.head.around) {
            return Err(crate::gate::Refusal::WrongActor.into());
        }
        if own {
            let inserted = scanned.ops.iter().filter(|op| matches!(op.action, Action::Insert(_))).count() as u64;
            carrier.inserted += inserted;
            carrier.deleted += scanned.ops.len() as u64 - inserted;
            if carrier.is_over() {
                return Err(Refusal::Full);
            }
        }
        let hash = crate::gate::read(&incoming.change)?.hash().0;
        let known = self.carried.entry(hash).or_insert_with(|| Carried { incoming: incoming.clone(), own });
        known.own |= own;
        if incoming.op < known.incoming.op {
            known.incoming = incoming.clone();
        }
        self.name(&hash, incoming);
        Ok((own || self.waits.contains_key(&hash)).then_some(Task::Carried(hash)))
    }

    /// Lets in a change that is carried on, and is to count; returns what may go on then.
    pub(super) fn carry(&mut self, hash: Hash, outcome: &mut Outcome) -> Vec<Task> {
        let mut tasks = Vec::new();
        let carried = self.carried.get(&hash).filter(|_| !self.counted.contains_key(&hash));
        let Some(incoming) = carried.map(|carried| carried.incoming.clone()) else { return tasks };
        match self.judge(&incoming.writer, &incoming.change) {
            Ok(Verdict::Good(judged)) => tasks = self.count(&incoming, *judged, outcome),
            Ok(Verdict::Missing(missing)) => self.wait(missing, Task::Carried(hash), &mut tasks),
            Err(refusal) => outcome.refused.push((incoming.op, refusal)),
        }
        tasks
    }

    /// What does not count although its own node carries it on.
    pub(super) fn carried_in_vain(&self) -> impl Iterator<Item = &Incoming> {
        let vain = self.carried.iter().filter(|(hash, carried)| carried.own && !self.counted.contains_key(*hash));
        vain.map(|(_, carried)| &carried.incoming)
    }

    /// Says which of `void`, changes that do not count where they stand, have to be carried on. Returns their places, each
    /// after what it follows.
    pub fn lacks(&self, void: &[Incoming], whom: For) -> Vec<usize> {
        let said = self.chains.values().flat_map(|chain| &chain.waiting);
        let waiting: Vec<&Incoming> = said.chain(self.carried_in_vain()).collect();
        if void.is_empty() || (whom == For::All && waiting.is_empty()) {
            return Vec::new();
        }
        let mut all: BTreeMap<Hash, Known> = BTreeMap::new();
        all.extend(void.iter().enumerate().filter_map(|(at, incoming)| known(&incoming.change, Some(at))));
        let own = |one: &Known| one.void.is_some_and(|at| whom == For::Node(void[at].writer.node));
        let mut open: Vec<Hash> = all.iter().filter(|(_, one)| own(one)).map(|(hash, _)| *hash).collect();
        for incoming in waiting {
            if let Some((hash, one)) = known(&incoming.change, None) {
                if whom == For::All || whom == For::Node(incoming.writer.node) {
                    open.extend(&one.deps);
                }
                all.entry(hash).or_insert(one);
            }
        }
        for (hash, Carried { incoming, own }) in &self.carried {
            // What is carried on already need not be again, except by its own node; what it follows may lack.
            let again = !own && whom == For::Node(incoming.writer.node);
            if let Some((_, one)) = known(&incoming.change, None).filter(|_| !again) {
                all.insert(*hash, one);
            }
        }
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        while let Some(hash) = open.pop() {
            let Some(one) = all.get(&hash).filter(|_| !self.counted.contains_key(&hash) && seen.insert(hash)) else {
                continue;
            };
            found.extend(one.void.map(|at| (one.start_op, at)));
            open.extend(&one.deps);
        }
        found.sort_unstable();
        found.into_iter().map(|(_, at)| at).collect()
    }
}
