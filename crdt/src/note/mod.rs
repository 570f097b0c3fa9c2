//! A note: one named text that every member of a conversation may edit, all at once.
//!
//! A note is an Automerge document with one text in it. It starts from one constant change ([`genesis`]) and grows by
//! changes that travel as signed ops. A writer is one log of one node; its actor is a hash of both and of the note, so
//! nobody writes in another's name. The caller gives each writer's changes in the order of its log ([`Note::add`]), and
//! the writers in any order.
//!
//! # Which changes count
//!
//! A change counts if everything that it follows counts and the [gate](self#the-gate) lets it in. The first change of a
//! writer that is refused ends what counts of that writer in this note. Both are functions of a change and of what it
//! follows, never of what came beside it, so the same set of changes gives the same text, in whatever order they come,
//! and what once counts goes on counting. One bad writer spoils what it writes itself and what others build on it.
//!
//! # The gate
//!
//! 1. Size, chunk kind, shape of the columns, limits; only insertions of single characters and deletions (`scan`).
//! 2. Everything that the change follows counts, the writer's change before among it; actor, sequence number and first
//!    counter are the only possible ones; the note has room; the time is sane.
//! 3. Every operation is on the text and names a character that was inserted by something that the change follows.
//! 4. Automerge reads it; the checksum is right; encoding it again gives the same bytes.
//! 5. Automerge applies it. No change is known that comes so far and fails here; should there be one, the note is made
//!    again change by change, in an order that follows from the changes alone, without those that fail.
//!
//! Nothing is ever forgotten of a note, so it can be shown as it was after any edit; [`limits`] says how much that can
//! become.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, Change, ChangeHash, ReadDoc};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};
use fedp2p_protocols::name::{AgentName, NoteName};

use crate::gate::{self, MAX_TIME};
use crate::scan::Reference;

pub mod genesis;
pub mod limits;
mod scan;

use limits::{MAX_CHANGES, MAX_COUNTER, MAX_OPS, MAX_TEXT_BYTES};
use scan::{Action, Op, Scanned};

/// Why a change of a note does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// For a reason that holds for changes of all documents.
    #[error(transparent)]
    Change(#[from] gate::Refusal),
    /// Something that Automerge has and notes do not.
    #[error("{0} are not part of notes")]
    Unsupported(&'static str),
    /// More than [`MAX_OPS`] operations.
    #[error("a change of a note has at most {MAX_OPS} operations")]
    TooManyOps,
    /// The writer has [`MAX_CHANGES`] changes, or the counters reach [`MAX_COUNTER`].
    #[error("the note is full")]
    Full,
    /// It does not follow the writer's change before.
    #[error("does not follow the writer's change before")]
    NotNext,
    /// An operation is on something else than the text of the note.
    #[error("operation {0} is not on the text of the note")]
    OtherObject(u64),
    /// An operation names a character that is not in what the change follows.
    #[error("operation {0} names a character that is not there")]
    UnknownCharacter(u64),
    /// What it follows does not count.
    #[error("builds on a change that does not count")]
    Unfounded,
}

/// Why an edit was not made. The note is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The text would be longer than [`MAX_TEXT_BYTES`].
    #[error("a note has at most {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// The note has had all the edits that it can take.
    #[error("the note has had all the edits that it can take")]
    Full,
    /// The place is not in the text.
    #[error("the place is not in the text")]
    Place,
    /// Our own gate refuses what was written, or Automerge fails, which is a bug.
    #[error("the edit cannot be written: {0}")]
    Refused(String),
}

/// Names a note.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteId {
    /// The conversation that it belongs to.
    pub conversation: ConversationId,
    /// Its name there.
    pub name: NoteName,
}

/// Who writes: one log of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// The node.
    pub node: NodeId,
    /// Its log.
    pub log: LogId,
}

impl NoteId {
    /// Returns the Automerge actor of a writer: the first 16 bytes of BLAKE3 in key derivation mode, with the context
    /// `fedp2p/1 note`, over conversation, node, log and name.
    pub fn actor(&self, writer: &Writer) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 note");
        hasher.update(self.conversation.as_bytes());
        hasher.update(writer.node.as_bytes());
        hasher.update(writer.log.as_bytes());
        hasher.update(self.name.as_str().as_bytes());
        let mut actor = [0; 16];
        actor.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        actor
    }
}

/// A change as it arrived.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The op that carries it.
    pub op: OpId,
    /// Who wrote it.
    pub writer: Writer,
    /// The agent in whose name.
    pub agent: Option<AgentName>,
    /// When, in milliseconds since 1970 by the writer's clock.
    pub at: u64,
    /// The change.
    pub change: Arc<[u8]>,
}

/// One edit that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The op that carries it, which names it.
    pub op: OpId,
    /// Who wrote it.
    pub writer: Writer,
    /// The agent in whose name.
    pub agent: Option<AgentName>,
    /// When, in milliseconds since 1970 by the writer's clock.
    pub at: u64,
    /// How many characters it inserts.
    pub inserted: u32,
    /// How many it deletes.
    pub deleted: u32,
}

type Hash = [u8; 32];

/// A change that counts.
#[derive(Debug, Clone)]
struct Counted {
    edit: Edit,
    /// The highest counter in it.
    max_op: u64,
    /// How many changes of each writer it follows, itself included, by the writers' numbers.
    follows: BTreeMap<u32, u64>,
    bytes: Arc<[u8]>,
}

/// Which counters of a change are insertions.
#[derive(Debug, Clone)]
struct Stretch {
    start: u64,
    inserts: Vec<bool>,
}

/// What one writer has written.
#[derive(Debug, Clone)]
struct Chain {
    actor: [u8; 16],
    number: u32,
    /// What counts, in order.
    stretches: Vec<Stretch>,
    last: Option<Hash>,
    /// What waits for something that it follows.
    waiting: VecDeque<Incoming>,
    /// Why nothing more of this writer counts.
    refused: Option<Refusal>,
    /// How many do not count for that.
    left_out: usize,
}

impl Chain {
    /// Whether the `counter` is an insertion in one of the first `changes` changes.
    fn inserted(&self, counter: u64, changes: u64) -> bool {
        let after = self.stretches.partition_point(|stretch| stretch.start <= counter);
        let Some(at) = after.checked_sub(1).filter(|at| (*at as u64) < changes) else { return false };
        let stretch = &self.stretches[at];
        usize::try_from(counter - stretch.start).ok().and_then(|at| stretch.inserts.get(at)).is_some_and(|is| *is)
    }
}

/// A replica of a note.
#[derive(Debug, Clone)]
pub struct Note {
    id: NoteId,
    automerge: Automerge,
    chains: BTreeMap<Writer, Chain>,
    /// The writer with each actor.
    actors: BTreeMap<[u8; 16], Writer>,
    counted: BTreeMap<Hash, Counted>,
    /// Changes on which Automerge failed.
    failed: BTreeSet<Hash>,
}

impl Note {
    /// Returns the note that nobody has written to.
    pub fn new(id: NoteId) -> Self {
        Self {
            id,
            automerge: genesis::document(),
            chains: BTreeMap::new(),
            actors: BTreeMap::new(),
            counted: BTreeMap::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Which note this is.
    pub fn id(&self) -> &NoteId {
        &self.id
    }

    /// Whether anything counts.
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// Takes changes in, those of each writer in the order of its log, and returns which ops were refused, and why.
    ///
    /// Whoever calls has checked who wrote them, and gives each once.
    pub fn add(&mut self, changes: impl IntoIterator<Item = Incoming>) -> Vec<(OpId, Refusal)> {
        let (mut parsed, mut refused) = (Vec::new(), Vec::new());
        for incoming in changes {
            let writer = incoming.writer;
            self.chain(writer).waiting.push_back(incoming);
            self.progress(writer, &mut parsed, &mut refused);
            // What was waited for may have come.
            let mut again = true;
            while again {
                let waiting: Vec<Writer> = self
                    .chains
                    .iter()
                    .filter(|(_, chain)| !chain.waiting.is_empty())
                    .map(|(writer, _)| *writer)
                    .collect();
                let before = parsed.len();
                waiting.into_iter().for_each(|writer| self.progress(writer, &mut parsed, &mut refused));
                again = parsed.len() > before;
            }
        }
        if !parsed.is_empty() && gate::apply(&mut self.automerge, parsed, |_| ()).is_err() {
            self.remake();
        }
        refused
    }

    fn chain(&mut self, writer: Writer) -> &mut Chain {
        let number = u32::try_from(self.chains.len()).unwrap_or(u32::MAX);
        let actor = self.id.actor(&writer);
        self.actors.insert(actor, writer);
        self.chains.entry(writer).or_insert_with(|| Chain {
            actor,
            number,
            stretches: Vec::new(),
            last: None,
            waiting: VecDeque::new(),
            refused: None,
            left_out: 0,
        })
    }

    /// Lets in what can be let in of one writer.
    fn progress(&mut self, writer: Writer, parsed: &mut Vec<Change>, refused: &mut Vec<(OpId, Refusal)>) {
        while let Some(chain) = self.chains.get_mut(&writer) {
            let Some(incoming) = chain.waiting.pop_front() else { return };
            if let Some(refusal) = &chain.refused {
                refused.push((incoming.op, refusal.clone()));
                chain.left_out += 1;
                continue;
            }
            match self.judge(&writer, &incoming.change) {
                Ok(Some(judged)) => parsed.push(self.count(&incoming, judged)),
                Ok(None) => {
                    if let Some(chain) = self.chains.get_mut(&writer) {
                        chain.waiting.push_front(incoming);
                    }
                    return;
                }
                Err(refusal) => {
                    refused.push((incoming.op, refusal.clone()));
                    if let Some(chain) = self.chains.get_mut(&writer) {
                        chain.refused = Some(refusal);
                        chain.left_out += 1;
                    }
                }
            }
        }
    }

    /// Takes a change through the gate, up to what Automerge says; nothing if something that it follows is missing.
    fn judge(&self, writer: &Writer, bytes: &[u8]) -> Result<Option<Judged>, Refusal> {
        let scanned = scan::scan(bytes)?;
        let head = &scanned.head;
        let mut deps = head.deps.clone();
        deps.sort_unstable();
        if deps.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(gate::Refusal::DuplicateDep.into());
        }
        if deps.is_empty() {
            return Err(Refusal::NotNext);
        }
        let (mut follows, mut max_op) = (BTreeMap::<u32, u64>::new(), genesis::OPS);
        for dep in deps.iter().filter(|dep| **dep != genesis::hash().0) {
            if self.failed.contains(dep) {
                return Err(Refusal::Unfounded);
            }
            let Some(counted) = self.counted.get(dep) else { return Ok(None) };
            max_op = max_op.max(counted.max_op);
            for (number, changes) in &counted.follows {
                let known = follows.entry(*number).or_default();
                *known = (*known).max(*changes);
            }
        }
        let chain = self.chains.get(writer).ok_or(Refusal::NotNext)?;
        self.check_head(chain, &scanned, &follows, max_op)?;
        self.check_ops(chain, &scanned, &follows)?;
        let change = gate::parse(bytes)?;
        follows.insert(chain.number, head.seq);
        let ops = scanned.ops.iter().map(|op| matches!(op.action, Action::Insert(_))).collect();
        Ok(Some(Judged { change, follows, stretch: Stretch { start: head.start_op, inserts: ops } }))
    }

    fn check_head(
        &self,
        chain: &Chain,
        scanned: &Scanned<'_>,
        follows: &BTreeMap<u32, u64>,
        max_op: u64,
    ) -> Result<(), Refusal> {
        let head = &scanned.head;
        let written = chain.stretches.len() as u64;
        if head.actor != chain.actor {
            return Err(gate::Refusal::WrongActor.into());
        }
        if head.seq != written + 1 {
            return Err(gate::Refusal::Sequence { expected: written + 1, found: head.seq }.into());
        }
        if follows.get(&chain.number).copied().unwrap_or(0) != written {
            return Err(Refusal::NotNext);
        }
        if head.start_op != max_op + 1 {
            return Err(gate::Refusal::StartOp { expected: max_op + 1, found: head.start_op }.into());
        }
        if written >= MAX_CHANGES || max_op + scanned.ops.len() as u64 >= MAX_COUNTER {
            return Err(Refusal::Full);
        }
        if !(0..MAX_TIME).contains(&head.time) {
            return Err(gate::Refusal::Time.into());
        }
        let distinct: BTreeSet<&[u8]> = head.others.iter().copied().collect();
        let known = |actor: &&[u8]| **actor == genesis::ACTOR || self.followed(actor, follows).is_some();
        if distinct.len() != head.others.len() || !distinct.iter().all(known) {
            return Err(gate::Refusal::UnknownActor.into());
        }
        Ok(())
    }

    /// The writer with this actor, and how many of its changes are followed, if any.
    fn followed(&self, actor: &[u8], follows: &BTreeMap<u32, u64>) -> Option<(&Chain, u64)> {
        let actor: [u8; 16] = actor.try_into().ok()?;
        let chain = self.chains.get(self.actors.get(&actor)?)?;
        follows.get(&chain.number).map(|changes| (chain, *changes))
    }

    fn check_ops(&self, chain: &Chain, scanned: &Scanned<'_>, follows: &BTreeMap<u32, u64>) -> Result<(), Refusal> {
        let others = &scanned.head.others;
        let other = |reference: &Reference| reference.actor.checked_sub(1).and_then(|at| others.get(at as usize));
        let start = scanned.head.start_op;
        let before: Vec<Option<(&Chain, u64)>> = others.iter().map(|actor| self.followed(actor, follows)).collect();
        for (at, Op { object, action }) in scanned.ops.iter().enumerate() {
            let counter = start + at as u64;
            if object.counter != genesis::OPS || other(object).is_none_or(|actor| **actor != genesis::ACTOR) {
                return Err(Refusal::OtherObject(counter));
            }
            let (Action::Insert(Some(character)) | Action::Delete(character)) = action else { continue };
            let is_there = match character.actor {
                0 if character.counter >= start => {
                    let here = (character.counter - start) as usize;
                    here < at && matches!(scanned.ops[here].action, Action::Insert(_))
                }
                0 => chain.inserted(character.counter, MAX_CHANGES),
                actor => {
                    let followed = before.get((actor - 1) as usize).copied().flatten();
                    followed.is_some_and(|(chain, changes)| chain.inserted(character.counter, changes))
                }
            };
            if !is_there {
                return Err(Refusal::UnknownCharacter(counter));
            }
        }
        Ok(())
    }

    /// Lets a judged change count, and returns it for Automerge.
    fn count(&mut self, incoming: &Incoming, judged: Judged) -> Change {
        let Judged { change, follows, stretch } = judged;
        let hash = change.hash().0;
        let inserted = stretch.inserts.iter().filter(|is| **is).count();
        let deleted = stretch.inserts.len() - inserted;
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let edit = Edit {
            op: incoming.op,
            writer: incoming.writer,
            agent: incoming.agent.clone(),
            at: incoming.at,
            inserted: narrow(inserted),
            deleted: narrow(deleted),
        };
        let max_op = stretch.start + stretch.inserts.len() as u64 - 1;
        let counted = Counted { edit, max_op, follows, bytes: Arc::clone(&incoming.change) };
        self.counted.insert(hash, counted);
        let chain = self.chain(incoming.writer);
        chain.stretches.push(stretch);
        chain.last = Some(hash);
        change
    }

    /// Makes the note again after Automerge has failed in it: change by change, in an order that follows from the
    /// changes alone, without those that fail and those that build on them.
    fn remake(&mut self) {
        let mut automerge = genesis::document();
        let order: Vec<Hash> = self.order().into_iter().map(|(hash, _)| hash).collect();
        for hash in order {
            let Some(counted) = self.counted.get(&hash) else { continue };
            let applied = gate::read(&counted.bytes).and_then(|change| {
                if change.deps().iter().any(|dep| self.failed.contains(&dep.0)) {
                    return Err(gate::Refusal::NotApplied);
                }
                let mut next = automerge.clone();
                gate::apply(&mut next, vec![change], |_| ())?;
                Ok(next)
            });
            match applied {
                Ok(next) => automerge = next,
                Err(_) => drop(self.failed.insert(hash)),
            }
        }
        self.counted.retain(|hash, _| !self.failed.contains(hash));
        self.automerge = automerge;
    }

    /// What counts, each change after what it follows, in an order that is the same everywhere.
    fn order(&self) -> Vec<(Hash, &Counted)> {
        let mut order: Vec<(Hash, &Counted)> = self.counted.iter().map(|(hash, counted)| (*hash, counted)).collect();
        order.sort_by_key(|(hash, counted)| (counted.max_op, *hash));
        order
    }

    /// The text.
    pub fn text(&self) -> String {
        self.automerge.text(genesis::text()).unwrap_or_default()
    }

    /// The edits that count, each after what its writer knew of, in an order that is the same everywhere.
    pub fn edits(&self) -> Vec<&Edit> {
        self.order().into_iter().map(|(_, counted)| &counted.edit).collect()
    }

    /// How many changes do not count: they wait for something that they follow, or were refused with their writer.
    pub fn left_out(&self) -> usize {
        self.chains.values().map(|chain| chain.waiting.len() + chain.left_out).sum::<usize>() + self.failed.len()
    }

    /// The text as the author of this edit left it; nothing if the edit does not count.
    pub fn text_after(&self, op: &OpId) -> Option<String> {
        let (hash, _) = self.counted.iter().find(|(_, counted)| counted.edit.op == *op)?;
        self.automerge.text_at(genesis::text(), &[ChangeHash(*hash)]).ok()
    }

    /// BLAKE3 over the hashes of all changes that count: replicas with the same are the same.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 note digest");
        for hash in self.counted.keys() {
            hasher.update(hash);
        }
        *hasher.finalize().as_bytes()
    }

    /// Returns a change of `writer` that deletes `delete` characters at the character `at` and inserts `insert` there,
    /// at most [`MAX_OPS`] of both together. Nothing changes until it is [added](Note::add).
    ///
    /// `at_ms` is the time of the change in milliseconds since 1970; it stands in the change in whole seconds.
    ///
    /// # Errors
    /// If the place is not in the text, or the note would be over a limit.
    pub fn draft(
        &mut self,
        writer: Writer,
        at: usize,
        delete: usize,
        insert: &str,
        at_ms: u64,
    ) -> Result<Vec<u8>, EditError> {
        let length = self.automerge.length(genesis::text());
        if at.checked_add(delete).is_none_or(|end| end > length) {
            return Err(EditError::Place);
        }
        let bug = |error: &dyn std::fmt::Display| EditError::Refused(error.to_string());
        let time = i64::try_from(at_ms / 1000).map_err(|error| bug(&error))?;
        let deleted = isize::try_from(delete).map_err(|error| bug(&error))?;
        let actor = self.chain(writer).actor;
        let mut copy = self.automerge.clone().with_actor(ActorId::from(actor));
        let mut transaction = copy.transaction();
        // Behind what is deleted, so that it stays with what stood around it: what stands before it may have been written
        // by somebody else, and others may have put something there at the same time.
        transaction.splice_text(genesis::text(), at + delete, 0, insert).map_err(|error| bug(&error))?;
        transaction.splice_text(genesis::text(), at, deleted, "").map_err(|error| bug(&error))?;
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        if hash.is_none() {
            return Err(bug(&"it changes nothing"));
        }
        let change = copy.get_last_local_change().ok_or_else(|| bug(&"it made no change"))?;
        let bytes = change.raw_bytes().to_vec();
        match self.judge(&writer, &bytes) {
            Ok(Some(_)) => Ok(bytes),
            Ok(None) => Err(bug(&"it builds on what is not there")),
            Err(Refusal::Full) => Err(EditError::Full),
            Err(refusal) => Err(bug(&refusal)),
        }
    }
}

/// A change that may count.
#[derive(Debug)]
struct Judged {
    change: Change,
    follows: BTreeMap<u32, u64>,
    stretch: Stretch,
}

/// One step of an edit: so many characters deleted and this inserted at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The place, in characters.
    pub at: usize,
    /// How many characters are deleted.
    pub delete: usize,
    /// What is inserted.
    pub insert: String,
}

/// Returns the steps that make `after` of `before`, each small enough for one change. What both begin and end with is
/// left alone.
///
/// # Errors
/// If `after` is too long for a note.
pub fn steps(before: &str, after: &str) -> Result<Vec<Step>, EditError> {
    if after.len() > MAX_TEXT_BYTES {
        return Err(EditError::TooLong);
    }
    let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let shorter = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
    let (mut delete, mut insert) = (old.len() - start - end, &new[start..new.len() - end]);
    if delete == 0 && end > 0 && !insert.is_empty() && (start == 0 || old[start - 1] == '\n') {
        // What comes at the beginning of a line is to stay with that line.
        delete = 1;
        insert = &new[start..new.len() - end + 1];
    }
    let most = usize::try_from(MAX_OPS).unwrap_or(usize::MAX);
    let mut steps = Vec::new();
    if delete + insert.len() <= most {
        if delete + insert.len() > 0 {
            steps.push(Step { at: start, delete, insert: insert.iter().collect() });
        }
        return Ok(steps);
    }
    for (number, chunk) in insert.chunks(most).enumerate() {
        steps.push(Step { at: start + delete + number * most, delete: 0, insert: chunk.iter().collect() });
    }
    while delete > 0 {
        let now = delete.min(most);
        steps.push(Step { at: start, delete: now, insert: String::new() });
        delete -= now;
    }
    Ok(steps)
}
