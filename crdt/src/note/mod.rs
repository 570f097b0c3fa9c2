//! A note: one named text that every member of a conversation may edit, all at once.
//!
//! A note is an Automerge document with one text in it. It starts from one constant change ([`genesis`]) and grows by
//! changes that travel as signed ops. A writer is one log of one node; the actor of a change is a hash of the note, of
//! its writer and of everything that the change says, so nobody writes in another's name, and no two changes share one:
//! what both sides of a forked log say can stand in one text.
//!
//! # Which changes count
//!
//! A change counts if everything that it follows counts, the [gate](self#the-gate) lets it in, and it stands in a log that
//! counts. There each change of the note follows the one before it, and the first that is refused ends what counts of that
//! log in this note. A change that does not count where it stands, because its log forked before it, can be
//! carried on by an entry of any log that counts. Then it counts if a change that counts follows it, or if its own
//! node carries it on, in whatever order. [`Note::lacks`] says what to carry on, so that nothing is lost that a member in good faith has built on
//! something that turned out to stand on one side of a fork.
//!
//! All of this is a function of the entries that count, in whatever order they come. One bad writer spoils what it writes
//! itself; honest nodes never build on what their own gate refused.
//!
//! # The gate
//!
//! 1. Size, chunk kind, shape of the columns, limits; only insertions of single characters and deletions (`scan`).
//! 2. The actor is the only possible one; everything that the change follows counts; the first counter is the only
//!    possible one; the time is sane.
//! 3. Every operation is on the text and names a character that was inserted by something that the change follows.
//! 4. Automerge reads it; the checksum is right; encoding it again gives the same bytes.
//! 5. Automerge applies it. No change is known that comes so far and fails here; should there be one, the note is made
//!    again change by change, in an order that follows from the changes alone, without those that fail.
//!
//! Nothing is ever forgotten of a note, so it can be shown as it was after any edit; [`limits`] says how much that can
//! become.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use automerge::{Automerge, Change, ChangeHash, ReadDoc};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};
use fedp2p_protocols::name::{AgentName, NoteName};

mod carry;
mod chain;
mod edit;
mod gate;
pub mod genesis;
pub mod limits;
mod scan;

use carry::{Carried, Carrier};
use chain::Chain;
use gate::{Judged, Past, Stretch, Verdict};
use limits::MAX_OPS;

pub use carry::For;
pub use edit::{EditError, Step, steps};

/// Why a change of a note does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// For a reason that holds for changes of all documents.
    #[error(transparent)]
    Change(crate::gate::Refusal),
    /// More than [`MAX_OPS`] operations.
    #[error("a change of a note has at most {MAX_OPS} operations")]
    TooManyOps,
    /// The log has written or carried on all that it may.
    #[error("this log has written as much into this note as one may")]
    Full,
    /// It does not follow the change before in its log.
    #[error("does not follow the change before in its log")]
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

impl From<crate::gate::Refusal> for Refusal {
    fn from(refusal: crate::gate::Refusal) -> Self {
        // The limit is another for notes.
        if refusal == crate::gate::Refusal::TooManyOps { Self::TooManyOps } else { Self::Change(refusal) }
    }
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
    /// Returns the Automerge actor of a change, of which `around` is all that its chunk holds before and after the
    /// actor: the first 16 bytes of BLAKE3 in key derivation mode, with the context `fedp2p/1 note`, over conversation,
    /// node, log, the length of the name in one byte, the name, and both parts.
    pub fn actor(&self, writer: &Writer, around: [&[u8]; 2]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 note");
        hasher.update(self.conversation.as_bytes());
        hasher.update(writer.node.as_bytes());
        hasher.update(writer.log.as_bytes());
        let name = self.name.as_str().as_bytes();
        hasher.update(&[u8::try_from(name.len()).unwrap_or(u8::MAX)]);
        hasher.update(name);
        for part in around {
            hasher.update(part);
        }
        let mut actor = [0; 16];
        actor.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        actor
    }
}

/// A change as it arrived.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The op that its writer signed.
    pub op: OpId,
    /// Who wrote it.
    pub writer: Writer,
    /// The agent in whose name.
    pub agent: Option<AgentName>,
    /// When, in milliseconds since 1970 by the writer's clock.
    pub at: u64,
    /// The change.
    pub change: Arc<[u8]>,
    /// The log that carries it on; nothing if it counts in its writer's.
    pub by: Option<Writer>,
}

/// One edit that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The op that its writer signed, which names it.
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
    stretch: Stretch,
    /// Changes of a writer that follow each other are a line, numbered from 1.
    line: u32,
    number: u32,
    /// How many changes of each line it follows, itself included.
    past: Past,
    bytes: Arc<[u8]>,
}

impl Counted {
    /// Whether it is among what something with this past follows.
    fn is_in(&self, past: &Past) -> bool {
        past.get(&self.line).is_some_and(|changes| *changes >= self.number)
    }
}

/// Something that may go on once a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// The first that waits in a chain.
    Chain(Writer),
    /// A change that is carried on.
    Carried(Hash),
}

/// What came of adding changes.
#[derive(Debug, Default)]
struct Outcome {
    /// What counts now, each after what it follows.
    counted: Vec<Change>,
    refused: Vec<(OpId, Refusal)>,
}

/// A replica of a note.
#[derive(Debug, Clone)]
pub struct Note {
    id: NoteId,
    automerge: Automerge,
    counted: BTreeMap<Hash, Arc<Counted>>,
    /// The change of each actor.
    actors: BTreeMap<[u8; 16], Hash>,
    /// How long each line is.
    lines: Vec<u32>,
    lines_of: BTreeMap<Writer, Vec<u32>>,
    chains: BTreeMap<Writer, Chain>,
    /// What is carried on.
    carried: BTreeMap<Hash, Carried>,
    /// How much each log has carried on.
    carriers: BTreeMap<Writer, Carrier>,
    /// What waits for a change.
    waits: BTreeMap<Hash, Vec<Task>>,
    /// Changes on which Automerge failed.
    failed: BTreeSet<Hash>,
}

impl Note {
    /// Returns the note that nobody has written to.
    pub fn new(id: NoteId) -> Self {
        Self {
            id,
            automerge: genesis::document(),
            counted: BTreeMap::new(),
            actors: BTreeMap::new(),
            lines: Vec::new(),
            lines_of: BTreeMap::new(),
            chains: BTreeMap::new(),
            carried: BTreeMap::new(),
            carriers: BTreeMap::new(),
            waits: BTreeMap::new(),
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

    /// Takes changes in, those of each log in its order, and returns which ops were refused, and why.
    ///
    /// Whoever calls has checked who wrote them, and gives what each entry brings once.
    pub fn add(&mut self, changes: impl IntoIterator<Item = Incoming>) -> Vec<(OpId, Refusal)> {
        let mut outcome = Outcome::default();
        for incoming in changes {
            let mut tasks = self.enter(incoming, &mut outcome);
            while let Some(task) = tasks.pop() {
                let more = match task {
                    Task::Chain(id) => self.progress(id, &mut outcome),
                    Task::Carried(hash) => self.carry(hash, &mut outcome),
                };
                tasks.extend(more);
            }
        }
        let Outcome { counted, refused } = outcome;
        if !counted.is_empty() && crate::gate::apply(&mut self.automerge, counted, |_| ()).is_err() {
            self.remake();
        }
        refused
    }

    /// Puts a change where it waits for its turn, and returns what may go on.
    fn enter(&mut self, incoming: Incoming, outcome: &mut Outcome) -> Vec<Task> {
        if let Some(by) = incoming.by {
            return match self.carrying(by, &incoming) {
                Ok(task) => task.into_iter().collect(),
                Err(refusal) => {
                    outcome.refused.push((incoming.op, refusal));
                    Vec::new()
                }
            };
        }
        let log = incoming.writer;
        let chain = self.chains.entry(log).or_default();
        if chain.is_full() {
            chain.left_out += 1;
            outcome.refused.push((incoming.op, Refusal::Full));
            return Vec::new();
        }
        chain.waiting.push_back(incoming);
        if chain.waiting.len() == 1 { vec![Task::Chain(log)] } else { Vec::new() }
    }

    /// Names a change that counts by the first op that brings it: there can be several, by the same writer.
    fn name(&mut self, hash: &Hash, incoming: &Incoming) {
        if let Some(counted) = self.counted.get_mut(hash).filter(|counted| incoming.op < counted.edit.op) {
            let edit = &mut Arc::make_mut(counted).edit;
            (edit.op, edit.agent, edit.at) = (incoming.op, incoming.agent.clone(), incoming.at);
        }
    }

    /// Lets in what can be let in of one chain, and returns what may go on then.
    fn progress(&mut self, id: Writer, outcome: &mut Outcome) -> Vec<Task> {
        let mut tasks = Vec::new();
        while let Some(chain) = self.chains.get(&id) {
            let Some(incoming) = chain.waiting.front().cloned() else { break };
            let verdict = chain.refused.clone().map_or_else(|| self.judge_next(id, &incoming), Err);
            let verdict = match verdict {
                Ok(Verdict::Missing(hash)) => {
                    self.wait(hash, Task::Chain(id), &mut tasks);
                    break;
                }
                Ok(Verdict::Good(judged)) => Ok(judged),
                Err(refusal) => Err(refusal),
            };
            let Some(chain) = self.chains.get_mut(&id) else { break };
            chain.waiting.pop_front();
            match verdict {
                Ok(judged) => {
                    chain.advance(&judged);
                    tasks.extend(self.count(&incoming, *judged, outcome));
                }
                Err(refusal) => {
                    outcome.refused.push((incoming.op, refusal.clone()));
                    chain.refused = Some(refusal);
                    chain.left_out += 1;
                }
            }
        }
        tasks
    }

    /// The change with this hash, if it counts.
    fn counting(&self, hash: &Hash) -> Option<&Counted> {
        self.counted.get(hash).map(|counted| &**counted)
    }

    /// Judges the next change of a chain.
    fn judge_next(&self, id: Writer, incoming: &Incoming) -> Result<Verdict, Refusal> {
        let verdict = self.judge(&incoming.writer, &incoming.change)?;
        if let (Verdict::Good(judged), Some(chain)) = (&verdict, self.chains.get(&id)) {
            chain.check(judged, |hash| self.counting(hash))?;
        }
        Ok(verdict)
    }

    /// Lets a task wait for a change, which may be carried on already.
    fn wait(&mut self, hash: Hash, task: Task, tasks: &mut Vec<Task>) {
        let waiting = self.waits.entry(hash).or_default();
        if waiting.contains(&task) {
            return;
        }
        waiting.push(task);
        if self.carried.contains_key(&hash) {
            tasks.push(Task::Carried(hash));
        }
    }

    /// Lets a judged change count, and returns what waited for it.
    fn count(&mut self, incoming: &Incoming, judged: Judged, outcome: &mut Outcome) -> Vec<Task> {
        let Judged { change, actor, mut past, stretch } = judged;
        let hash = change.hash().0;
        if self.counted.contains_key(&hash) {
            self.name(&hash, incoming);
            return Vec::new();
        }
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let edit = Edit {
            op: incoming.op,
            writer: incoming.writer,
            agent: incoming.agent.clone(),
            at: incoming.at,
            inserted: narrow(stretch.inserted()),
            deleted: narrow(stretch.deleted()),
        };
        let (line, number) = self.line(incoming.writer, &past);
        past.insert(line, number);
        let bytes = Arc::clone(&incoming.change);
        let counted = Counted { edit, max_op: stretch.end(), stretch, line, number, past, bytes };
        self.counted.insert(hash, Arc::new(counted));
        if let Some(carried) = self.carried.get(&hash).cloned() {
            self.name(&hash, &carried.incoming);
        }
        self.actors.insert(actor, hash);
        outcome.counted.push(change);
        self.waits.remove(&hash).unwrap_or_default()
    }

    /// Finds the line that a change of this writer with this past goes on with, and its number there.
    fn line(&mut self, writer: Writer, past: &Past) -> (u32, u32) {
        let lines = self.lines_of.entry(writer).or_default();
        let length = |line: u32| self.lines.get(line as usize).copied().unwrap_or_default();
        let goes_on = lines.iter().copied().find(|line| past.get(line).copied().unwrap_or_default() == length(*line));
        let line = goes_on.unwrap_or_else(|| {
            let line = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
            lines.push(line);
            line
        });
        if line as usize == self.lines.len() {
            self.lines.push(0);
        }
        let length = &mut self.lines[line as usize];
        *length += 1;
        (line, *length)
    }

    /// Makes the note again after Automerge has failed in it: change by change, in an order that follows from the
    /// changes alone, without those that fail and those that build on them.
    fn remake(&mut self) {
        let mut automerge = genesis::document();
        let order: Vec<Hash> = self.order().into_iter().map(|(hash, _)| hash).collect();
        for hash in order {
            let Some(counted) = self.counted.get(&hash) else { continue };
            let applied = crate::gate::read(&counted.bytes).and_then(|change| {
                if change.deps().iter().any(|dep| self.failed.contains(&dep.0)) {
                    return Err(crate::gate::Refusal::NotApplied);
                }
                let mut next = automerge.clone();
                crate::gate::apply(&mut next, vec![change], |_| ())?;
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
        let mut order: Vec<(Hash, &Counted)> = self.counted.iter().map(|(hash, counted)| (*hash, &**counted)).collect();
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

    /// The last of [`edits`](Note::edits).
    pub fn last_edit(&self) -> Option<&Edit> {
        let last = self.counted.iter().max_by_key(|(hash, counted)| (counted.max_op, **hash));
        last.map(|(_, counted)| &counted.edit)
    }

    /// How many edits count.
    pub fn len(&self) -> usize {
        self.counted.len()
    }

    /// How many changes do not count: they wait for something that they follow, or were refused with their log.
    pub fn left_out(&self) -> usize {
        let chains: usize = self.chains.values().map(|chain| chain.waiting.len() + chain.left_out).sum();
        chains + self.carried_in_vain().count() + self.failed.len()
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
}
