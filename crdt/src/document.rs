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
use std::sync::Arc;

use automerge::transaction::CommitOptions;
use automerge::{ActorId, Automerge, AutomergeError, Change, ChangeHash};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
use fedp2p_protocols::limits::MAX_EPOCH_CHANGES;

use crate::content::{Content, Edit};
use crate::gate::{self, MAX_TIME, Refusal, Tip};
use crate::genesis;
use crate::ledger::{Additions, Ledger, Path};
use crate::load::{BURSTING, FULL, Load};
use crate::read::{self, Finder};
use crate::scan::scan;
use crate::write::{self, Writer};

pub use crate::write::WriteError;

/// After how many changes it is looked again whether an epoch is worn.
const LOOK_EVERY: u64 = 16;
/// An epoch is worn with this many times the operations that say the same, and these besides. So restating adds at
/// most a third to what is written anyway.
const WORN_TIMES: u64 = 4;
const WORN_OPS: u64 = 64;

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
    /// The bytes of all changes after the first one, to make the document again should Automerge fail in it.
    raw: Vec<Arc<[u8]>>,
    /// Automerge failed on a change, so that none follows.
    spoilt: bool,
    tip: Tip,
    ledger: Ledger,
    content: Content,
    /// What the content takes up, once somebody wanted to know.
    load: Option<Load>,
}

impl Document {
    /// Returns the document with the first change only, which says nothing.
    pub fn new(id: DocumentId) -> Self {
        let own = id.node.to_string();
        let ledger = Ledger::new(&own);
        let actor = id.actor();
        let tip = Tip { actor, hash: genesis::hash(), changes: 0, max_op: ledger.max_op() };
        let automerge = genesis::document().with_actor(ActorId::from(actor));
        let content = Content::default();
        Self { id, own, automerge, raw: Vec::new(), spoilt: false, tip, ledger, content, load: None }
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
            let added = document.ledger.judge(&scanned)?;
            let change = gate::read(bytes)?;
            document.advance(change.hash(), bytes, added);
            parsed.push(change);
        }
        let own = &document.own;
        document.content = gate::apply(&mut document.automerge, parsed, |whole| Finder::new(whole, own).below(&[]))?;
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

    /// How much of an epoch it takes to restate the document.
    pub fn load(&mut self) -> Load {
        *self.load.get_or_insert_with(|| Load::all(&self.content))
    }

    /// Checks that the document has room for `edits`, so that it can always be restated. What ends something has more
    /// room than what begins something, and what takes less than before always has.
    ///
    /// # Errors
    /// [`WriteError::Full`] if it has not.
    pub fn check_room(&mut self, edits: &[Edit]) -> Result<(), WriteError> {
        let (mut before, mut after) = (Load::default(), Load::default());
        let mut begins = false;
        for edit in edits {
            let there = match edit {
                Edit::Put(entry) => {
                    let there = self.content.get(&entry.place());
                    after = after + Load::of(entry)?;
                    begins |= entry.begins(there.is_some());
                    there
                }
                Edit::Remove(place) => self.content.get(place),
            };
            if let Some(there) = there {
                before = before + Load::of(&there)?;
            }
        }
        if after.is_within(before) {
            return Ok(());
        }
        let load = self.load() + after - before;
        if load.is_within(if begins { FULL } else { BURSTING }) { Ok(()) } else { Err(WriteError::Full) }
    }

    /// The number of operations that were ever written, those of the first change included.
    pub fn max_op(&self) -> u64 {
        self.tip.max_op
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

    /// Whether the epoch is mostly history, so that its owner does well to begin another: each change costs every
    /// node time in proportion to what was said before at the same keys. The owner alone decides, so nobody has to
    /// agree. Looks only now and then, because looking costs time in proportion to what the document says.
    pub fn is_worn(&self) -> bool {
        let looks = self.tip.changes > 0 && self.tip.changes.is_multiple_of(LOOK_EVERY);
        let worn = |groups: Vec<_>| {
            let needed = groups.iter().map(Vec::len).sum::<usize>() as u64;
            self.ledger.max_op() >= needed.saturating_mul(WORN_TIMES) + WORN_OPS
        };
        looks && write::restating(&self.content).is_ok_and(worn)
    }

    /// Lets the next change of this document in, if it passes the [`gate`].
    ///
    /// The caller has checked who wrote it. The cost of a small change does not depend on how much the document
    /// says, but on how much stands in the maps that the change writes to.
    ///
    /// # Errors
    /// The reason why the change may not enter, the same on every node.
    pub fn admit(&mut self, change: &[u8]) -> Result<(), Refusal> {
        if self.spoilt {
            return Err(Refusal::Spoilt);
        }
        let mut added = self.judge(change)?;
        let parsed = gate::parse(change)?;
        let hash = parsed.hash();
        let found = self.apply(parsed, added.take_paths())?;
        self.take(found);
        self.advance(hash, change, added);
        Ok(())
    }

    /// Takes a change through all checks that can be made without Automerge.
    fn judge(&self, change: &[u8]) -> Result<Additions, Refusal> {
        let scanned = scan(change)?;
        self.tip.check(&scanned)?;
        self.ledger.judge(&scanned)
    }

    /// Applies a change and reads what stands below `paths` then.
    fn apply(&mut self, change: Change, paths: Vec<Path>) -> Result<Vec<(Path, Content)>, Refusal> {
        let own = &self.own;
        let applied = gate::apply(&mut self.automerge, vec![change], |document| findings(document, own, paths));
        if applied.is_err() {
            self.spoilt = true;
            // They applied before. If they did not now, the content would still be right.
            let changes = self.raw.iter().filter_map(|bytes| gate::read(bytes).ok()).collect();
            let mut again = genesis::document().with_actor(ActorId::from(self.tip.actor));
            if gate::apply(&mut again, changes, |_| ()).is_ok() {
                self.automerge = again;
            }
        }
        applied
    }

    /// Writes `edits` as one change and returns its bytes for publication, or nothing if nothing changed.
    ///
    /// `at_ms` is the time of the change in milliseconds since 1970; it stands in the change in whole seconds, as
    /// is Automerge's custom.
    ///
    /// # Errors
    /// When an edit is not valid, the edits do not fit in one change, or the epoch is full.
    pub fn write(&mut self, edits: &[Edit], at_ms: u64) -> Result<Option<Vec<u8>>, WriteError> {
        self.transact(at_ms, |writer| {
            for edit in edits {
                writer.write(edit)?;
                if !writer.fits() {
                    return Err(WriteError::TooLarge);
                }
            }
            Ok(())
        })
    }

    /// Lets `work` write one change and returns its bytes, or nothing if nothing changed.
    fn transact(
        &mut self,
        at_ms: u64,
        work: impl FnOnce(&mut Writer<'_, '_>) -> Result<(), WriteError>,
    ) -> Result<Option<Vec<u8>>, WriteError> {
        let copy = self.automerge.clone();
        self.transact_on(copy, at_ms, work)
    }

    /// As [`Self::transact`], on a copy of the document that becomes the document.
    fn transact_on(
        &mut self,
        mut copy: Automerge,
        at_ms: u64,
        work: impl FnOnce(&mut Writer<'_, '_>) -> Result<(), WriteError>,
    ) -> Result<Option<Vec<u8>>, WriteError> {
        if self.is_full() || self.spoilt {
            return Err(WriteError::EpochFull);
        }
        let time = i64::try_from(at_ms / 1000).ok().filter(|&time| time < MAX_TIME);
        let time = time.ok_or(WriteError::Time)?;
        let mut transaction = copy.transaction();
        work(&mut Writer::new(&mut transaction, self.own.clone()))?;
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        if hash.is_none() {
            self.automerge = copy;
            return Ok(None);
        }
        let change = copy.get_last_local_change().expect("the transaction just committed a change of this actor");
        let bytes = change.raw_bytes().to_vec();
        self.take_own(&bytes, copy).map_err(|refusal| {
            // A new epoch holds only what stands, so it also has room where too much was written to one map.
            let full = matches!(refusal, Refusal::EpochFull | Refusal::TooMuchTouched);
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
        for leaves in write::restating(content)? {
            let restate = |writer: &mut Writer<'_, '_>| leaves.iter().try_for_each(|leaf| writer.restate(leaf));
            // Nobody sees the document if this fails, so nothing is copied.
            let whole = std::mem::take(&mut document.automerge);
            changes.extend(document.transact_on(whole, at_ms, restate)?);
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
        let mut added = self.judge(bytes)?;
        let hash = gate::parse(bytes)?.hash();
        let found = findings(&copy, &self.own, added.take_paths());
        self.automerge = copy;
        self.take(found);
        self.advance(hash, bytes, added);
        Ok(())
    }

    fn take(&mut self, found: Vec<(Path, Content)>) {
        for (path, found) in found {
            if let Some(load) = self.load {
                self.load = Some(load - read::load_below(&self.content, &path) + Load::all(&found));
            }
            read::replace(&mut self.content, &path, found);
        }
    }

    fn advance(&mut self, hash: ChangeHash, bytes: &[u8], added: Additions) {
        self.ledger.take(added);
        self.raw.push(bytes.into());
        self.tip.hash = hash;
        self.tip.changes += 1;
        self.tip.max_op = self.ledger.max_op();
    }
}

/// Reads what stands below each of `paths` now.
fn findings(document: &Automerge, own: &str, paths: Vec<Path>) -> Vec<(Path, Content)> {
    let mut finder = Finder::new(document, own);
    paths.into_iter().map(|path| (finder.below(&path), path)).map(|(found, path)| (path, found)).collect()
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

#[cfg(test)]
mod tests {
    use automerge::ExpandedChange;
    use automerge::legacy::{ObjectId, OpId};
    use fedp2p_protocols::pulse::AgentKind;

    use super::*;
    use crate::content::{Agent, Entry};

    fn register(name: &str) -> Edit {
        Entry::Agent(name.parse().unwrap(), Agent { kind: AgentKind::Ai, said: None }).into()
    }

    /// Should Automerge ever fail on a change that has passed all other checks.
    #[test]
    fn a_document_is_made_again_after_automerge_has_failed_in_it() {
        let id = DocumentId {
            node: NodeId::from_bytes([1; 32]),
            log: LogId::from_bytes([2; 16]),
            conversation: ConversationId::from_bytes([3; 16]),
            epoch: 0,
        };
        let mut document = Document::new(id);
        document.write(&[register("one")], 1).unwrap();
        let before = (document.save().unwrap(), document.content().clone());
        let next = document.clone().write(&[register("two")], 1).unwrap().unwrap();
        let mut broken: ExpandedChange = gate::read(&next).unwrap().decode();
        broken.operations[0].obj = ObjectId::Id(OpId::new(77, &broken.actor_id));
        assert!(document.apply(broken.into(), Vec::new()).is_err());
        assert_eq!((document.save().unwrap(), document.content().clone()), before);
        assert_eq!(document.admit(&next), Err(Refusal::Spoilt));
        assert!(matches!(document.write(&[register("two")], 1), Err(WriteError::EpochFull)));
    }
}
