//! Reads a change of a note without Automerge, within limits, far enough to judge every operation in it.
//!
//! A note is one text. So a change of it has two kinds of operations only: one that inserts a character behind another,
//! and one that deletes a character.

use crate::gate::Refusal as Malformed;
use crate::runs::{Reader, RunError, expand, expand_deltas};
use crate::scan::{self, Head, Limits, Reference, full};

use super::Refusal;
use super::limits::{MAX_ACTORS, MAX_DEPS, MAX_OPS};

/// What a change of a note says, borrowed from its bytes.
#[derive(Debug)]
pub(crate) struct Scanned<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) ops: Vec<Op>,
}

/// One operation on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op {
    /// The text.
    pub(crate) object: Reference,
    /// What it does there.
    pub(crate) action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Puts a character behind this one, or at the beginning.
    Insert(Option<Reference>),
    /// Removes this character.
    Delete(Reference),
}

/// Reads `bytes` as one change of a note.
///
/// # Errors
/// Refuses what is no uncompressed change, over a limit, malformed, or more than insertions and deletions.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scanned<'_>, Refusal> {
    let (head, mut reader) = scan::head(bytes, Limits { deps: MAX_DEPS, actors: MAX_ACTORS })?;
    let columns = Columns::read(&mut reader)?;
    if !reader.is_empty() {
        return Err(Malformed::ExtraBytes.into());
    }
    let ops = columns.ops()?;
    Ok(Scanned { head, ops })
}

/// The columns of a change by their meaning; one that is absent is empty.
#[derive(Debug, Default)]
struct Columns<'a> {
    object_actor: &'a [u8],
    object_counter: &'a [u8],
    key_actor: &'a [u8],
    key_counter: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_kind: &'a [u8],
    value: &'a [u8],
    pred_count: &'a [u8],
    pred_actor: &'a [u8],
    pred_counter: &'a [u8],
}

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Refusal> {
        let mut columns = Self::default();
        for (specification, data) in scan::layout(reader)? {
            let column = match specification {
                0x01 => &mut columns.object_actor,
                0x02 => &mut columns.object_counter,
                0x11 => &mut columns.key_actor,
                0x13 => &mut columns.key_counter,
                0x34 => &mut columns.insert,
                0x42 => &mut columns.action,
                0x56 => &mut columns.value_kind,
                0x57 => &mut columns.value,
                0x70 => &mut columns.pred_count,
                0x71 => &mut columns.pred_actor,
                0x73 => &mut columns.pred_counter,
                0x15 => return Err(Refusal::Unsupported("maps")),
                0x94 | 0xa5 => return Err(Refusal::Unsupported("marks")),
                unknown => return Err(Malformed::UnknownColumn(unknown).into()),
            };
            *column = data;
        }
        Ok(columns)
    }

    /// Expands the columns, which all must speak of the same number of operations.
    fn ops(&self) -> Result<Vec<Op>, Refusal> {
        let actions = run("actions", expand(self.action, MAX_OPS, Reader::unsigned))?;
        let count = actions.len();
        if count == 0 {
            return Err(Malformed::NoOps.into());
        }
        let actions = full("actions", actions, count)?;
        let inserts = flags(self.insert, count)?;
        self.check_values(&actions)?;
        let objects = run("objects", expand(self.object_counter, MAX_OPS, Reader::unsigned))?;
        let objects = references(self.object_actor, full("objects", objects, count)?)?;
        let objects = full("objects", objects, count)?;
        let keys = references(self.key_actor, run("keys", expand_deltas(self.key_counter, MAX_OPS))?)?;
        if keys.len() != count {
            return Err(Malformed::Malformed("keys").into());
        }
        let preds = self.preds(count)?;
        let mut ops = Vec::with_capacity(count);
        for at in 0..count {
            let action = match (actions[at], inserts[at], preds[at], keys[at]) {
                (1, true, None, key) => Action::Insert(key),
                // Only the insertion itself ever stands at a character, so that is what a deletion replaces.
                (3, false, Some(pred), Some(key)) if pred == key => Action::Delete(key),
                _ => return Err(Refusal::Unsupported("operations other than inserting and deleting characters")),
            };
            ops.push(Op { object: objects[at], action });
        }
        Ok(ops)
    }

    /// The predecessor of each operation, of which there is one at most.
    fn preds(&self, count: usize) -> Result<Vec<Option<Reference>>, Refusal> {
        let counts = run("predecessors", expand(self.pred_count, MAX_OPS, Reader::unsigned))?;
        let counts = full("predecessors", counts, count)?;
        if counts.iter().any(|&count| count > 1) {
            return Err(Refusal::Unsupported("several predecessors"));
        }
        let total = counts.iter().filter(|&&count| count == 1).count();
        let actors = run("predecessors", expand(self.pred_actor, MAX_OPS, Reader::unsigned))?;
        let actors = full("predecessors", actors, total)?;
        let counters = run("predecessors", expand_deltas(self.pred_counter, MAX_OPS))?;
        if counters.len() != total {
            return Err(Malformed::Malformed("predecessors").into());
        }
        let mut preds = actors.into_iter().zip(counters).map(|(actor, counter)| Reference { actor, counter });
        Ok(counts.into_iter().map(|count| if count == 1 { preds.next() } else { None }).collect())
    }

    /// Checks that each insertion has one character as its value and each deletion nothing.
    fn check_values(&self, actions: &[u64]) -> Result<(), Refusal> {
        let kinds = run("values", expand(self.value_kind, MAX_OPS, Reader::unsigned))?;
        let kinds = full("values", kinds, actions.len())?;
        let mut values = Reader::new(self.value);
        for (action, kind) in actions.iter().zip(kinds) {
            let bytes = values.take(kind >> 4).ok_or(Malformed::Malformed("values"))?;
            let one_character = || std::str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1);
            match (action, kind & 0x0f) {
                (1, 6) if one_character() => {}
                (3, 0) if bytes.is_empty() => {}
                _ => return Err(Refusal::Unsupported("values other than one character")),
            }
        }
        if values.is_empty() { Ok(()) } else { Err(Malformed::Malformed("values").into()) }
    }
}

/// Pairs a column of actors with the counters. Without an actor, the counter is 0: the beginning of the text.
fn references(actors: &[u8], counters: Vec<u64>) -> Result<Vec<Option<Reference>>, Refusal> {
    let actors = match actors {
        [] => vec![None; counters.len()],
        actors => run("references", expand(actors, MAX_OPS, Reader::unsigned))?,
    };
    if actors.len() != counters.len() {
        return Err(Malformed::Malformed("references").into());
    }
    let pairs = actors.into_iter().zip(counters);
    pairs
        .map(|pair| match pair {
            (None, 0) => Ok(None),
            (Some(actor), counter) if counter > 0 => Ok(Some(Reference { actor, counter })),
            _ => Err(Malformed::Malformed("references").into()),
        })
        .collect()
}

/// Expands a column of truth values: the lengths of runs, in turn of no and of yes.
fn flags(column: &[u8], count: usize) -> Result<Vec<bool>, Refusal> {
    let mut reader = Reader::new(column);
    let (mut flags, mut flag) = (Vec::with_capacity(count), false);
    while !reader.is_empty() {
        let run = reader.unsigned().ok_or(Malformed::Malformed("inserts"))?;
        let room = (count - flags.len()) as u64;
        if run > room || (run == 0 && !flags.is_empty()) {
            return Err(Malformed::Malformed("inserts").into());
        }
        flags.extend((0..run).map(|_| flag));
        flag = !flag;
    }
    if flags.len() == count { Ok(flags) } else { Err(Malformed::Malformed("inserts").into()) }
}

/// Names the column that a run error is about.
fn run<T>(column: &'static str, result: Result<T, RunError>) -> Result<T, Refusal> {
    result.map_err(|error| match error {
        RunError::TooMany => Refusal::TooManyOps,
        RunError::Malformed => Malformed::Malformed(column).into(),
    })
}
