//! What is done about a node that signed two different entries for one position of its log.
//!
//! The two headers are the proof. Both are kept, the log counts only up to the last entry that both sides have in
//! common, the proof is spread, and people are told. Nothing crashes and nodes do not diverge: the lowest proven
//! position is the same everywhere once proofs have spread.

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::op::{Kind, Verified, verify_header};
use fedp2p_protocols::payload::ForkProof;
use fedp2p_protocols::sync::{Frame, LogKey, Want};

use crate::Core;
use crate::author::{Entries, log_key};
use crate::store::Write;

impl Core {
    /// Two entries for one position are at hand.
    pub(crate) fn found_fork(&mut self, ours: &Verified, theirs: &Verified, peer: NodeId) {
        let same_parent = ours.header().backlink == theirs.header().backlink;
        let proof = ForkProof {
            one: (ours.header_bytes().to_vec(), ours.signature()),
            other: (theirs.header_bytes().to_vec(), theirs.signature()),
        };
        self.fork_proven(&proof, false);
        let mut entries = Entries::default();
        let lobby = self.lobby;
        self.append(&mut entries, lobby, Kind::ForkProof, None, &proof.encode())
            .expect("two headers are far below the size of an op");
        self.commit_entries(entries);
        if !same_parent {
            // They parted earlier: ask for the entry before, until the one with a common parent is found.
            self.probe(log_key(ours), theirs.header().seq.saturating_sub(1), peer);
        }
    }

    /// A verified entry does not follow ours at the end of its log: the two parted somewhere before.
    pub(crate) fn diverged(&mut self, op: Verified, peer: NodeId) {
        self.probe(log_key(&op), op.header().seq - 1, peer);
    }

    fn probe(&mut self, key: LogKey, from: u64, peer: NodeId) {
        if from == 0 || !self.sessions.contains_key(&peer) {
            return;
        }
        let conversation = self.lobby;
        let wants = vec![Want { key, from }];
        self.send(peer, &Frame::Want { conversation, wants });
    }

    /// Acts on a proof, whoever brought it. A proof that proves nothing changes nothing.
    pub(crate) fn fork_proven(&mut self, proof: &ForkProof, own: bool) {
        let Ok((key, seq)) = proof.check() else { return };
        let Ok((_, header)) = verify_header(&proof.one.0, &proof.one.1) else { return };
        let conversation = header.conversation;
        if !self.logs.freeze(key, conversation, seq, header.backlink) {
            return;
        }
        self.forks.insert(key, seq);
        let write = Write::Fork { key, conversation, seq, common: header.backlink, proof: proof.encode() };
        self.commit_entries(Entries { writes: vec![write], written: Vec::new() });
        self.remake_documents(conversation, key.author);
        let name = self.members.display(&key.author);
        self.notice(format!("{name} signed two different entries for position {seq} of one log; that log counts only up to there"));
        if !own && key == self.own_log(&conversation) {
            self.start_log_epoch("this node's key wrote the same log somewhere else");
        }
    }
}
