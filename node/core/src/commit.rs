//! What follows once something is durable, and what follows when it could not be written.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use fedp2p_crdt::content::Edit;
use fedp2p_crdt::document::WriteError;
use fedp2p_protocols::api::claim::Claim;
use fedp2p_protocols::api::{Answer, Error, ErrorCode, watch};
use fedp2p_protocols::id::{ConversationId, NodeId, OpId};
use fedp2p_protocols::joining;
use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::payload::{ForkProof, Receipt};
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use crate::Core;
use crate::author::Entries;
use crate::documents::Applied;
use crate::doors::{Finish, Glance, Then};
use crate::effect::Effect;
use crate::input::{CallId, Exchange};
use crate::lost::Lost;
use crate::store::{CommitToken, Read, StoreError, Write};

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
    /// What the own document said before.
    pub(crate) before: Option<Glance>,
    /// The call that it finishes.
    pub(crate) finish: Option<(CallId, Finish)>,
    /// The joiner that it admits.
    pub(crate) joiner: Option<(Exchange, NodeId, Box<joining::Answer>)>,
    /// The bytes of a peer's ops that it deals with, and whether they were the last that were asked for.
    pub(crate) fetched: Option<(NodeId, u32, bool)>,
    /// Writes of what this node goes on knowing even if they fail.
    pub(crate) state: Vec<Write>,
    /// The claims that those who watch are told of then, as they stood when this was written.
    pub(crate) news: Vec<Claim>,
}

/// What is tried again some time after the store failed.
#[derive(Debug)]
pub(crate) enum Again {
    /// Writing what this node knows.
    Write(Write),
    /// Saying what everybody must hear.
    Say(Kind, Vec<u8>),
    /// Making documents again.
    Remake { conversation: ConversationId, author: NodeId },
    /// Finding the entry before a fork.
    Common { key: LogKey, seq: u64 },
    /// Finding what a forked log must not take from notes.
    Void { key: LogKey, seq: u64 },
}

/// How long after a failure of the store things are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Whether a write only records what the core knows, so that it is right to repeat it after a failure.
pub(crate) fn is_state(write: &Write, me: &NodeId) -> bool {
    match write {
        Write::Member { .. }
        | Write::OwnChain(_)
        | Write::Fork { .. }
        | Write::Epoch(_)
        | Write::Reach { .. }
        | Write::Pin(_) => true,
        Write::Ticket { used_by, .. } => used_by.is_some(),
        // The own documents fall back with the own entries.
        Write::Document { author, .. } => author != me,
        Write::Op(_)
        | Write::Inbox { .. }
        | Write::Judged { .. }
        | Write::Cursor { .. }
        | Write::Surfaced { .. }
        | Write::Acknowledged { .. }
        | Write::Handed { .. }
        | Write::Flush
        | Write::Peer { .. } => false,
    }
}

impl Core {
    /// Commits own entries that finish no call.
    pub(crate) fn commit_entries(&mut self, entries: Entries) {
        if entries.writes.is_empty() {
            return;
        }
        let in_flight = InFlight { written: entries.written, before: entries.before, ..InFlight::default() };
        self.commit(entries.writes, in_flight);
    }

    /// Commits own entries and finishes a call once they are durable.
    pub(crate) fn commit_call(&mut self, entries: Entries, call: CallId, finish: Finish) {
        let in_flight = InFlight {
            written: entries.written,
            before: entries.before,
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
                self.look_at_contested(written);
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
            if let Some(before) = commit.before {
                let lobby = self.lobby;
                self.tell_changes(&lobby, self.me(), &before);
            }
            for claim in commit.news {
                self.tell(watch::Event::Claim(Box::new(claim)));
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
        }
        if !self.logs.get(&crate::key_of(op)).is_some_and(|log| log.counts(op.header().seq)) {
            return;
        }
        match op.header().kind {
            Kind::Message => self.message_stored(written),
            Kind::Receipt => self.receipt_stored(op),
            Kind::Note => self.note_stored(written),
            // An own entry that comes from outside is one that this database lost.
            Kind::Change | Kind::Checkpoint if written.origin != Origin::Own && op.header().author == self.me() => {
                self.recover(op);
            }
            Kind::Change | Kind::Checkpoint if written.origin != Origin::Own => self.change_stored(op),
            Kind::ForkProof => {
                if let Ok(proof) = ForkProof::decode(op.payload()) {
                    self.fork_proven(&proof);
                }
            }
            Kind::Change | Kind::Checkpoint | Kind::LogStart | Kind::Certificate | Kind::Other(_) => {}
        }
    }

    /// Applies a change or checkpoint that came from outside.
    pub(crate) fn change_stored(&mut self, op: &Arc<Verified>) {
        let header = op.header();
        if let Some(waiting) = self.remaking.get_mut(&(header.conversation, header.author)) {
            waiting.push(Arc::clone(op));
            return;
        }
        let before = self.glance(&header.conversation, &header.author);
        let epoch = self.documents.epoch(&header.conversation, &header.author);
        let applied = self.documents.apply(header, op.payload());
        let writes = self.document_write(header.conversation, header.author, epoch).into_iter().collect();
        self.commit_entries(Entries { writes, ..Entries::default() });
        match applied {
            Applied::Changed => self.tell_changes(&header.conversation, header.author, &before),
            Applied::Unchanged => {}
            Applied::Refused(refusal) => {
                let name = self.members.display(&header.author);
                self.notice(format!("a change of {name} was left out of the picture: {refusal}"));
            }
        }
    }

    fn receipt_stored(&mut self, op: &Verified) {
        let (Ok(receipt), Some(name)) = (Receipt::decode(op.payload()), &op.header().agent) else {
            return;
        };
        let agent = AgentId { node: op.header().author, name: name.clone() };
        for surfaced in &receipt.surfaced {
            self.note_surfaced(agent.clone(), surfaced.key(), surfaced.seq);
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
        self.contested.clear();
        let refusal = storage_refusal(error);
        let mut own = BTreeSet::new();
        for commit in failed {
            for written in &commit.written {
                self.recent.remove(&written.op.id());
                if written.origin == Origin::Own {
                    own.insert(written.op.header().conversation);
                    self.say_again(&written.op);
                }
            }
            for write in commit.state {
                self.try_again(Again::Write(write));
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
            self.untold(&commit.news);
        }
        // What stands in them is not stored.
        self.notes.lose();
        self.proofs.lose();
        for conversation in own {
            self.remake_documents(conversation, self.me());
        }
        self.refuse_waiting(&refusal);
        self.refuse_task_calls(&refusal);
        self.notice(format!("{}; nothing was half-written", refusal.message));
    }

    /// Some own entries must be said even if the store failed just now; of the rest, the caller was told.
    fn say_again(&mut self, op: &Verified) {
        match op.header().kind {
            Kind::Certificate | Kind::ForkProof => {
                self.try_again(Again::Say(op.header().kind, op.payload().to_vec()));
            }
            Kind::LogStart
            | Kind::Message
            | Kind::Receipt
            | Kind::Change
            | Kind::Checkpoint
            | Kind::Note
            | Kind::Other(_) => {}
        }
    }

    pub(crate) fn try_again(&mut self, what: Again) {
        self.undone.push(what);
        self.undone_at = Some(self.now.monotonic + TRY_AGAIN);
    }

    /// Tries again what a failure of the store left undone, if it is time.
    pub(crate) fn undone_due(&mut self) {
        if self.undone_at.is_none_or(|at| at > self.now.monotonic) {
            return;
        }
        self.undone_at = None;
        let mut entries = Entries::default();
        let lobby = self.lobby;
        for what in std::mem::take(&mut self.undone) {
            match what {
                Again::Write(write) => entries.writes.push(write),
                Again::Say(kind, payload) => {
                    self.append(&mut entries, lobby, kind, None, &payload)
                        .expect("what was an entry once fits into one");
                }
                Again::Remake { conversation, author } => self.read_changes(conversation, author),
                Again::Common { key, seq } => self.find_common(key, seq),
                Again::Void { key, seq } => self.find_void_edits(key, seq, 0),
            }
        }
        self.commit_entries(entries);
    }

    /// Makes an author's documents again from what is stored and counts.
    pub(crate) fn remake_documents(&mut self, conversation: ConversationId, author: NodeId) {
        // What came meanwhile and waits may be too late for what is being read.
        if let Entry::Vacant(remaking) = self.remaking.entry((conversation, author)) {
            remaking.insert(Vec::new());
            self.read_changes(conversation, author);
        }
    }

    pub(crate) fn read_changes(&mut self, conversation: ConversationId, author: NodeId) {
        self.read(Read::Changes { author, conversation }, Then::Remake { author, conversation });
    }

    pub(crate) fn documents_read(&mut self, conversation: ConversationId, author: NodeId, changes: &[Arc<Verified>]) {
        if author == self.me() && self.lost.as_ref().is_some_and(Lost::is_awaited) {
            // More of it comes, and then it is read again.
            return;
        }
        let waiting = self.remaking.remove(&(conversation, author)).unwrap_or_default();
        let before = self.glance(&conversation, &author);
        let epoch = self.documents.epoch(&conversation, &author);
        self.documents.forget(&conversation, &author);
        let read: BTreeSet<OpId> = changes.iter().map(|op| op.id()).collect();
        let later = waiting.iter().filter(|op| !read.contains(&op.id()));
        for op in changes.iter().chain(later) {
            if self.logs.get(&crate::key_of(op)).is_none_or(|log| log.counts(op.header().seq)) {
                self.documents.apply(op.header(), op.payload());
            }
        }
        let mut entries = Entries::default();
        entries.writes.extend(self.document_write(conversation, author, epoch));
        if self.documents.epoch(&conversation, &author).is_none() {
            // What is behind the epoch that counted may count yet: the next start reads all of it.
            entries.writes.push(Write::Document { author, conversation, epoch: 0 });
        }
        if author == self.me() {
            let edits = self.what_was_lost();
            self.restate(&mut entries, conversation, &edits);
        }
        self.commit_entries(entries);
        self.tell_changes(&conversation, author, &before);
        if author == self.me() {
            // What came meanwhile may have decided something.
            self.check_closings();
            self.release_all_over();
        }
        for (id, caller, request) in std::mem::take(&mut self.deferred) {
            self.call(id, caller, request);
        }
    }

    /// Makes sure that what this node says stands in its present log, and says these in the same breath.
    pub(crate) fn restate(&mut self, entries: &mut Entries, conversation: ConversationId, edits: &[Edit]) {
        if self.remaking.contains_key(&(conversation, self.me())) {
            // Done once the document has been put together again.
            return;
        }
        if self.edit_what_fits(entries, conversation, edits).is_err() {
            self.notice("the own document could not be written".to_owned());
        }
    }

    /// Edits this node's own document. If that is too much for one change, or one of the edits does not fit, those are
    /// made that do.
    ///
    /// # Errors
    /// If not all of them could be made.
    pub(crate) fn edit_what_fits(
        &mut self,
        entries: &mut Entries,
        conversation: ConversationId,
        edits: &[Edit],
    ) -> Result<(), WriteError> {
        if self.edit(entries, conversation, None, edits).is_ok() {
            return Ok(());
        }
        let mut done = self.edit(entries, conversation, None, &[]);
        for edit in edits {
            done = done.and(self.edit(entries, conversation, None, std::slice::from_ref(edit)));
        }
        done
    }

    /// Tells whoever listens what the admin should know.
    ///
    /// How often is bounded: what a peer causes must not fill a log.
    pub(crate) fn notice(&mut self, text: String) {
        if let Some(unsaid) = self.notices.take(self.now.monotonic) {
            if unsaid > 0 {
                let text = format!("{unsaid} more notices were left out");
                self.tell(watch::Event::Notice { text });
            }
            self.tell(watch::Event::Notice { text });
        }
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
