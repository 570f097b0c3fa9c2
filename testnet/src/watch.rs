//! What must hold at every step: of what each core wants done, of what each disk writes, and of nodes that happen to
//! hold the same while things go on.

use std::collections::BTreeMap;

use fedp2p_core::Effect;
use fedp2p_core::store::Write;
use fedp2p_protocols::api::{Answer, watch};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::limits::PENDING_TIMEOUT;
use fedp2p_protocols::sync::{Frame, Head, LogKey};

use crate::check::Invariant;
use crate::disk::Complaint;
use crate::sim::Sim;

/// After how many inputs a node's queues are looked at.
const LOOK_EVERY: u32 = 8;
/// Calls that change something, whose answers must come after the change is stored.
const WRITES: [&str; 26] = [
    "send",
    "state",
    "vote_new",
    "vote_cast",
    "vote_close",
    "vote_ack",
    "approval_ask",
    "approval_answer",
    "role_assign",
    "attention_set",
    "pin_set",
    "ack",
    "surfaced",
    "invite",
    "claim_take",
    "claim_release",
    "claim_renew",
    "task_new",
    "task_edit",
    "task_cancel",
    "task_claim",
    "task_update",
    "task_bid",
    "task_award",
    "note_append",
    "note_edit",
];

/// The types of frames that are looked at, as their first byte tells them.
const HAVE: u8 = 2;
const OPS: u8 = 4;
const ACK: u8 = 5;
const PUSH: u8 = 6;
const STORED: u8 = 7;

/// The id of an op as it travels, without decoding it.
pub(crate) fn op_id(bytes: &[u8]) -> Option<OpId> {
    let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    Some(OpId::from_bytes(*blake3::hash(bytes.get(2..2 + length)?).as_bytes()))
}

/// The entries that are to be written.
fn entries_in(effects: &[Effect]) -> Vec<OpId> {
    let mut ids = Vec::new();
    for effect in effects {
        let Effect::Commit(commit) = effect else { continue };
        for write in &commit.writes {
            if let Write::Op(write) = write {
                ids.push(write.op.id());
            }
        }
    }
    ids
}

impl Sim {
    /// Looks at what a core wants done before it is done.
    pub(crate) fn observe(&mut self, node: usize, effects: &[Effect]) {
        let written = entries_in(effects);
        // What is written after an answer is another matter.
        let mut wrote = false;
        for effect in effects {
            wrote |= matches!(effect, Effect::Commit(commit) if !commit.writes.is_empty());
            match effect {
                // What else is written at the moment of an answer may follow from what it answers.
                Effect::Reply(call, Answer::Ok(_)) if wrote && self.asked_just_now(call) => {
                    let request = self.clients.asked.get(call).map_or("", |asked| asked.request);
                    if WRITES.contains(&request) {
                        let text = format!("n{node} answered {request} and stored what it answers only then");
                        self.fault(Invariant::Durable, text);
                    }
                }
                Effect::Publish { data, .. } => self.must_hold(node, op_id(data)),
                Effect::Send { peer, frame } => {
                    let to = self.neighbour(node, peer);
                    self.sends(node, to, frame, &written);
                }
                Effect::Event(event) => {
                    if let watch::Event::Message(message) = &**event {
                        self.tells(node, message.id);
                    } else if let watch::Event::Claim(claim) = &**event {
                        self.claim_told(node, claim);
                    }
                }
                Effect::Commit(_)
                | Effect::Read(..)
                | Effect::Verify(..)
                | Effect::Reply(..)
                | Effect::Subscribe { .. }
                | Effect::Judge(..)
                | Effect::Admit { .. }
                | Effect::HelloAnswer(..)
                | Effect::Disconnect { .. }
                | Effect::TicketSecret(..)
                | Effect::JoinAnswer(..)
                | Effect::OwnChain(_)
                | Effect::Join { .. }
                | Effect::Stop => {}
            }
        }
        self.nodes[node].seen.inputs += 1;
        if self.nodes[node].seen.inputs.is_multiple_of(LOOK_EVERY) {
            self.check_bounds(node);
        }
    }

    fn must_hold(&mut self, node: usize, id: Option<OpId>) {
        let held = id.is_some_and(|id| self.nodes[node].disk.by_id.contains_key(&id));
        if !held {
            let id = id.map_or("?".to_owned(), |id| id.short().to_string());
            self.fault(Invariant::Published, format!("n{node} hands out {id}, which it has not stored"));
        }
    }

    /// What a frame claims of the sender is true of its disk.
    fn sends(&mut self, node: usize, to: Option<usize>, frame: &[u8], written: &[OpId]) {
        let Some(kind) = frame.first() else { return };
        if ![HAVE, OPS, ACK, PUSH, STORED].contains(kind) {
            return;
        }
        match Frame::decode(frame) {
            Ok(Frame::Have { heads, .. } | Frame::Stored { heads, .. }) => {
                for head in heads {
                    self.must_have(node, &head);
                }
            }
            Ok(Frame::Ops { ops, .. } | Frame::Push { ops }) => {
                for op in &ops {
                    self.must_hold(node, op_id(op));
                }
            }
            Ok(Frame::Ack { bytes }) => {
                if let Some(to) = to {
                    self.acknowledges(node, to, bytes, written);
                }
            }
            Ok(_) => {}
            Err(error) => self.fault(Invariant::Answers, format!("n{node} sends a frame that does not read: {error}")),
        }
    }

    fn must_have(&mut self, node: usize, head: &Head) {
        let disk = &self.nodes[node].disk;
        let forked = disk.forks.range((head.key, 0)..=(head.key, u64::MAX)).next().is_some();
        let waits = self.nodes[node].queue.iter().flat_map(|commit| &commit.writes);
        let freezes = |write: &Write| matches!(write, Write::Fork { .. });
        if forked || disk.at(head.key, head.height) == Some(head.head) || waits.into_iter().any(freezes) {
            return;
        }
        let text = format!("n{node} says that it holds entry {} of a log, and has not stored it", head.height);
        self.fault(Invariant::Published, text);
    }

    /// Notes which ops came, to see what becomes of them before they are acknowledged, and how long they wait.
    pub(crate) fn note_ops(&mut self, from: usize, to: usize, frame: &[u8]) {
        let over_sync = frame.first() == Some(&OPS);
        let Ok(Frame::Ops { ops, .. } | Frame::Push { ops }) = Frame::decode(frame) else { return };
        let ids: Vec<OpId> = ops.iter().filter_map(|op| op_id(op)).collect();
        for id in &ids {
            self.note_op(to, *id);
        }
        if over_sync && self.nodes[from].adversary.is_none() {
            let bytes = ops.iter().map(Vec::len).sum::<usize>() as u32;
            self.nodes[to].seen.unacknowledged.entry(from).or_default().push_back((bytes, ids));
        }
    }

    /// Notes when an op came to a node for the first time.
    pub(crate) fn note_op(&mut self, to: usize, id: OpId) {
        self.nodes[to].seen.came.entry(id).or_insert(self.now);
    }

    fn acknowledges(&mut self, node: usize, to: usize, bytes: u32, written: &[OpId]) {
        let Some(waiting) = self.nodes[node].seen.unacknowledged.get_mut(&to) else { return };
        let Some(index) = waiting.iter().position(|(size, _)| *size == bytes) else { return };
        let Some((_, ids)) = waiting.remove(index) else { return };
        // What had to wait for something else may be stored later than the rest of a frame.
        if let Some(id) = written.iter().find(|id| ids.contains(id)) {
            let text = format!("n{node} acknowledged {} to n{to} before it was stored", id.short());
            self.fault(Invariant::Durable, text);
        }
    }

    /// A message is shown to those who watch: once, in the order of its author, after it and what it depends on
    /// is stored.
    fn tells(&mut self, node: usize, id: OpId) {
        let this = &self.nodes[node];
        let Some(write) = this.disk.by_id.get(&id).and_then(|position| this.disk.ops.get(position)) else {
            self.fault(Invariant::Published, format!("n{node} shows {} before it is stored", id.short()));
            return;
        };
        let header = write.op.header();
        let (key, seq) = (LogKey { author: header.author, log: header.log }, header.seq);
        let seen = &mut self.nodes[node].seen;
        let again = !seen.told.insert(id);
        let last = seen.last_told.insert(key, seq).unwrap_or(0);
        if again {
            self.fault(Invariant::Once, format!("n{node} shows {} twice", id.short()));
        } else if last >= seq {
            let text = format!("n{node} shows entry {seq} of a log after entry {last}");
            self.fault(Invariant::AuthorOrder, text);
        }
    }

    /// What a disk found wrong with what it was told to write.
    pub(crate) fn check_writes(&mut self, node: usize) {
        if self.nodes[node].disk.complaints.is_empty() {
            return;
        }
        let complaints = std::mem::take(&mut self.nodes[node].disk.complaints);
        for complaint in complaints {
            match complaint {
                // A part of a log that does not count is not everywhere.
                Complaint::Dep { dep, op } if self.may_be_missing(node, &op, &dep) => {}
                Complaint::Dep { op, dep } => {
                    let text = format!("n{node} stored {} before {}, on which it depends", op.short(), dep.short());
                    self.fault(Invariant::Causal, text);
                }
                Complaint::Order(text) => self.fault(Invariant::AuthorOrder, format!("n{node}: {text}")),
                Complaint::Twice(text) => self.fault(Invariant::Once, format!("n{node}: {text}")),
                Complaint::Other(text) => self.fault(Invariant::Published, format!("n{node}: {text}")),
            }
        }
    }

    /// Whether an op may be stored without one that it depends on: that one stands where its log does not count, one of the
    /// two is of a hostile member, or the node has waited for it as long as it waits once it knows of a fork.
    fn may_be_missing(&self, node: usize, op: &OpId, dep: &OpId) -> bool {
        let author = |id: &OpId| {
            let disks = std::iter::once(&self.nodes[node]).chain(&self.nodes).map(|node| &node.disk);
            let mut found = disks.filter_map(|disk| disk.ops.get(disk.by_id.get(id)?));
            found.next().map(|write| write.op.header().author)
        };
        let authors = [author(op), author(dep)];
        let mut hostile = self.nodes.iter().filter_map(|node| Some((node.id(), node.adversary.as_ref()?)));
        hostile.any(|(id, adversary)| authors.contains(&Some(id)) || adversary.signed(dep))
            || self.void().contains(dep)
            || self.has_waited(node, op)
    }

    fn has_waited(&self, node: usize, op: &OpId) -> bool {
        let node = &self.nodes[node];
        !node.disk.forks.is_empty() && node.seen.came.get(op).is_some_and(|came| self.now >= *came + PENDING_TIMEOUT)
    }

    /// No queue of a core holds more than it may.
    fn check_bounds(&mut self, node: usize) {
        let Some(core) = &self.nodes[node].core else { return };
        self.counts.checks += 1;
        let over: Vec<String> = core
            .bounds()
            .iter()
            .filter(|bound| bound.found > bound.most)
            .map(|bound| format!("n{node} holds {} {}, at most {} may be", bound.found, bound.what, bound.most))
            .collect();
        for text in over {
            self.fault(Invariant::Bounded, text);
        }
    }

    /// Compares nodes that hold the same while things go on: they must show the same. Where all do, so must tallies.
    pub(crate) fn probe(&mut self) {
        let mut shown: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut groups = BTreeMap::new();
        let honest = self.honest();
        for node in honest.iter().copied() {
            let this = &self.nodes[node];
            let at_rest = this.core.is_some()
                && this.seen.commits == 0
                && this.backlog.is_empty()
                && this.seen.reads == 0
                && this.held_until() <= self.now;
            if !at_rest || this.disk.forks.len() != self.nodes[honest[0]].disk.forks.len() {
                continue;
            }
            let Some((ops, picture, _)) = self.digests(node) else { continue };
            *groups.entry(ops.clone()).or_insert(0) += 1;
            let (first, other) = shown.entry(ops).or_insert_with(|| (picture.clone(), node)).clone();
            if first != picture {
                let text = format!("n{other} and n{node} hold the same and show something different");
                self.fault(Invariant::SamePicture, text);
            }
        }
        let all_same = groups.len() == 1 && groups.values().all(|count| *count == honest.len());
        let now = shown.into_iter().next().map(|(ops, (picture, _))| (ops, picture));
        if all_same && now != self.compared {
            self.compared = now;
            if !self.scenario.large {
                self.check_votes();
                self.check_claims(crate::leases::INSISTS);
            }
        }
    }
}
