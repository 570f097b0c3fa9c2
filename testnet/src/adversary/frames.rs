//! Attacks that are frames and messages: what is sent, how much, and by whom.

use std::sync::Arc;

use fedp2p_core::Input;
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};
use fedp2p_protocols::op::{NodeKey, Verified};
use fedp2p_protocols::sync::{Frame, Head, LogKey, Want};

use super::Campaign;
use super::ops::message;
use crate::mesh::gossip_id;
use crate::node::EPOCH_MS;
use crate::script::{DAY_MS, certificate};
use crate::sim::{Purpose, Sim};

impl Campaign {
    /// One of those that keep the rules.
    pub(super) fn someone(&mut self, sim: &Sim) -> Option<usize> {
        let honest = sim.honest();
        honest.get(self.dice.index(honest.len())).copied()
    }

    /// Any entry that a node wrote itself.
    pub(super) fn some_op(&mut self, sim: &Sim, node: usize) -> Option<Arc<Verified>> {
        let node = &sim.nodes[node];
        let own = node.disk.ops.values().filter(|write| write.op.header().author == node.id());
        let own: Vec<_> = own.map(|write| &write.op).collect();
        own.get(self.dice.index(own.len())).map(|op| Arc::clone(op))
    }

    /// Lets its own core have ops as if they had come from a neighbour.
    pub(super) fn cover(&mut self, sim: &mut Sim, ops: &[Vec<u8>]) {
        let Some(from) = sim.mesh.neighbours(self.node).first().copied() else { return };
        let peer = sim.nodes[from].id();
        for part in ops.chunks(40) {
            sim.give(self.node, Input::Frame { peer, frame: Frame::Push { ops: part.to_vec() }.encode() });
        }
    }

    /// Tells one neighbour: as something new, as if it had been asked for, or by gossip.
    pub(super) fn tell(&mut self, sim: &mut Sim, to: usize, ops: &[Vec<u8>]) {
        match self.dice.index(4) {
            0 => {
                let conversation = self.conversation();
                let last = self.dice.percent(50);
                sim.send_raw(self.node, to, Frame::Ops { conversation, last, ops: ops.to_vec() }.encode());
            }
            1 => {
                for op in ops {
                    self.gossip(sim, to, op);
                }
            }
            _ => sim.send_raw(self.node, to, Frame::Push { ops: ops.to_vec() }.encode()),
        }
    }

    pub(super) fn gossip(&mut self, sim: &mut Sim, to: usize, data: &[u8]) {
        sim.gossip_to(self.node, to, gossip_id(data), &data.into());
    }

    /// What all nodes hold, as heads.
    fn heads(&self, sim: &Sim) -> Vec<Head> {
        let Some(node) = sim.honest().first().copied() else { return Vec::new() };
        let logs = sim.nodes[node].disk.logs.values();
        logs.map(|log| Head { key: log.key, height: log.height, head: log.head, floor: 1 }).collect()
    }

    fn send(&mut self, sim: &mut Sim, frame: &Frame) {
        let bytes = frame.encode();
        for to in sim.mesh.neighbours(self.node) {
            sim.send_raw(self.node, to, bytes.clone());
        }
    }

    pub(super) fn garbage(&mut self, sim: &mut Sim) {
        for _ in 0..30 {
            let garbage: [u8; 200] = self.dice.bytes();
            for to in sim.mesh.neighbours(self.node) {
                self.gossip(sim, to, &garbage);
            }
        }
    }

    pub(super) fn deaf(&mut self, sim: &mut Sim) {
        let frame = self.want_all(sim);
        for _ in 0..12 {
            self.send(sim, &frame);
        }
    }

    /// Twenty entries of others, as they were signed.
    fn old(&mut self, sim: &Sim) -> Vec<Vec<u8>> {
        let mut ops = Vec::new();
        for _ in 0..20 {
            let op = self.someone(sim).and_then(|node| self.some_op(sim, node));
            ops.extend(op.map(|op| op.bytes().to_vec()));
        }
        ops
    }

    pub(super) fn replay(&mut self, sim: &mut Sim) {
        for part in self.old(sim).chunks(2) {
            for to in sim.mesh.neighbours(self.node) {
                self.tell(sim, to, part);
            }
        }
    }

    pub(super) fn replay_elsewhere(&mut self, sim: &mut Sim) {
        let ops = self.old(sim);
        let conversation = ConversationId::from_bytes(self.dice.bytes());
        for part in ops.chunks(2) {
            self.send(sim, &Frame::Ops { conversation, last: true, ops: part.to_vec() });
        }
    }

    pub(super) fn malformed(&mut self, sim: &mut Sim) {
        let whole = self.want_all(sim).encode();
        let bytes = match self.dice.index(4) {
            0 => Vec::new(),
            1 => self.dice.bytes::<64>().to_vec(),
            2 => whole[..self.dice.index(whole.len())].to_vec(),
            _ => [whole, vec![0]].concat(),
        };
        for to in sim.mesh.neighbours(self.node) {
            sim.send_raw(self.node, to, bytes.clone());
        }
    }

    fn unknown_log(&mut self) -> LogKey {
        LogKey { author: NodeId::from_bytes(self.dice.bytes()), log: LogId::from_bytes(self.dice.bytes()) }
    }

    pub(super) fn high_heads(&mut self, sim: &mut Sim) {
        let mut heads = self.heads(sim);
        for head in &mut heads {
            head.height = head.height.saturating_add([1, 1000, u64::MAX][self.dice.index(3)]);
            head.head = OpId::from_bytes(self.dice.bytes());
        }
        for _ in 0..50 {
            let head = OpId::from_bytes(self.dice.bytes());
            heads.push(Head { key: self.unknown_log(), height: 1 + self.dice.below(1 << 40), head, floor: u64::MAX });
        }
        let conversation = self.conversation();
        let more = self.dice.percent(30);
        self.send(sim, &Frame::Have { conversation, more, heads });
    }

    /// Shows a digest that never fits, claims to hold nothing, and asks for everything again and again.
    pub(super) fn low_heads(&mut self, sim: &mut Sim) {
        let conversation = self.conversation();
        let all = self.want_all(sim);
        for _ in 0..6 {
            let digest = self.dice.bytes();
            self.send(sim, &Frame::Digest(vec![(conversation, digest)]));
            self.send(sim, &Frame::Have { conversation, more: false, heads: Vec::new() });
            self.send(sim, &all);
            self.send(sim, &Frame::Ack { bytes: u32::MAX });
        }
    }

    fn want_all(&self, sim: &Sim) -> Frame {
        let wants = self.heads(sim).into_iter().map(|head| Want { key: head.key, from: 1 }).collect();
        Frame::Want { conversation: self.conversation(), more: false, wants }
    }

    pub(super) fn useless_wants(&mut self, sim: &mut Sim) {
        let conversation = self.conversation();
        for _ in 0..12 {
            let mut wants: Vec<Want> = (0..50).map(|_| Want { key: self.unknown_log(), from: 1 }).collect();
            wants.extend(self.heads(sim).into_iter().map(|head| Want { key: head.key, from: u64::MAX }));
            let more = self.dice.percent(50);
            self.send(sim, &Frame::Want { conversation, more, wants });
        }
        let other = ConversationId::from_bytes(self.dice.bytes());
        self.send(sim, &Frame::Want { conversation: other, more: false, wants: Vec::new() });
    }

    /// Says hello with a chain, which must not be enough, and pushes as if it had been.
    fn knock(&mut self, sim: &mut Sim, key: &NodeKey, chain: &Chain) {
        for to in sim.honest() {
            if sim.nodes[to].core.is_none() {
                continue;
            }
            let exchange = sim.exchange(Purpose::Stranger { node: to });
            let welcome = Box::new(Welcome { chain: chain.clone(), addresses: Vec::new() });
            let peer = key.id();
            sim.give(to, Input::Hello { exchange, peer, welcome });
            let op = self.someone(sim).and_then(|node| self.some_op(sim, node));
            let ops = op.map(|op| op.bytes().to_vec()).into_iter().chain([message("no entry")]).collect();
            sim.give(to, Input::Frame { peer, frame: Frame::Push { ops }.encode() });
        }
    }

    pub(super) fn stranger(&mut self, sim: &mut Sim) {
        let key = NodeKey::from_seed(self.dice.bytes());
        let name = || "stranger".parse().expect("letters are a name");
        let chain = match self.dice.index(3) {
            // Of an organisation that it founded itself.
            0 => Chain::by_root(&key, certificate(key.id(), name(), self.dice.bytes())),
            // Of another organisation, issued there.
            1 => {
                let root = NodeKey::from_seed(self.dice.bytes());
                Chain::by_root(&root, certificate(key.id(), name(), self.dice.bytes()))
            }
            // A member's own, shown by somebody else.
            _ => self.adversary.chain.clone(),
        };
        self.knock(sim, &key, &chain);
    }

    pub(super) fn expired(&mut self, sim: &mut Sim) {
        let key = NodeKey::from_seed(self.dice.bytes());
        let mut old = certificate(key.id(), "old".parse().expect("letters are a name"), self.dice.bytes());
        if self.dice.percent(50) {
            (old.not_before, old.not_after) = (EPOCH_MS - 60 * DAY_MS, EPOCH_MS - DAY_MS);
        } else {
            (old.not_before, old.not_after) = (EPOCH_MS + 5 * DAY_MS, EPOCH_MS + 50 * DAY_MS);
        }
        let (founder, founded) = &self.adversary.founder;
        let Ok(chain) = Chain::by_admin(founder, founded, old) else { return };
        self.knock(sim, &key, &chain);
    }
}

impl Sim {
    /// What a liar makes of a frame.
    pub(crate) fn lie(&mut self, frame: Vec<u8>) -> Vec<u8> {
        match Frame::decode(&frame) {
            Ok(Frame::Digest(entries)) => {
                Frame::Digest(entries.into_iter().map(|(id, _)| (id, self.dice.bytes())).collect()).encode()
            }
            Ok(Frame::Have { conversation, more, mut heads }) => {
                for head in &mut heads {
                    head.height += self.dice.below(3) * 1000;
                    head.head = OpId::from_bytes(self.dice.bytes());
                }
                if let Some(mut head) = heads.first().copied() {
                    head.key.author = NodeId::from_bytes(self.dice.bytes());
                    heads.push(head);
                }
                Frame::Have { conversation, more, heads }.encode()
            }
            Ok(Frame::Ops { conversation, ops, .. }) if self.dice.percent(30) => {
                Frame::Ops { conversation, last: false, ops }.encode()
            }
            _ => frame,
        }
    }
}
