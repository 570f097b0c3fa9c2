//! What has to be carried on, so that a log that forked takes nothing with it.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::id::NodeId;

use super::{Hash, Incoming, Note, scan};

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
    /// Says which of `void`, changes that do not count where they stand, have to be carried on. Returns their places, each
    /// after what it follows.
    pub fn lacks(&self, void: &[Incoming], whom: For) -> Vec<usize> {
        let waiting: Vec<&Incoming> = self.chains.values().flat_map(|chain| &chain.waiting).collect();
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
        for (hash, incoming) in &self.carried {
            // What is carried on already need not be again; what it follows may lack.
            if let Some((_, one)) = known(&incoming.change, None) {
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
