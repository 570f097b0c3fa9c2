//! The notes at hand.
//!
//! A note is put together from what is stored when somebody asks for it, and a few are kept at hand. What comes while
//! one is being read is added to it then, so that nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fedp2p_crdt::note::{For, Incoming, Note, NoteId, Refusal, Writer};
use fedp2p_protocols::api::{Answer, Caller, Error, ErrorCode, Request, watch};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::NoteName;
use fedp2p_protocols::op::{Header, Kind, Op, Verified, verify};
use fedp2p_protocols::payload::{self, Brings};
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use super::super::Then;
use super::super::resolve::agent_name;
use crate::author::note_index;
use crate::commit::{Origin, Written, storage_refusal};
use crate::effect::Effect;
use crate::input::CallId;
use crate::store::{Read, StoreError};
use crate::{Core, key_of};

/// How many notes are kept at hand.
pub(crate) const MAX_NOTES: usize = 16;
/// How many calls wait for one note.
pub(crate) const MAX_WAITING: usize = 64;

/// A note at hand.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) note: Note,
    /// Up to which entry it has each log. What was read may come again: the store can be ahead of what the core was told.
    upto: BTreeMap<LogKey, u64>,
    /// What this node has of it that does not count where it stands, and the ops that say so.
    pub(super) void: Vec<Incoming>,
    pub(super) void_ops: Vec<Vec<u8>>,
    /// When it was used last, counting uses.
    used: u64,
    /// The commit with the last edit of this node; until that is durable, the store does not have it.
    own: u64,
}

impl Held {
    /// Whether an entry was not taken in before; from now on it was.
    fn is_new(&mut self, op: &Verified) -> bool {
        let upto = self.upto.entry(key_of(op)).or_default();
        let new = op.header().seq > *upto;
        *upto = op.header().seq.max(*upto);
        new
    }
}

/// A note that is being read.
#[derive(Debug, Default)]
struct Reading {
    calls: Vec<(CallId, Caller, Request)>,
    /// What came meanwhile.
    came: Vec<Arc<Verified>>,
}

/// The notes at hand, and those that are being read.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(super) held: BTreeMap<NoteName, Held>,
    reading: BTreeMap<NoteName, Reading>,
    uses: u64,
    /// Own entries that are not durable yet.
    unsaved: Vec<Arc<Verified>>,
    /// Notes that have to be looked through for what is to be carried on, one after the other.
    pub(super) suspects: BTreeSet<NoteName>,
}

impl Notes {
    /// Forgets what is at hand: something that is stored no longer counts.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// Forgets what is at hand: something that counted was not stored.
    pub(crate) fn lose(&mut self) {
        self.held.clear();
        self.unsaved.clear();
    }

    /// How many notes are at hand.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The most calls that wait for one note.
    pub(crate) fn waiting(&self) -> usize {
        self.reading.values().map(|reading| reading.calls.len()).max().unwrap_or(0)
    }

    /// Whether a note is at hand.
    pub(super) fn has(&self, name: &NoteName) -> bool {
        self.held.contains_key(name)
    }

    /// A note that is at hand.
    pub(super) fn note(&self, name: &NoteName) -> Option<&Note> {
        self.held.get(name).map(|held| &held.note)
    }

    /// A note is used.
    pub(super) fn touch(&mut self, name: &NoteName) {
        self.uses += 1;
        if let Some(held) = self.held.get_mut(name) {
            held.used = self.uses;
        }
    }

    /// A note, if it is at hand, takes in what an entry brings that counts, and says what it refuses.
    fn take_in(&mut self, name: &NoteName, op: &Verified, incoming: Incoming) -> Vec<(OpId, Refusal)> {
        let held = self.held.get_mut(name).and_then(|held| held.is_new(op).then_some(held));
        held.map(|held| held.note.add([incoming])).unwrap_or_default()
    }

    /// This node has written to a note, in this commit.
    pub(super) fn wrote(&mut self, name: &NoteName, commit: u64) {
        if let Some(held) = self.held.get_mut(name) {
            held.own = commit;
        }
    }

    /// Makes room for one more. A note with an edit that is not durable yet has to stay.
    fn make_room(&mut self, durable: u64) {
        while self.held.len() >= MAX_NOTES {
            let free = self.held.iter().filter(|(_, held)| held.own <= durable);
            let Some(oldest) = free.min_by_key(|(_, held)| held.used).map(|(name, _)| name.clone()) else { return };
            self.held.remove(&oldest);
        }
    }
}

/// What an entry brings to a note.
struct Brought {
    incoming: Incoming,
    /// The op that its writer signed, if the entry does not count where it stands.
    void: Option<Vec<u8>>,
}

impl Core {
    /// A call waits for a note to be read.
    pub(super) fn note_wanted(
        &mut self,
        name: NoteName,
        id: CallId,
        caller: Caller,
        request: Request,
    ) -> Result<(), Error> {
        self.read_note(&name);
        let reading = self.notes.reading.entry(name).or_default();
        if reading.calls.len() >= MAX_WAITING {
            return Err(Error::new(ErrorCode::Busy, "too many calls wait for this note").hint("try again"));
        }
        reading.calls.push((id, caller, request));
        Ok(())
    }

    /// Reads a note, unless it is being read.
    pub(super) fn read_note(&mut self, name: &NoteName) {
        if !self.notes.reading.contains_key(name) {
            self.notes.reading.insert(name.clone(), Reading::default());
            self.read(Read::Note { conversation: self.lobby, name: name.clone() }, Then::Note(name.clone()));
        }
    }

    /// The edits of a note were read.
    pub(crate) fn note_read(&mut self, name: &NoteName, ops: &[Arc<Verified>]) {
        let Some(reading) = self.notes.reading.remove(name) else { return };
        let read: BTreeSet<OpId> = ops.iter().map(|op| op.id()).collect();
        self.notes.unsaved.retain(|op| !read.contains(&op.id()));
        let unsaved = self.notes.unsaved.iter().filter(|op| note_index(op).as_ref() == Some(name));
        let later = reading.came.iter().filter(|op| !read.contains(&op.id())).chain(unsaved);
        let note = Note::new(NoteId { conversation: self.lobby, name: name.clone() });
        let (upto, void, void_ops) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut held = Held { note, upto, void, void_ops, used: self.notes.uses, own: 0 };
        let mut counts = Vec::new();
        for op in ops.iter().chain(later) {
            let Some(Brought { incoming, void }) = self.brought(op).filter(|_| held.is_new(op)) else { continue };
            match void {
                None => counts.push(incoming),
                Some(op) => {
                    held.void.push(incoming);
                    held.void_ops.push(op);
                }
            }
        }
        // What was refused was told of when it came.
        drop(held.note.add(counts));
        let durable = self.commits - self.in_flight.len() as u64;
        self.notes.make_room(durable);
        self.notes.held.insert(name.clone(), held);
        self.carry_edits(name, For::Node(self.me()));
        for (id, caller, request) in reading.calls {
            if let Err(error) = self.note_call(id, caller, request) {
                self.effect(Effect::Reply(id, Answer::Error(error)));
            }
        }
        self.look_through(Some(name));
    }

    pub(crate) fn note_unread(&mut self, name: &NoteName, error: &StoreError) {
        let Some(reading) = self.notes.reading.remove(name) else { return };
        for (id, ..) in reading.calls {
            self.effect(Effect::Reply(id, Answer::Error(storage_refusal(error))));
        }
        // Whoever asks for it next has it looked through.
        self.look_through(Some(name));
    }

    /// What an entry brings to a note: its author's change, or one that it carries on.
    fn brought(&self, op: &Verified) -> Option<Brought> {
        let counts = self.logs.get(&key_of(op)).is_none_or(|log| log.counts(op.header().seq));
        let said = payload::Note::decode(op.payload()).ok()?;
        let (mut incoming, carried) = match said.brings {
            Brings::Change(change) => (incoming(op, change), None),
            Brings::Carried(bytes) => {
                let inner = verify(Op::decode(&bytes).ok()?).ok()?;
                let header = inner.header();
                if header.network != self.network || header.conversation != self.lobby || header.kind != Kind::Note {
                    return None;
                }
                let of = payload::Note::decode(inner.payload()).ok().filter(|of| of.name == said.name)?;
                let Brings::Change(change) = of.brings else { return None };
                (incoming(&inner, change), Some(bytes))
            }
        };
        if counts {
            incoming.by = carried.map(|_| writer(op.header()));
            return Some(Brought { incoming, void: None });
        }
        Some(Brought { incoming, void: Some(carried.unwrap_or_else(|| op.bytes().to_vec())) })
    }

    /// An own entry has been written: the note at hand has it before it is durable.
    pub(super) fn note_written(&mut self, name: &NoteName, op: &Arc<Verified>) {
        self.notes.unsaved.push(Arc::clone(op));
        let Some(Brought { incoming, .. }) = self.brought(op) else { return };
        for (_, refusal) in self.notes.take_in(name, op, incoming) {
            self.notice(format!("an edit of this node was left out of the note {name}: {refusal}"));
        }
    }

    /// An edit is durable here.
    pub(crate) fn note_stored(&mut self, written: &Written) {
        let op = &written.op;
        let Ok(said) = payload::Note::decode(op.payload()) else { return };
        let own = written.origin == Origin::Own;
        if own {
            self.notes.unsaved.retain(|unsaved| unsaved.id() != op.id());
        }
        if let Some(reading) = self.notes.reading.get_mut(&said.name) {
            reading.came.push(Arc::clone(op));
        }
        let Some(Brought { incoming, .. }) = self.brought(op) else { return };
        let by = AgentId { node: incoming.writer.node, name: agent_name(incoming.agent.as_ref()) };
        let version = incoming.op;
        // The note at hand has an own entry since it was written.
        for (_, refusal) in self.notes.take_in(&said.name, op, incoming) {
            let name = self.members.display(&op.header().author);
            self.notice(format!("an edit of {name} was left out of the note {}: {refusal}", said.name));
        }
        self.tell(watch::Event::Note { name: said.name, by: self.address(&by), version });
    }
}

fn writer(header: &Header) -> Writer {
    Writer { node: header.author, log: header.log }
}

fn incoming(op: &Verified, change: Vec<u8>) -> Incoming {
    let header = op.header();
    Incoming {
        op: op.id(),
        writer: writer(header),
        agent: header.agent.clone(),
        at: header.hlc.milliseconds(),
        change: change.into(),
        by: None,
    }
}
