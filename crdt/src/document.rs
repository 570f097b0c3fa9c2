//! A replica of one epoch of one node's document, on any node.
//!
//! The owner calls [`write`](Document::write) and publishes the bytes; all others [`admit`](Document::admit) them in
//! the same order. After a restart both [`restore`](Document::restore) from stored bytes. When an epoch is full the
//! owner [`restate`](Document::restate)s its content in the next one.
//!
//! # Invariants
//!
//! - A call that fails leaves the document as it was.
//! - [`content`](Document::content) always says what reading the whole document would say.
//! - Equal sequences of admitted changes give equal documents, saved byte for byte.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::CommitOptions;
use automerge::{ActorId, Automerge, AutomergeError, Change};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
use fedp2p_protocols::limits::MAX_EPOCH_CHANGES;

use crate::content::{Content, Edit};
use crate::gate::{self, MAX_TIME, Refusal, Tip};
use crate::genesis;
use crate::ledger::{Ledger, Path};
use crate::read;
use crate::scan::scan;
use crate::write::{self, Writer};

pub use crate::write::WriteError;

/// Names one epoch of one node's document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DocumentId {
    /// The node that writes it.
    pub node: NodeId,
    /// The log that its changes stand in.
    pub log: LogId,
    /// The conversation that it belongs to.
    pub conversation: ConversationId,
    /// Which epoch, counting up from 0.
    pub epoch: u32,
}

impl DocumentId {
    /// Returns the Automerge actor of this epoch: the first 16 bytes of BLAKE3 in key derivation mode, with the
    /// context `fedp2p/1 document`, over node, log, conversation and the epoch in little endian.
    pub fn actor(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 document");
        hasher.update(self.node.as_bytes());
        hasher.update(self.log.as_bytes());
        hasher.update(self.conversation.as_bytes());
        hasher.update(&self.epoch.to_le_bytes());
        let mut actor = [0; 16];
        actor.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        actor
    }
}

/// A document cannot be saved so that it loads again. The gate exists so that this does not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// Automerge failed.
    #[error("automerge failed")]
    Automerge(#[from] AutomergeError),
    /// Automerge panicked.
    #[error("automerge panicked")]
    Panicked,
}

/// A replica of one document epoch.
#[derive(Clone, Debug)]
pub struct Document {
    id: DocumentId,
    /// The key of the writer's own map.
    own: String,
    automerge: Automerge,
    tip: Tip,
    ledger: Ledger,
    content: Content,
}

impl Document {
    /// Returns the document with the first change only, which says nothing.
    pub fn new(id: DocumentId) -> Self {
        let own = id.node.to_string();
        let ledger = Ledger::new(&own);
        let actor = id.actor();
        let tip = Tip { actor, hash: genesis::hash(), changes: 0, max_op: ledger.max_op() };
        let automerge = genesis::document().with_actor(ActorId::from(actor));
        Self { id, own, automerge, tip, ledger, content: Content::default() }
    }

    /// Rebuilds a document from changes that were admitted before, in order.
    ///
    /// All changes are applied at once, which is much faster than one by one. Everything is checked again but
    /// that they are encoded the canonical way.
    ///
    /// # Errors
    /// When a change is not the next one or they do not apply.
    pub fn restore<'a>(id: DocumentId, changes: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let mut document = Self::new(id);
        let mut parsed = Vec::new();
        for bytes in changes {
            let scanned = scan(bytes)?;
            document.tip.check(&scanned)?;
            document.ledger.extend(&scanned)?;
            let change = gate::read(bytes)?;
            document.advance(&change);
            parsed.push(change);
        }
        let own = &document.own;
        let (automerge, content) = gate::apply(&document.automerge, parsed, |copy| read::below(copy, own, &[]))?;
        document.automerge = automerge;
        document.content = content;
        Ok(document)
    }

    /// Which document this is.
    pub fn id(&self) -> DocumentId {
        self.id
    }

    /// What the document says.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The number of changes after the first one.
    pub fn changes(&self) -> u64 {
        self.tip.changes
    }

    /// Whether the epoch has all the changes it may have. It can also run out of operations, which only
    /// [`WriteError::EpochFull`] tells.
    pub fn is_full(&self) -> bool {
        self.tip.changes >= MAX_EPOCH_CHANGES
    }

    /// Lets the next change of this document in, if it passes the [`gate`].
    ///
    /// The caller has checked who wrote it. The cost of a small change does not depend on how much the document
    /// says.
    ///
    /// # Errors
    /// The reason why the change may not enter, the same on every node.
    pub fn admit(&mut self, change: &[u8]) -> Result<(), Refusal> {
        let scanned = scan(change)?;
        self.tip.check(&scanned)?;
        let mark = self.ledger.mark();
        let admitted = self.ledger.extend(&scanned).and_then(|paths| {
            let parsed = gate::parse(change)?;
            let (own, then) = (&self.own, parsed.clone());
            gate::apply(&self.automerge, vec![then], |copy| findings(copy, own, paths))
                .map(|(copy, found)| (parsed, copy, found))
        });
        match admitted {
            Ok((parsed, copy, found)) => {
                self.take(&parsed, copy, found);
                Ok(())
            }
            Err(refusal) => {
                self.ledger.rewind(mark);
                Err(refusal)
            }
        }
    }

    /// Writes `edits` as one change and returns its bytes for publication, or nothing if nothing changed.
    ///
    /// `at_ms` is the time of the change in milliseconds since 1970; it stands in the change in whole seconds, as
    /// is Automerge's custom.
    ///
    /// # Errors
    /// When an edit is not valid, the edits do not fit in one change, or the epoch is full.
    pub fn write(&mut self, edits: &[Edit], at_ms: u64) -> Result<Option<Vec<u8>>, WriteError> {
        if self.is_full() {
            return Err(WriteError::EpochFull);
        }
        let time = i64::try_from(at_ms / 1000).ok().filter(|&time| time < MAX_TIME);
        let time = time.ok_or(WriteError::Time)?;
        let mut copy = self.automerge.clone();
        let mut transaction = copy.transaction();
        let mut writer = Writer::new(&mut transaction, self.own.clone());
        for edit in edits {
            writer.write(edit)?;
            if !writer.fits() {
                return Err(WriteError::TooLarge);
            }
        }
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        if hash.is_none() {
            return Ok(None);
        }
        let change = copy.get_last_local_change().expect("the transaction just committed a change of this actor");
        let bytes = change.raw_bytes().to_vec();
        self.take_own(&bytes, copy).map_err(|refusal| {
            let full = refusal == Refusal::EpochFull;
            if full { WriteError::EpochFull } else { WriteError::Refused(refusal) }
        })?;
        Ok(Some(bytes))
    }

    /// Returns the document of a new epoch that says `content`, and its changes in order.
    ///
    /// Until the last of them is admitted, a replica says less than `content`.
    ///
    /// # Errors
    /// When `content` is not valid or does not fit in one epoch.
    pub fn restate(id: DocumentId, content: &Content, at_ms: u64) -> Result<(Self, Vec<Vec<u8>>), WriteError> {
        let mut document = Self::new(id);
        let mut changes = Vec::new();
        for edits in write::restating(content) {
            changes.extend(document.write(&edits, at_ms)?);
        }
        Ok((document, changes))
    }

    /// Saves the document in Automerge's format.
    ///
    /// # Errors
    /// When what was saved does not load again.
    pub fn save(&self) -> Result<Vec<u8>, SaveError> {
        save(|| self.automerge.save_and_verify())
    }

    /// Returns the bytes of all changes after the first one, in order.
    pub fn raw_changes(&self) -> Vec<Vec<u8>> {
        self.own_changes().iter().map(|change| change.raw_bytes().to_vec()).collect()
    }

    fn own_changes(&self) -> Vec<Change> {
        self.automerge.get_changes(&[genesis::hash()])
    }

    /// Checks the change that we just wrote into `copy` and makes `copy` the document.
    fn take_own(&mut self, bytes: &[u8], copy: Automerge) -> Result<(), Refusal> {
        let scanned = scan(bytes)?;
        self.tip.check(&scanned)?;
        let mark = self.ledger.mark();
        let written = self.ledger.extend(&scanned).and_then(|paths| Ok((paths, gate::parse(bytes)?)));
        match written {
            Ok((paths, parsed)) => {
                let found = findings(&copy, &self.own, paths);
                self.take(&parsed, copy, found);
                Ok(())
            }
            Err(refusal) => {
                self.ledger.rewind(mark);
                Err(refusal)
            }
        }
    }

    fn take(&mut self, change: &Change, automerge: Automerge, found: Vec<(Path, Content)>) {
        self.automerge = automerge;
        self.advance(change);
        for (path, found) in found {
            read::replace(&mut self.content, &path, found);
        }
    }

    fn advance(&mut self, change: &Change) {
        self.tip.hash = change.hash();
        self.tip.changes += 1;
        self.tip.max_op = self.ledger.max_op();
    }
}

/// Reads what stands below each of `paths` now.
fn findings(document: &Automerge, own: &str, paths: Vec<Path>) -> Vec<(Path, Content)> {
    let read = |path: Path| (read::below(document, own, &path), path);
    paths.into_iter().map(read).map(|(found, path)| (path, found)).collect()
}

/// Returns one ordinary Automerge document made of all the given documents.
///
/// Give one epoch of each node: two epochs of one node put different maps at the same key, of which Automerge
/// shows one. The order of the documents does not matter.
///
/// # Errors
/// When what was saved does not load again.
pub fn merged<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<Vec<u8>, SaveError> {
    let mut changes: Vec<Change> = documents.into_iter().flat_map(Document::own_changes).collect();
    // Independent of the order given; each writer's changes stay in theirs.
    changes.sort_by(|a, b| (a.actor_id(), a.seq()).cmp(&(b.actor_id(), b.seq())));
    save(|| {
        let mut all = genesis::document();
        all.apply_changes(changes)?;
        all.save_and_verify()
    })
}

fn save(work: impl FnOnce() -> Result<Vec<u8>, AutomergeError>) -> Result<Vec<u8>, SaveError> {
    let saved = catch_unwind(AssertUnwindSafe(work)).map_err(|_| SaveError::Panicked)?;
    Ok(saved?)
}
