//! Attacks that are entries: signed with a member's key, and wrong in one way each.

use fedp2p_crdt::document::DocumentId;
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{ConversationId, LogId, NetworkId, NodeId, OpId};
use fedp2p_protocols::op::{Header, Kind, NO_BACKLINK, NodeKey, Verified};
use fedp2p_protocols::payload::{Change, Checkpoint, ForkProof, LogStart, Message, Receipt, Surfaced};
use fedp2p_protocols::vote::AgentId;

use super::Campaign;
use super::forge::{Forge, Op, hash, signed, unsigned};
use crate::node::EPOCH_MS;
use crate::script::certificate;
use crate::sim::Sim;

/// What an op signature is over, besides the header.
const DOMAIN: &[u8] = b"fedp2p/op/v1";

/// An op put together by hand: nothing about it is checked.
fn raw(key: &NodeKey, mut header: Header, payload: &[u8]) -> Vec<u8> {
    header.payload_hash = *blake3::hash(payload).as_bytes();
    header.payload_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let bytes = header.encode();
    let signature = key.sign_bytes(DOMAIN, &bytes);
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length[..], &bytes, &signature, payload].concat()
}

pub(super) fn message(text: &str) -> Vec<u8> {
    let message = Message { text: text.to_owned(), ..Message::default() };
    message.encode()
}

impl Campaign {
    pub(super) fn conversation(&self) -> ConversationId {
        ConversationId::lobby(&self.adversary.chain.network())
    }

    /// The header of the next entry after `last`, or of the first of a new log, with nothing wrong about it.
    fn header(&mut self, sim: &Sim, last: Option<(LogId, &Verified)>, kind: Kind) -> Header {
        let now = Hlc::at(EPOCH_MS + sim.now.as_millis() as u64);
        let log = last.map_or_else(|| LogId::from_bytes(self.dice.bytes()), |(log, _)| log);
        Header {
            network: self.adversary.chain.network(),
            author: self.adversary.key.id(),
            log,
            seq: last.map_or(1, |(_, last)| last.header().seq + 1),
            backlink: last.map_or(NO_BACKLINK, |(_, last)| last.id()),
            conversation: self.conversation(),
            deps: Vec::new(),
            hlc: last.map_or(now, |(_, last)| last.header().hlc.next(now.milliseconds())),
            kind,
            agent: (kind == Kind::Message).then(|| "ghost".parse().expect("letters are a name")),
            payload_hash: [0; 32],
            payload_len: 0,
            floor: (kind == Kind::Checkpoint).then(|| last.map_or(1, |(_, last)| last.header().seq + 1)),
        }
    }

    fn sign(&mut self, header: Header, payload: &[u8]) -> Verified {
        let op = self.adversary.key.sign(header, payload).expect("what is signed as an entry is within the limits");
        self.adversary.signed.insert(op.id());
        op
    }

    fn start_payload(&self) -> Vec<u8> {
        LogStart { chain: self.adversary.chain.clone(), previous: None }.encode()
    }

    fn sign_start(&mut self, header: Header) -> Verified {
        let payload = self.start_payload();
        self.sign(header, &payload)
    }

    /// Starts a log of its own and lets everybody have the start.
    fn new_log(&mut self, sim: &mut Sim) -> (LogId, Verified) {
        let header = self.header(sim, None, Kind::LogStart);
        let log = header.log;
        let start = self.sign_start(header);
        self.spread(sim, &[start.bytes().to_vec()]);
        (log, start)
    }

    /// The log in which nothing is wrong so far.
    pub(super) fn good_log(&mut self, sim: &mut Sim) -> (LogId, Verified) {
        match &self.adversary.log {
            Some((log, last)) => (*log, last.clone()),
            None => self.new_log(sim),
        }
    }

    /// Appends to the good log and tells everybody.
    pub(super) fn append(&mut self, sim: &mut Sim, kind: Kind, payload: &[u8], change: impl FnOnce(&mut Header)) {
        let (log, last) = self.good_log(sim);
        let mut header = self.header(sim, Some((log, &last)), kind);
        change(&mut header);
        let op = self.sign(header, payload);
        self.spread(sim, &[op.bytes().to_vec()]);
        self.adversary.log = Some((log, op));
    }

    /// Tells all that it is connected with, and its own core, which passes it on in good faith.
    fn spread(&mut self, sim: &mut Sim, ops: &[Vec<u8>]) {
        self.cover(sim, ops);
        for to in sim.mesh.neighbours(self.node) {
            self.tell(sim, to, ops);
        }
    }

    /// Tells all that it is connected with what its own core would not take.
    fn throw(&mut self, sim: &mut Sim, op: Vec<u8>) {
        for to in sim.mesh.neighbours(self.node) {
            self.tell(sim, to, std::slice::from_ref(&op));
        }
    }

    pub(super) fn wrong_network(&mut self, sim: &mut Sim) {
        let network = NetworkId::from_bytes(self.dice.bytes());
        self.strange(sim, |header| header.network = network);
    }

    pub(super) fn other_conversation(&mut self, sim: &mut Sim) {
        let conversation = ConversationId::from_bytes(self.dice.bytes());
        self.strange(sim, |header| header.conversation = conversation);
    }

    pub(super) fn missing_dep(&mut self, sim: &mut Sim) {
        let dep = OpId::from_bytes(self.dice.bytes());
        self.append(sim, Kind::Message, &message("after what never comes"), |header| header.deps = vec![dep]);
        self.adversary.log = None;
    }

    fn strange(&mut self, sim: &mut Sim, change: impl FnOnce(&mut Header)) {
        let mut header = self.header(sim, None, Kind::LogStart);
        change(&mut header);
        let op = raw(&self.adversary.key, header, &self.start_payload());
        self.throw(sim, op);
    }

    /// The next entry of another node's own log, or the first of a new one of it.
    pub(super) fn forged_author(&mut self, sim: &mut Sim) {
        let Some(victim) = self.someone(sim) else { return };
        let last = self.some_op(sim, victim);
        let follows = last.as_ref().filter(|_| self.dice.percent(70)).cloned();
        let follows = follows.as_ref().map(|last| (last.header().log, &**last));
        let mut header = self.header(sim, follows, Kind::Message);
        header.author = sim.nodes[victim].id();
        let op = raw(&self.adversary.key, header, &message("not from me"));
        self.throw(sim, op);
    }

    pub(super) fn dressed_up(&mut self, sim: &mut Sim) {
        let Some(op) = self.someone(sim).and_then(|victim| self.some_op(sim, victim)) else { return };
        let mut bytes = op.bytes().to_vec();
        let signature = 2 + op.header_bytes().len();
        let at = if self.dice.percent(70) { signature + self.dice.index(64) } else { bytes.len() - 1 };
        bytes[at] ^= 1 << self.dice.below(8);
        self.throw(sim, bytes);
    }

    pub(super) fn backdated(&mut self, sim: &mut Sim) {
        let (log, last) = self.new_log(sim);
        let mut header = self.header(sim, Some((log, &last)), Kind::Message);
        header.hlc = Hlc::at(last.header().hlc.milliseconds() - 1000);
        let early = self.sign(header, &message("before the one before"));
        self.spread(sim, &[early.bytes().to_vec()]);
        let Some(dep) = self.someone(sim).and_then(|victim| self.some_op(sim, victim)) else { return };
        let mut header = self.header(sim, None, Kind::LogStart);
        (header.deps, header.hlc) = (vec![dep.id()], Hlc::at(dep.header().hlc.milliseconds() - 10));
        let early = self.sign_start(header);
        self.spread(sim, &[early.bytes().to_vec()]);
        let header = Header { hlc: Hlc::at(1), ..self.header(sim, None, Kind::LogStart) };
        let ancient = self.sign_start(header);
        self.spread(sim, &[ancient.bytes().to_vec()]);
    }

    pub(super) fn future(&mut self, sim: &mut Sim) {
        let now_ms = EPOCH_MS + sim.now.as_millis() as u64;
        let ahead = [20_000, 119_990, 121_000, 24 * 3600 * 1000][self.dice.index(4)];
        let hlc = Hlc::at(now_ms + ahead);
        let header = Header { hlc, ..self.header(sim, None, Kind::LogStart) };
        let early = self.sign_start(header);
        self.spread(sim, &[early.bytes().to_vec()]);
        let header = Header { hlc: Hlc::from_u64(u64::MAX), ..self.header(sim, None, Kind::LogStart) };
        let last = self.sign_start(header);
        self.spread(sim, &[last.bytes().to_vec()]);
    }

    pub(super) fn false_proofs(&mut self, sim: &mut Sim) {
        let Some(victim) = self.someone(sim) else { return };
        let (Some(one), Some(other)) = (self.some_op(sim, victim), self.some_op(sim, victim)) else { return };
        let side = |op: &Verified| (op.header_bytes().to_vec(), op.signature());
        let mut forged = Header { hlc: one.header().hlc.next(0), ..one.header().clone() };
        forged.payload_len += 1;
        let forged = (forged.encode(), self.adversary.key.sign_bytes(DOMAIN, &forged.encode()));
        for second in [side(&one), side(&other), forged] {
            let proof = ForkProof { one: side(&one), other: second };
            self.append(sim, Kind::ForkProof, &proof.encode(), |_| {});
        }
        let garbage: [u8; 40] = self.dice.bytes();
        self.append(sim, Kind::ForkProof, &garbage, |_| {});
    }

    pub(super) fn false_receipts(&mut self, sim: &mut Sim) {
        let Some(victim) = self.someone(sim) else { return };
        let Some(op) = self.some_op(sim, victim) else { return };
        let known = Surfaced { author: op.header().author, log: op.header().log, seq: u64::MAX };
        let unknown = Surfaced {
            author: NodeId::from_bytes(self.dice.bytes()),
            log: LogId::from_bytes(self.dice.bytes()),
            seq: 1,
        };
        let acknowledged = vec![op.id(), OpId::from_bytes(self.dice.bytes())];
        let receipt = Receipt { surfaced: vec![known, unknown], acknowledged, handed: Vec::new() };
        let ghost = || Some("ghost".parse().expect("letters are a name"));
        self.append(sim, Kind::Receipt, &receipt.encode(), |header| header.agent = ghost());
        self.append(sim, Kind::Receipt, b"\0{\"surfaced\": 7}", |header| header.agent = ghost());
    }

    pub(super) fn misplaced(&mut self, sim: &mut Sim) {
        let header = self.header(sim, None, Kind::Message);
        let unstarted = self.sign(header, &message("without a start"));
        self.spread(sim, &[unstarted.bytes().to_vec()]);
        let (log, last) = self.new_log(sim);
        let header = self.header(sim, Some((log, &last)), Kind::LogStart);
        let again = self.sign_start(header);
        self.spread(sim, &[again.bytes().to_vec()]);
        self.append(sim, Kind::Message, &message("with a floor"), |header| header.floor = Some(u64::MAX));
        let garbage: [u8; 30] = self.dice.bytes();
        for kind in [Kind::Certificate, Kind::Message, Kind::Checkpoint, Kind::Change, Kind::Other(999)] {
            self.append(sim, kind, &garbage, |_| {});
        }
    }

    /// Each neighbour hears of one child first, and its own core of one.
    pub(super) fn children(&mut self, sim: &mut Sim, count: usize) {
        let (log, last) = self.good_log(sim);
        let mut children = Vec::new();
        for number in 0..count {
            let header = self.header(sim, Some((log, &last)), Kind::Message);
            children.push(self.sign(header, &message(&format!("child {number} of {count}"))).bytes().to_vec());
        }
        let own = self.dice.index(count);
        self.cover(sim, &[children[own].clone()]);
        for (index, to) in sim.mesh.neighbours(self.node).into_iter().enumerate() {
            self.tell(sim, to, std::slice::from_ref(&children[index % count]));
        }
        self.adversary.log = None;
    }

    pub(super) fn forked_start(&mut self, sim: &mut Sim) {
        let header = self.header(sim, None, Kind::LogStart);
        let other = Header { hlc: header.hlc.next(0), ..header.clone() };
        let starts = [header, other].map(|header| self.sign_start(header).bytes().to_vec());
        for (index, to) in sim.mesh.neighbours(self.node).into_iter().enumerate() {
            self.tell(sim, to, std::slice::from_ref(&starts[index % 2]));
        }
    }

    pub(super) fn circle(&mut self, sim: &mut Sim) {
        let ((a, a1), (b, b1)) = (self.new_log(sim), self.new_log(sim));
        let header = self.header(sim, Some((b, &b1)), Kind::Message);
        let never = OpId::from_bytes(self.dice.bytes());
        let b2 = self.sign(Header { deps: vec![never], ..header }, &message("waits for the other"));
        let header = self.header(sim, Some((a, &a1)), Kind::Message);
        let a2 = self.sign(Header { deps: vec![b2.id()], ..header }, &message("waits for the first"));
        let header = self.header(sim, Some((b, &b2)), Kind::Message);
        let b3 = self.sign(Header { deps: vec![a2.id()], ..header }, &message("waits for both"));
        self.spread(sim, &[b3, a2, b2].map(|op| op.bytes().to_vec()));
    }

    pub(super) fn gaps(&mut self, sim: &mut Sim) {
        let (log, mut last) = self.new_log(sim);
        let mut ops = Vec::new();
        for number in 0..40 + self.dice.index(300) {
            let header = self.header(sim, Some((log, &last)), Kind::Message);
            last = self.sign(header, &message(&format!("after a gap {number}")));
            if number > 0 {
                ops.push(last.bytes().to_vec());
            }
        }
        for part in ops.chunks(50) {
            for to in sim.mesh.neighbours(self.node) {
                self.tell(sim, to, part);
            }
        }
    }

    pub(super) fn many_logs(&mut self, sim: &mut Sim) {
        let starts: Vec<Vec<u8>> = (0..70)
            .map(|_| {
                let header = self.header(sim, None, Kind::LogStart);
                self.sign_start(header).bytes().to_vec()
            })
            .collect();
        for (index, to) in sim.mesh.neighbours(self.node).into_iter().enumerate() {
            let mut starts = starts.clone();
            starts.rotate_left(index * 20 % 70);
            for part in starts.chunks(35) {
                self.tell(sim, to, part);
            }
        }
    }

    pub(super) fn hostile_change(&mut self, sim: &mut Sim) {
        let (log, start) = self.new_log(sim);
        let epoch = 1000 + self.dice.below(1000) as u32;
        let node = self.adversary.key.id();
        let id = DocumentId { node, log, conversation: self.conversation(), epoch };
        let own = node.to_string();
        let opening = [Op::map((1, 1), &own), Op::map((0, 2), "agents"), Op::put((0, 3), "x", "one")];
        let first = Forge::first(id.actor(), &opening);
        let mut next = Forge::first(id.actor(), &[Op::put((0, 2), "z", "two")]);
        (next.seq, next.start_op, next.deps) = (2, 5, vec![hash(&first.bytes())]);
        let hostile = self.spoil(next);
        let payloads = [
            (Kind::Checkpoint, Checkpoint { epoch, changes: 1 }.encode()),
            (Kind::Change, Change { epoch, change: first.bytes() }.encode()),
            (Kind::Change, Change { epoch, change: hostile }.encode()),
        ];
        let mut last = start;
        for (kind, payload) in payloads {
            let header = self.header(sim, Some((log, &last)), kind);
            last = self.sign(header, &payload);
            self.spread(sim, &[last.bytes().to_vec()]);
        }
    }

    /// Makes a good change hostile, in one of the ways that are known to break Automerge.
    fn spoil(&mut self, mut next: Forge) -> Vec<u8> {
        let run = |count: i64, value: &[u8]| [signed(count), value.to_vec()].concat();
        match self.dice.index(13) {
            0 => next.seq = 7,
            1 => next.others = vec![vec![7; 16]],
            2 => next.set_ops(&[Op::put((0, 77), "z", "nowhere")]),
            3 => (next.actor, next.start_op) = (vec![1; 16], 1),
            4 => next.start_op = u64::from(u32::MAX),
            5 => next.start_op = 1,
            6 => return next.column(0x42, vec![1, 1]).bytes(),
            7 => next.set_ops(&[Op::put((0, 3), "x", "new").over(&[55])]),
            8 => next.deps = vec![self.dice.bytes()],
            9 => {
                let count = [4_097, 1_000_000, i64::MAX][self.dice.index(3)];
                let bomb = next.column(0x15, run(count, &[1, b'a'])).column(0x34, unsigned(count.unsigned_abs()));
                let bomb = bomb.column(0x42, run(count, &[1])).column(0x56, run(count, &[0]));
                return bomb.column(0x70, run(count, &[0])).bytes();
            }
            10 => {
                let count = 10_000_000;
                let bomb = next.column(0x70, [signed(-1), unsigned(count)].concat());
                return bomb.column(0x71, run(5_000_000, &[0])).column(0x73, run(5_000_000, &[1])).bytes();
            }
            11 => next.time = i64::MIN,
            _ => next.kind = 2,
        }
        next.bytes()
    }

    pub(super) fn oversize(&mut self, sim: &mut Sim) {
        let key = self.adversary.key.clone();
        let (log, last) = self.new_log(sim);
        let header = self.header(sim, Some((log, &last)), Kind::Message);
        let text = |length| message(&"x".repeat(length));
        match self.dice.index(7) {
            0 => self.throw(sim, raw(&key, header, &text(60 * 1024))),
            1 => {
                let deps = (0..17).map(|number| OpId::from_bytes([number; 32])).collect();
                self.throw(sim, raw(&key, Header { deps, ..header }, &text(10)));
            }
            2 => {
                let deps = (0..40).map(|number| OpId::from_bytes([number; 32])).collect();
                self.throw(sim, raw(&key, Header { deps, ..header }, &text(10)));
            }
            3 => self.append(sim, Kind::Message, &text(40 * 1024), |_| {}),
            4 => {
                let recipient = AgentId { node: key.id(), name: "ghost".parse().expect("letters are a name") };
                let many = Message {
                    to: vec![recipient; 65],
                    text: "to many".to_owned(),
                    correlation: Some("x".repeat(200)),
                    ..Message::default()
                };
                self.append(sim, Kind::Message, &many.encode(), |_| {});
            }
            5 => {
                let payload = Change { epoch: 1, change: vec![0x85; 50 * 1024] }.encode();
                self.append(sim, Kind::Change, &payload, |_| {});
            }
            _ => {
                for to in sim.mesh.neighbours(self.node) {
                    sim.send_raw(self.node, to, vec![6; 70_000]);
                }
            }
        }
    }

    pub(super) fn false_checkpoint(&mut self, sim: &mut Sim) {
        let epoch = [u32::MAX, u32::MAX - 1, 5000][self.dice.index(3)];
        let changes = [0, 1, 256, 1000, u32::MAX][self.dice.index(5)];
        self.append(sim, Kind::Checkpoint, &Checkpoint { epoch, changes }.encode(), |_| {});
        let payload = Change { epoch, change: vec![1, 2, 3] }.encode();
        self.append(sim, Kind::Change, &payload, |_| {});
    }

    pub(super) fn flood(&mut self, sim: &mut Sim) {
        let (log, mut last) = self.good_log(sim);
        for number in 0..150 {
            let header = self.header(sim, Some((log, &last)), Kind::Message);
            last = self.sign(header, &message(&format!("flood {number}")));
            self.cover(sim, &[last.bytes().to_vec()]);
            for to in sim.mesh.neighbours(self.node) {
                self.gossip(sim, to, last.bytes());
            }
        }
        self.adversary.log = Some((log, last));
    }

    pub(super) fn stranger_log(&mut self, sim: &mut Sim) {
        let stranger = NodeKey::from_seed(self.dice.bytes());
        let certificate =
            certificate(stranger.id(), "stranger".parse().expect("letters are a name"), self.dice.bytes());
        let chain = fedp2p_protocols::certificate::Chain::by_root(&stranger, certificate);
        let header = Header { author: stranger.id(), ..self.header(sim, None, Kind::LogStart) };
        let op = raw(&stranger, header, &LogStart { chain, previous: None }.encode());
        self.throw(sim, op);
    }
}
