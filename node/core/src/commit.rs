//! What follows once something is durable, and what follows when it could not be written.

use std::sync::Arc;

use fedp2p_protocols::api::{Answer, Error, ErrorCode, watch};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::joining;
use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::payload::{ForkProof, Receipt};
use fedp2p_protocols::vote::AgentId;

use crate::Core;
use crate::author::Entries;
use crate::documents::Applied;
use crate::doors::Finish;
use crate::effect::Effect;
use crate::input::{CallId, Exchange};
use crate::store::{CommitToken, Read, StoreError};

/// Where an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Written here.
    Own,
    /// Brought by a node.
    From(NodeId),
}

/// One entry in a commit.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) op: Arc<Verified>,
    pub(crate) position: u64,
    pub(crate) origin: Origin,
}

/// A commit that is on its way.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    pub(crate) number: u64,
    /// The entries in it.
    pub(crate) written: Vec<Written>,
    /// The call that it finishes.
    pub(crate) finish: Option<(CallId, Finish)>,
    /// The joiner that it admits.
    pub(crate) joiner: Option<(Exchange, NodeId, Box<joining::Answer>)>,
    /// The bytes of a peer's ops that it deals with, and whether they were the last that were asked for.
    pub(crate) fetched: Option<(NodeId, u32, bool)>,
}

impl Core {
    /// Commits own entries that finish no call.
    pub(crate) fn commit_entries(&mut self, entries: Entries) {
        if entries.writes.is_empty() {
            return;
        }
        let in_flight = InFlight { written: entries.written, ..InFlight::default() };
        self.commit(entries.writes, in_flight);
    }

    /// Commits own entries and finishes a call once they are durable.
    pub(crate) fn commit_call(&mut self, entries: Entries, call: CallId, finish: Finish) {
        let in_flight = InFlight {
            written: entries.written,
            finish: Some((call, finish)),
            ..InFlight::default()
        };
        self.commit(entries.writes, in_flight);
    }

    pub(crate) fn committed(&mut self, token: CommitToken) {
        while self.in_flight.front().is_some_and(|commit| commit.number <= token.number) {
            let Some(commit) = self.in_flight.pop_front() else { return };
            // Publishing comes first: it is what the recipient waits for.
            for written in &commit.written {
                let own = written.origin == Origin::Own;
                self.logs.commit(written.op.id(), written.op.header(), own);
                *self.ops.entry(written.op.header().conversation).or_default() += 1;
                if own {
                    self.publish(&written.op);
                }
            }
            if let Some((call, finish)) = commit.finish {
                self.finish(call, finish);
            }
            if let Some((exchange, peer, answer)) = commit.joiner {
                self.effect(Effect::Admit { peer, addresses: Vec::new() });
                self.effect(Effect::JoinAnswer(exchange, answer));
            }
            for written in &commit.written {
                self.follow(written);
            }
            if let Some((peer, bytes, last)) = commit.fetched {
                self.fetched(peer, bytes, last);
            }
        }
    }

    /// Brings what is derived up to date with one durable entry.
    fn follow(&mut self, written: &Written) {
        let op = &written.op;
        if let Origin::From(peer) = written.origin {
            self.owe_stored(peer, op);
            // An own entry that comes from outside is one that this database lost.
            if op.header().author == self.me() {
                self.recover_document(op);
                return;
            }
        }
        if !self.logs.get(&crate::key_of(op)).is_some_and(|log| log.counts(op.header().seq)) {
            return;
        }
        match op.header().kind {
            Kind::Message => self.message_stored(written),
            Kind::Receipt => self.receipt_stored(op),
            Kind::Change | Kind::Checkpoint => self.change_stored(written),
            Kind::ForkProof => {
                if let Ok(proof) = ForkProof::decode(op.payload()) {
                    self.fork_proven(&proof, written.origin == Origin::Own);
                }
            }
            _ => {}
        }
    }

    fn change_stored(&mut self, written: &Written) {
        let header = written.op.header();
        if written.origin != Origin::Own {
            let before = self.glance(&header.conversation, &header.author);
            let epoch = self.documents.epoch(&header.conversation, &header.author);
            let applied = self.documents.apply(header, written.op.payload());
            let writes = self.document_write(header.conversation, header.author, epoch).into_iter().collect();
            self.commit_entries(Entries { writes, written: Vec::new() });
            match applied {
                Applied::Changed => self.tell_changes(&header.conversation, header.author, &before),
                Applied::Unchanged => {}
                Applied::Refused(refusal) => {
                    let name = self.members.display(&header.author);
                    self.notice(format!("a change of {name} was left out of the picture: {refusal}"));
                }
            }
        }
    }

    fn receipt_stored(&mut self, op: &Verified) {
        let (Ok(receipt), Some(name)) = (Receipt::decode(op.payload()), &op.header().agent) else {
            return;
        };
        let agent = AgentId { node: op.header().author, name: name.clone() };
        let levels = self.surfaced.entry(agent).or_default();
        for surfaced in &receipt.surfaced {
            let level = levels.entry(surfaced.key()).or_default();
            *level = (*level).max(surfaced.seq);
        }
    }

    pub(crate) fn commit_failed(&mut self, token: CommitToken, error: &StoreError) {
        if token.generation < self.generation {
            return;
        }
        // Everything that is on its way fails with this one: the store refuses the rest of the generation.
        self.generation += 1;
        let failed = std::mem::take(&mut self.in_flight);
        self.logs.roll_back();
        let refusal = storage_refusal(error);
        let mut own = std::collections::BTreeSet::new();
        for commit in failed {
            for written in &commit.written {
                self.recent.remove(&written.op.id());
                if written.origin == Origin::Own {
                    own.insert(written.op.header().conversation);
                }
            }
            if let Some((call, _)) = commit.finish {
                self.effect(Effect::Reply(call, Answer::Error(refusal.clone())));
            }
            if let Some((exchange, _, _)) = commit.joiner {
                let turned = joining::Answer::Turned(joining::Turned::Unable);
                self.effect(Effect::JoinAnswer(exchange, Box::new(turned)));
            }
            if let Some((peer, _, _)) = commit.fetched {
                self.abandon_fetches_of(&peer);
            }
        }
        for conversation in own {
            self.remake_documents(conversation, self.me());
        }
        self.notice(format!("{}; nothing was half-written", refusal.message));
    }

    /// Makes an author's documents again from what is stored and counts.
    pub(crate) fn remake_documents(&mut self, conversation: fedp2p_protocols::id::ConversationId, author: NodeId) {
        self.remaking.insert((conversation, author));
        self.read(Read::Changes { author, conversation }, crate::doors::Then::Remake { author, conversation });
    }

    pub(crate) fn documents_read(
        &mut self,
        conversation: fedp2p_protocols::id::ConversationId,
        author: NodeId,
        changes: &[Arc<Verified>],
    ) {
        self.remaking.remove(&(conversation, author));
        self.documents.forget(&conversation, &author);
        for op in changes {
            if self.logs.get(&crate::key_of(op)).is_none_or(|log| log.counts(op.header().seq)) {
                self.documents.apply(op.header(), op.payload());
            }
        }
    }

    /// Tells whoever listens what the admin should know.
    pub(crate) fn notice(&mut self, text: String) {
        self.tell(watch::Event::Notice { text });
    }
}

/// What a client is told when the store failed.
pub(crate) fn storage_refusal(error: &StoreError) -> Error {
    let hint = match error {
        StoreError::Full => "free some space and try again",
        StoreError::ReadOnly => "make the home folder writable and try again",
        StoreError::Corrupt(_) => "see \"fedp2p log verify\" for the first damaged entry",
        StoreError::Superseded | StoreError::Other(_) => "try again",
    };
    Error::new(ErrorCode::Storage, error.to_string()).hint(hint)
}
