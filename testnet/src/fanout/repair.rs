//! Sync in the model: digests find what gossip missed, and one peer at a time hands it out.
//!
//! It follows the core: a digest at every connection and then at intervals, heads when digests differ, one fetch at a
//! time, a digest to the source of an entry that leaves a gap, and digests to all after a fetch that brought something.
//! The intervals of all sessions of a node are drawn as one sequence at their joint rate.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Nanos;
use super::gossip::{Manner, Message};
use super::holdings::{Entry, Heights};
use super::peers::NodeIndex;
use super::settings::{ASK_AGAIN, DIGEST, FRAME_BYTES, HEAD_BYTES, SECOND, SPREAD, STALLED};
use super::world::{Event, World};

/// What nodes say to each other on their sync streams.
#[derive(Debug, Clone)]
pub(super) enum Letter {
    /// A new entry, straight from its author.
    Push(Message),
    /// The hash of all heights; the model carries the heights.
    Digest(Heights),
    /// All heights.
    Have(Heights),
    /// What is missing beyond these heights.
    Want(Heights),
    /// Entries that were asked for.
    Entries(Rc<[Entry]>),
}

impl Letter {
    /// How many bytes it has where each of so many nodes has a log.
    pub(super) fn bytes(&self, logs: usize, message_bytes: u32) -> u32 {
        let inside = match self {
            Self::Push(_) => message_bytes,
            Self::Digest(_) => 64,
            Self::Have(_) => HEAD_BYTES * logs as u32,
            Self::Want(heights) => HEAD_BYTES * heights.len() as u32,
            Self::Entries(entries) => message_bytes * entries.len() as u32,
        };
        inside + FRAME_BYTES
    }
}

/// What a node remembers of its sync sessions.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// From whom it fetches, and until when it waits.
    fetching: Option<(NodeIndex, Nanos)>,
    /// Whose heads came while it was fetching.
    differs: BTreeSet<NodeIndex>,
    asked: BTreeMap<NodeIndex, Nanos>,
    spreads: bool,
}

impl World {
    pub(super) fn letter(&mut self, from: NodeIndex, to: NodeIndex, letter: Letter) {
        let now = self.now;
        let node = self.node(to);
        let serves = node.gossip.manner() == Manner::Honest;
        match letter {
            Letter::Push(message) => {
                self.figures.pushed(to, message);
                self.take(to, from, self.entries[message as usize]);
            }
            Letter::Digest(theirs) => {
                if serves && !node.holdings.is_at(&theirs) {
                    let ours = node.holdings.heights();
                    self.send_sync(to, from, Letter::Have(ours));
                }
            }
            Letter::Have(theirs) => {
                if !node.holdings.lacks(&theirs) {
                    return;
                }
                if node.session.fetching.is_some_and(|(_, until)| now < until) {
                    node.session.differs.insert(from);
                    return;
                }
                node.session.fetching = Some((from, now + STALLED));
                let ours = node.holdings.heights();
                self.send_sync(to, from, Letter::Want(ours));
            }
            Letter::Want(theirs) => {
                if serves {
                    let entries = node.holdings.beyond(&theirs).into();
                    self.send_sync(to, from, Letter::Entries(entries));
                }
            }
            Letter::Entries(entries) => self.fetched(from, to, &entries),
        }
    }

    fn fetched(&mut self, from: NodeIndex, to: NodeIndex, entries: &[Entry]) {
        let before = self.node(to).holdings.heights();
        for entry in entries {
            self.take(to, from, *entry);
        }
        let session = &mut self.node(to).session;
        if session.fetching.is_none_or(|(peer, _)| peer != from) {
            return;
        }
        session.fetching = None;
        let mut again = std::mem::take(&mut session.differs);
        if !self.node(to).holdings.is_at(&before) {
            again.insert(from);
            if !std::mem::replace(&mut self.node(to).session.spreads, true) {
                self.after(SPREAD, Event::Spread(to));
            }
        }
        for peer in again {
            self.send_digest(to, peer);
        }
    }

    /// Compares with a peer. Nothing comes of it where both have the same, so only its bytes are counted there.
    pub(super) fn send_digest(&mut self, from: NodeIndex, to: NodeIndex) {
        if self.nodes[from as usize].holdings.equals(&self.nodes[to as usize].holdings) {
            self.figures.sync_bytes += u64::from(64 + FRAME_BYTES);
            return;
        }
        let heights = self.node(from).holdings.heights();
        self.send_sync(from, to, Letter::Digest(heights));
    }

    /// Something is missing here that this peer seems to have.
    pub(super) fn ask_soon(&mut self, node: NodeIndex, peer: NodeIndex) {
        let now = self.now;
        let asked = &mut self.node(node).session.asked;
        if asked.get(&peer).is_none_or(|asked| *asked + ASK_AGAIN <= now) {
            asked.insert(peer, now);
            self.send_digest(node, peer);
        }
    }

    pub(super) fn spread(&mut self, node: NodeIndex) {
        self.node(node).session.spreads = false;
        if self.is_up(node) {
            let peers: Vec<NodeIndex> = self.nodes[node as usize].gossip.peers().connected().collect();
            for peer in peers {
                self.send_digest(node, peer);
            }
        }
    }

    /// How long one step of a node's digests takes, and how likely one is sent at its end: with few sessions a step
    /// is short all the same, because there may be more of them soon.
    fn digest_step(&self, node: NodeIndex) -> (Nanos, f64) {
        let sessions = self.nodes[node as usize].gossip.peers().len();
        let mean = DIGEST / (sessions.max(1) as u64);
        let step = mean.min(SECOND);
        (step, step as f64 * sessions as f64 / DIGEST as f64)
    }

    pub(super) fn plan_digest(&mut self, node: NodeIndex) {
        // Somewhere between nothing and twice the mean, so that nodes are not in step.
        let (step, _) = self.digest_step(node);
        let delay = self.dice.below(2 * step);
        self.after(delay, Event::Digest(node));
    }

    pub(super) fn digest_due(&mut self, node: NodeIndex) {
        if !self.is_up(node) {
            return;
        }
        let (_, chance) = self.digest_step(node);
        if chance > 0.0 && (self.dice.below(1_000_000) as f64) < chance * 1e6 {
            let sessions = self.nodes[node as usize].gossip.peers().len();
            let place = self.dice.index(sessions);
            let peer = self.nodes[node as usize].gossip.peers().at(place);
            self.send_digest(node, peer);
        }
        self.plan_digest(node);
    }
}
