//! The gate of a note: whether a change may count, from its bytes and what it follows alone.

use std::collections::{BTreeMap, BTreeSet};

use automerge::Change;

use super::limits::MAX_COUNTER;
use super::scan::{self, Action, Op, Scanned};
use super::{Counted, Hash, Note, Refusal, Writer, genesis};
use crate::columns::Reference;
use crate::gate::{self, MAX_TIME};

/// How many changes of each line something follows.
pub(super) type Past = BTreeMap<u32, u32>;

/// Which counters of a change are insertions.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) inserts: Vec<bool>,
}

impl Stretch {
    /// Whether the `counter` is an insertion.
    fn has(&self, counter: u64) -> bool {
        let at = counter.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.inserts.get(at)).is_some_and(|is| *is)
    }

    /// How many characters it inserts.
    pub(super) fn inserted(&self) -> u64 {
        self.inserts.iter().filter(|is| **is).count() as u64
    }

    /// How many it deletes.
    pub(super) fn deleted(&self) -> u64 {
        self.inserts.len() as u64 - self.inserted()
    }

    /// The highest counter.
    pub(super) fn end(&self) -> u64 {
        self.start + self.inserts.len() as u64 - 1
    }
}

/// A change that may count.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) change: Change,
    pub(super) actor: [u8; 16],
    pub(super) past: Past,
    pub(super) stretch: Stretch,
}

/// What the gate says of a change that breaks no rule.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may count.
    Good(Box<Judged>),
    /// It follows this, which does not count yet.
    Missing(Hash),
}

impl Note {
    /// Takes a change through the gate, up to what Automerge says.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(super) fn judge(&self, writer: &Writer, bytes: &[u8]) -> Result<Verdict, Refusal> {
        let scanned = scan::scan(bytes)?;
        let head = &scanned.head;
        if head.actor != self.id.actor(writer, head.around) {
            return Err(gate::Refusal::WrongActor.into());
        }
        if head.seq != 1 {
            return Err(gate::Refusal::Sequence { expected: 1, found: head.seq }.into());
        }
        let deps: BTreeSet<&Hash> = head.deps.iter().collect();
        if deps.len() != head.deps.len() {
            return Err(gate::Refusal::DuplicateDep.into());
        }
        if deps.is_empty() {
            return Err(Refusal::NotNext);
        }
        let (mut past, mut max_op) = (Past::new(), genesis::OPS);
        for dep in deps.into_iter().filter(|dep| **dep != genesis::hash().0) {
            if self.failed.contains(dep) {
                return Err(Refusal::Unfounded);
            }
            let Some(counted) = self.counting(dep) else { return Ok(Verdict::Missing(*dep)) };
            max_op = max_op.max(counted.max_op);
            for (line, changes) in &counted.past {
                let known = past.entry(*line).or_default();
                *known = (*known).max(*changes);
            }
        }
        self.check_head(&scanned, &past, max_op)?;
        self.check_ops(&scanned)?;
        let change = gate::parse(bytes)?;
        let inserts = scanned.ops.iter().map(|op| matches!(op.action, Action::Insert(_))).collect();
        let mut actor = [0; 16];
        actor.copy_from_slice(head.actor);
        let stretch = Stretch { start: head.start_op, inserts };
        Ok(Verdict::Good(Box::new(Judged { change, actor, past, stretch })))
    }

    fn check_head(&self, scanned: &Scanned<'_>, past: &Past, max_op: u64) -> Result<(), Refusal> {
        let head = &scanned.head;
        if head.start_op != max_op + 1 {
            return Err(gate::Refusal::StartOp { expected: max_op + 1, found: head.start_op }.into());
        }
        if max_op + scanned.ops.len() as u64 >= MAX_COUNTER {
            return Err(gate::Refusal::CounterTooHigh.into());
        }
        if !(0..MAX_TIME).contains(&head.time) {
            return Err(gate::Refusal::Time.into());
        }
        let distinct: BTreeSet<&[u8]> = head.others.iter().copied().collect();
        let known =
            |actor: &[u8]| actor == genesis::ACTOR || self.by_actor(actor).is_some_and(|counted| counted.is_in(past));
        if distinct.len() != head.others.len() || !distinct.into_iter().all(known) {
            return Err(gate::Refusal::UnknownActor.into());
        }
        Ok(())
    }

    /// The change of this actor, if it counts.
    fn by_actor(&self, actor: &[u8]) -> Option<&Counted> {
        let actor: &[u8; 16] = actor.try_into().ok()?;
        self.counting(self.actors.get(actor)?)
    }

    /// Checks every operation; the actors that it names were checked before.
    fn check_ops(&self, scanned: &Scanned<'_>) -> Result<(), Refusal> {
        let others = &scanned.head.others;
        let other = |reference: &Reference| reference.actor.checked_sub(1).and_then(|at| others.get(at as usize));
        let start = scanned.head.start_op;
        let before: Vec<Option<&Counted>> = others.iter().map(|actor| self.by_actor(actor)).collect();
        for (at, Op { object, action }) in scanned.ops.iter().enumerate() {
            let counter = start + at as u64;
            if object.counter != genesis::OPS || other(object).is_none_or(|actor| **actor != genesis::ACTOR) {
                return Err(Refusal::OtherObject(counter));
            }
            let (Action::Insert(Some(character)) | Action::Delete(character)) = action else { continue };
            let is_there = match character.actor.checked_sub(1) {
                // Its own, and written earlier.
                None => {
                    let here = character.counter.checked_sub(start).and_then(|here| usize::try_from(here).ok());
                    here.is_some_and(|here| here < at && matches!(scanned.ops[here].action, Action::Insert(_)))
                }
                Some(other) => {
                    let counted = usize::try_from(other).ok().and_then(|other| before.get(other).copied().flatten());
                    counted.is_some_and(|counted| counted.stretch.has(character.counter))
                }
            };
            if !is_there {
                return Err(Refusal::UnknownCharacter(counter));
            }
        }
        Ok(())
    }
}
