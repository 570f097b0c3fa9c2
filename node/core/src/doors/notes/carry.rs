//! What a forked log must not take from notes.
//!
//! Where a log is proven to fork, it counts only up to there. Whoever has built an edit on something behind that place,
//! or has written it there itself, carries it on: the whole signed op, in an entry of its own. So the edit counts again, and
//! everybody sees the same. Every note that the log touched is looked through once the proof is known, and again after a
//! restart, as the process may have died over it.

use fedp2p_crdt::note::For;
use fedp2p_protocols::name::NoteName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::payload::{self, Brings};
use fedp2p_protocols::sync::{LogKey, Want};

use super::super::Then;
use crate::Core;
use crate::author::{Entries, note_index};
use crate::store::{Placed, Read};

/// How much of a log is looked through at once.
const LOOK_BYTES: usize = 256 * 1024;

impl Core {
    /// Looks which notes have something from behind the place where a log forked.
    pub(crate) fn find_void_edits(&mut self, key: LogKey, seq: u64, after: u64) {
        let read = Read::Range {
            conversation: self.lobby,
            wants: vec![Want { key, from: seq }],
            after,
            max_bytes: LOOK_BYTES,
        };
        self.read(read, Then::Void { key, seq });
    }

    pub(crate) fn void_read(&mut self, key: LogKey, seq: u64, ops: &[Placed], complete: bool) {
        self.notes.suspects.extend(ops.iter().filter_map(|placed| note_index(&placed.op)));
        match ops.last() {
            Some(last) if !complete => self.find_void_edits(key, seq, last.position),
            Some(_) | None => self.look_through(None),
        }
    }

    /// Looks through the next note that may lack something, when this one is `done`.
    pub(super) fn look_through(&mut self, done: Option<&NoteName>) {
        if done.is_some_and(|name| !self.notes.suspects.remove(name)) {
            return;
        }
        while let Some(name) = self.notes.suspects.first().cloned() {
            if !self.notes.has(&name) {
                // The others come when this one was read.
                self.read_note(&name);
                return;
            }
            // It was put together since, and looked through then.
            self.notes.suspects.remove(&name);
        }
    }

    /// Carries on what a note lacks.
    pub(super) fn carry_edits(&mut self, name: &NoteName, whom: For) {
        let Some(held) = self.notes.held.get(name) else { return };
        let lacks = held.note.lacks(&held.void, whom);
        if lacks.is_empty() {
            return;
        }
        let ops: Vec<Vec<u8>> = lacks.into_iter().map(|at| held.void_ops[at].clone()).collect();
        let (mut entries, lobby) = (Entries::default(), self.lobby);
        let count = ops.len();
        for op in ops {
            let payload = payload::Note { name: name.clone(), brings: Brings::Carried(op) }.encode();
            match self.append(&mut entries, lobby, Kind::Note, None, &payload) {
                Ok(op) => self.note_written(name, &op),
                Err(error) => self.notice(format!("an edit of the note {name} could not be carried on: {error}")),
            }
        }
        self.commit_entries(entries);
        self.notes.wrote(name, self.commits);
        self.notice(format!("carried on {count} edits of the note {name}, whose log has forked"));
    }
}
