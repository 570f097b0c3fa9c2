//! What is done about a node that signed two different entries for one position of its log.
//!
//! The two headers are the proof. Both are kept, the log counts only up to the last entry that both sides have in
//! common, the proof is spread, and people are told. Nothing crashes and nodes do not diverge: the lowest proven
//! position is the same everywhere once proofs have spread.

use std::time::Duration;

use fedp2p_protocols::id::{NodeId, OpId};
use fedp2p_protocols::op::{Kind, Verified, verify_header};
use fedp2p_protocols::payload::ForkProof;
use fedp2p_protocols::sync::{Frame, LogKey, Want};

use crate::Core;
use crate::author::{Entries, log_key};
use crate::commit::Written;
use crate::doors::Then;
use crate::ingest::Source;
use crate::store::{Read, Write};

/// For the void of how many logs of each kind a peer is asked at once.
const MOST_VOID: usize = 4;
/// How long after that it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Core {
    /// Two entries for one position are at hand.
    pub(crate) fn found_fork(&mut self, ours: &Verified, theirs: &Verified, peer: NodeId) {
        let same_parent = ours.header().backlink == theirs.header().backlink;
        let proof = ForkProof {
            one: (ours.header_bytes().to_vec(), ours.signature()),
            other: (theirs.header_bytes().to_vec(), theirs.signature()),
        };
        if self.fork_proven(&proof) {
            let mut entries = Entries::default();
            let lobby = self.lobby;
            let said = self
                .append(&mut entries, lobby, Kind::ForkProof, None, &proof.encode())
                .expect("two headers are far below the size of an op");
            self.commit_entries(entries);
            self.proof_held(&said);
        }
        if !same_parent {
            // They parted earlier: ask for the entry before, until the one with a common parent is found.
            self.probe(log_key(ours), theirs.header().seq.saturating_sub(1), peer);
        }
    }

    /// A verified entry does not follow ours at the end of its log: the two parted somewhere before.
    pub(crate) fn diverged(&mut self, op: &Verified, peer: NodeId) {
        self.probe(log_key(op), op.header().seq - 1, peer);
    }

    fn probe(&mut self, key: LogKey, from: u64, peer: NodeId) {
        let Some(session) = self.sessions.get_mut(&peer).filter(|_| from > 0) else { return };
        session.probed = true;
        let conversation = self.lobby;
        let wants = vec![Want { key, from }];
        self.send(peer, &Frame::Want { conversation, more: false, wants });
    }

    /// A peer has nothing more that counts, but something still waits: it may depend on a part of a log that does not
    /// count. Asks for that, to see that it exists.
    pub(crate) fn ask_for_void(&mut self, peer: NodeId) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.void_asked <= now) else { return };
        if !self.pending.wait_for_ops() {
            return;
        }
        session.void_asked = now + ASK_AGAIN;
        let forks = self.forks.iter().map(|(key, seq)| (*key, *seq)).take(MOST_VOID);
        let left_out = self.logs.left_out().map(|key| (*key, 1)).take(MOST_VOID);
        for (key, seq) in forks.chain(left_out).collect::<Vec<_>>() {
            self.probe(key, seq, peer);
        }
    }

    /// Acts on a proof, whoever brought it, and says whether it was news. A proof that proves nothing changes nothing.
    pub(crate) fn fork_proven(&mut self, proof: &ForkProof) -> bool {
        let Ok((key, seq)) = proof.check() else { return false };
        let Ok((_, header)) = verify_header(&proof.one.0, &proof.one.1) else { return false };
        let conversation = header.conversation;
        if header.network != self.network || conversation != self.lobby {
            return false;
        }
        if !self.logs.freeze(key, conversation, seq, header.backlink) {
            return false;
        }
        self.forks.insert(key, seq);
        self.proofs.void(key, seq);
        self.notes.forget();
        let write = Write::Fork { key, conversation, seq, common: header.backlink, proof: proof.encode() };
        self.commit_entries(Entries { writes: vec![write], ..Entries::default() });
        self.find_common(key, seq);
        self.find_void_edits(key, seq, 0);
        let name = self.members.display(&key.author);
        self.notice(format!(
            "{name} signed two different entries for position {seq} of one log; that log counts only up to there"
        ));
        if key.author != self.me() {
            self.remake_documents(conversation, key.author);
        } else if key == self.own_log(&conversation) {
            // What this node said is restated in the new log, so its documents need not be made again.
            self.start_log_epoch("this node's key wrote the same log somewhere else");
        } else if self.documents.log(&conversation, &key.author) == Some(key.log) {
            // What it says stands in another log with its key, and does not count there any more.
            let mut entries = Entries::default();
            self.restate(&mut entries, conversation, &[]);
            self.commit_entries(entries);
        }
        let void = self.pending.of_log(&key, seq);
        self.place_all(Source::Waited(key.author), void);
        true
    }

    /// Looks up the entry that this node has before a fork. Where the two sides parted earlier still, nodes have
    /// different ones; as each tells its own, they find out and go further down.
    pub(crate) fn find_common(&mut self, key: LogKey, seq: u64) {
        if seq > 1 && self.logs.get(&key).is_some_and(|log| log.durable_height() >= seq) {
            self.read(Read::At { key, seq: seq - 1 }, Then::Common { key, seq });
        }
    }

    pub(crate) fn common_read(&mut self, key: LogKey, seq: u64, common: OpId) {
        self.logs.set_common(&key, seq, common);
    }

    /// An entry came for a position whose own entry has become durable only now.
    pub(crate) fn look_at_contested(&mut self, written: &Written) {
        let (key, seq) = (log_key(&written.op), written.op.header().seq);
        let here = |(op, _): &mut (Verified, NodeId)| log_key(op) == key && op.header().seq == seq;
        let found: Vec<(Verified, NodeId)> = self.contested.extract_if(.., here).collect();
        for (op, peer) in found {
            self.compare_read(&op, &written.op, peer);
        }
    }
}
