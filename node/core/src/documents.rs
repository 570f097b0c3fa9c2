//! The Automerge documents of every author in every conversation, and which of an author's document epochs counts.
//!
//! A checkpoint announces an epoch and how many changes restate the document. The epoch can count once all of those
//! are there and were admitted. Of the greatest (epoch, log) that an author ever began, [`MAX_EPOCHS`] in number, the
//! greatest that can count does. All of this is a function of the author's logs alone, so every node that holds the
//! same ops shows the same content.
//!
//! That an epoch which was begun keeps its place, whatever becomes of it, is what bounds the work: places only ever go
//! to greater ones, so what has lost its place never has to be read from the store and made again. An author that
//! begins many and completes none takes away nothing but its own word, until it completes a greater one.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use fedp2p_crdt::claim::{Claims, Outcome, claims};
use fedp2p_crdt::content::{Content, Edit};
use fedp2p_crdt::document::WriteError;
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_crdt::gate::Refusal;
use fedp2p_crdt::load::Load;
use fedp2p_crdt::picture::Picture;
use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
use fedp2p_protocols::limits::MAX_EPOCH_CHANGES;
use fedp2p_protocols::op::{Header, Kind};
use fedp2p_protocols::payload::{Change, Checkpoint};

/// How many epochs of one author in one conversation are worked on, each a document in memory. An author that keeps the
/// rules has one, and another while that is restated.
pub(crate) const MAX_EPOCHS: usize = 4;

/// One epoch of one author's document.
#[derive(Debug)]
struct Epoch {
    document: Document,
    /// How many changes make it complete.
    restated: u64,
    /// A change of it was refused, so it can never be completed.
    broken: bool,
}

impl Epoch {
    fn is_complete(&self) -> bool {
        self.document.changes() >= self.restated
    }
}

/// The epochs of one author in one conversation that count or may yet.
#[derive(Debug, Default)]
struct Shelf {
    epochs: BTreeMap<(u32, LogId), Epoch>,
    /// The greatest epochs that were ever begun, at most [`MAX_EPOCHS`], also those that are no longer worked on.
    begun: BTreeSet<(u32, LogId)>,
    current: Option<(u32, LogId)>,
    /// Up to which entry each log was taken, if this node does not write it. What was read may come again: the store
    /// can be ahead of what the core was told.
    upto: BTreeMap<LogId, u64>,
}

impl Shelf {
    /// Begins an epoch, for which the smallest gives way if there are too many: perhaps this one.
    fn begin(&mut self, document: Document, restated: u64) {
        let key = (document.id().epoch, document.id().log);
        self.begun.insert(key);
        self.epochs.insert(key, Epoch { document, restated, broken: false });
        if self.begun.len() > MAX_EPOCHS
            && let Some(least) = self.begun.pop_first()
        {
            self.epochs.remove(&least);
        }
        self.settle();
    }

    /// Lets the greatest complete epoch count, and drops what can no longer.
    fn settle(&mut self) {
        let complete = self.epochs.iter().rev().find(|(_, epoch)| epoch.is_complete());
        self.current = complete.map(|(key, _)| *key);
        let current = self.current;
        self.epochs.retain(|key, epoch| Some(*key) >= current && (!epoch.broken || epoch.is_complete()));
    }

    fn document(&self) -> Option<&Document> {
        self.current.and_then(|key| self.epochs.get(&key)).map(|epoch| &epoch.document)
    }

    fn document_mut(&mut self) -> Option<&mut Document> {
        self.current.and_then(|key| self.epochs.get_mut(&key)).map(|epoch| &mut epoch.document)
    }
}

/// The documents of one conversation.
#[derive(Debug, Default)]
struct Conversation {
    shelves: BTreeMap<NodeId, Shelf>,
    /// How the claims stand, once somebody has asked since the content that counts changed last.
    claims: OnceCell<Outcome>,
    /// The digests of what was said, of those whose content has not changed since.
    digests: RefCell<BTreeMap<NodeId, [u8; 32]>>,
}

impl Conversation {
    /// What an author says has changed, or is about to.
    fn changes(&mut self, author: &NodeId) {
        self.claims.take();
        self.digests.get_mut().remove(author);
    }

    fn picture(&self) -> Picture<'_> {
        Picture::of(self.shelves.iter().filter_map(|(node, shelf)| Some((*node, shelf.document()?.content()))))
    }
}

/// What came of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The content that counts has changed.
    Changed,
    /// Nothing that counts has changed.
    Unchanged,
    /// The gate refused the change.
    Refused(Refusal),
}

/// An own entry that is to be written: its kind, its payload, its floor.
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

/// All documents.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    conversations: BTreeMap<ConversationId, Conversation>,
    empty: Content,
}

impl Documents {
    /// Applies a checkpoint or a change, those of a log in their order. Ops of other kinds and payloads that say
    /// nothing change nothing.
    pub(crate) fn apply(&mut self, header: &Header, payload: &[u8]) -> Applied {
        let conversation = self.conversations.entry(header.conversation).or_default();
        let shelf = conversation.shelves.entry(header.author).or_default();
        let upto = shelf.upto.entry(header.log).or_default();
        if header.seq <= *upto {
            return Applied::Unchanged;
        }
        *upto = header.seq;
        let applied = match header.kind {
            Kind::Checkpoint => match Checkpoint::decode(payload) {
                Ok(checkpoint) => begin(shelf, header, checkpoint),
                Err(_) => Applied::Unchanged,
            },
            Kind::Change => match Change::decode(payload) {
                Ok(change) => admit(shelf, header, &change),
                Err(_) => Applied::Unchanged,
            },
            Kind::LogStart
            | Kind::Certificate
            | Kind::Message
            | Kind::Receipt
            | Kind::ForkProof
            | Kind::Note
            | Kind::Other(_) => Applied::Unchanged,
        };
        if applied != Applied::Unchanged {
            conversation.changes(&header.author);
        }
        applied
    }

    /// Forgets an author's documents in a conversation, to make them again from what counts.
    pub(crate) fn forget(&mut self, conversation: &ConversationId, author: &NodeId) {
        if let Some(conversation) = self.conversations.get_mut(conversation) {
            conversation.shelves.remove(author);
            conversation.changes(author);
        }
    }

    fn shelf(&self, conversation: &ConversationId, author: &NodeId) -> Option<&Shelf> {
        self.conversations.get(conversation)?.shelves.get(author)
    }

    /// Which log the document stands in that counts.
    pub(crate) fn log(&self, conversation: &ConversationId, author: &NodeId) -> Option<LogId> {
        self.shelf(conversation, author)?.current.map(|(_, log)| log)
    }

    /// Which epoch of an author's document counts.
    pub(crate) fn epoch(&self, conversation: &ConversationId, author: &NodeId) -> Option<u32> {
        self.shelf(conversation, author)?.current.map(|(epoch, _)| epoch)
    }

    /// What an author says in a conversation.
    pub(crate) fn content(&self, conversation: &ConversationId, author: &NodeId) -> &Content {
        let shelf = self.shelf(conversation, author);
        shelf.and_then(Shelf::document).map_or(&self.empty, Document::content)
    }

    /// What everybody says in a conversation.
    pub(crate) fn picture(&self, conversation: &ConversationId) -> Picture<'_> {
        self.conversations.get(conversation).map(Conversation::picture).unwrap_or_default()
    }

    /// The digest of the picture. What has not changed since is not gone through again.
    pub(crate) fn picture_digest(&self, conversation: &ConversationId) -> [u8; 32] {
        let Some(conversation) = self.conversations.get(conversation) else { return Picture::default().digest() };
        let mut digests = conversation.digests.borrow_mut();
        conversation.picture().digest_of(|node, content| *digests.entry(node).or_insert_with(|| content.digest()))
    }

    /// How the claims in a conversation stand. It is decided once for as long as nothing that counts changes.
    pub(crate) fn claims(&self, conversation: &ConversationId) -> Claims<'_> {
        let Some(conversation) = self.conversations.get(conversation) else { return Claims::default() };
        let picture = conversation.picture();
        conversation.claims.get_or_init(|| claims(&picture).outcome()).of(&picture)
    }

    /// Of how many epochs of any one author there are documents, at most.
    pub(crate) fn most_epochs(&self) -> usize {
        let shelves = self.conversations.values().flat_map(|conversation| conversation.shelves.values());
        shelves.map(|shelf| shelf.epochs.len()).max().unwrap_or(0)
    }

    /// How much of an epoch an author's document takes up.
    pub(crate) fn load(&mut self, conversation: &ConversationId, author: &NodeId) -> Load {
        let conversation = self.conversations.get_mut(conversation);
        let shelf = conversation.and_then(|conversation| conversation.shelves.get_mut(author));
        shelf.and_then(Shelf::document_mut).map_or_else(Load::default, Document::load)
    }

    /// Edits this node's own document and returns the entries that say so, in order. The document has changed when
    /// this returns; if the entries cannot be stored, [`Documents::forget`] it and make it again.
    ///
    /// # Errors
    /// If an edit is over a limit, or the document is full; then nothing has changed.
    pub(crate) fn write(&mut self, own: DocumentId, edits: &[Edit], at_ms: u64) -> Result<Vec<Draft>, WriteError> {
        let conversation = self.conversations.entry(own.conversation).or_default();
        conversation.changes(&own.node);
        let shelf = conversation.shelves.entry(own.node).or_default();
        shelf.document_mut().map_or(Ok(()), |document| document.check_room(edits))?;
        let highest = shelf.begun.last().map_or(0, |(epoch, _)| *epoch);
        let goes_on = |document: &Document| document.id().log == own.log && !document.is_full() && !document.is_worn();
        if shelf.document().is_some_and(goes_on) {
            let key = shelf.current.expect("a document that goes on is current");
            let epoch = shelf.epochs.get_mut(&key).expect("the current epoch is on the shelf");
            match epoch.document.write(edits, at_ms) {
                // Room for operations can run out before room for changes does.
                Err(WriteError::EpochFull) => {}
                written => {
                    let change = written?;
                    return Ok(change.map(|change| draft(key.0, change)).into_iter().collect());
                }
            }
        }
        let content = shelf.document().map(Document::content).cloned().unwrap_or_default();
        let id = DocumentId { epoch: highest + 1, ..own };
        let (mut document, mut changes) = Document::restate(id, &content, at_ms)?;
        // The edits belong to what makes the epoch complete, so that nobody sees an older state again meanwhile.
        changes.extend(document.write(edits, at_ms)?);
        let restated = document.changes();
        let mut drafts = vec![Draft {
            kind: Kind::Checkpoint,
            payload: Checkpoint { epoch: id.epoch, changes: changes.len() as u32 }.encode(),
        }];
        drafts.extend(changes.into_iter().map(|change| draft(id.epoch, change)));
        shelf.begin(document, restated);
        Ok(drafts)
    }
}

fn draft(epoch: u32, change: Vec<u8>) -> Draft {
    Draft { kind: Kind::Change, payload: Change { epoch, change }.encode() }
}

fn begin(shelf: &mut Shelf, header: &Header, checkpoint: Checkpoint) -> Applied {
    let key = (checkpoint.epoch, header.log);
    let restated = u64::from(checkpoint.changes);
    if Some(key) <= shelf.current || shelf.begun.contains(&key) || restated > MAX_EPOCH_CHANGES {
        return Applied::Unchanged;
    }
    let id =
        DocumentId { node: header.author, log: header.log, conversation: header.conversation, epoch: checkpoint.epoch };
    let before = shelf.current;
    shelf.begin(Document::new(id), restated);
    if shelf.current == before { Applied::Unchanged } else { Applied::Changed }
}

fn admit(shelf: &mut Shelf, header: &Header, change: &Change) -> Applied {
    let key = (change.epoch, header.log);
    let Some(epoch) = shelf.epochs.get_mut(&key) else {
        return Applied::Unchanged;
    };
    if let Err(refusal) = epoch.document.admit(&change.change) {
        epoch.broken = true;
        shelf.settle();
        return Applied::Refused(refusal);
    }
    let before = shelf.current;
    shelf.settle();
    if shelf.current == Some(key) || shelf.current != before { Applied::Changed } else { Applied::Unchanged }
}
