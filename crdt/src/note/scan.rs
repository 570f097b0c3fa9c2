//! Reads a change of a note without Automerge, within limits, far enough to judge every operation in it.
//!
//! A note is one text. So a change of it has two kinds of operations only: one that inserts a character behind another,
//! and one that deletes a character.

use crate::columns::{Columns, Reference, full, run};
use crate::gate::Refusal;
use crate::runs::{Reader, expand, expand_deltas};
use crate::scan::{Head, Limits, head};

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
    let (head, reader) = head(bytes, Limits { deps: MAX_DEPS, actors: MAX_ACTORS })?;
    let ops = ops(&Columns::read(reader)?)?;
    Ok(Scanned { head, ops })
}

/// Expands the columns, which all must speak of the same number of operations.
fn ops(columns: &Columns<'_>) -> Result<Vec<Op>, Refusal> {
    if !columns.key.is_empty() {
        return Err(Refusal::Unsupported("maps"));
    }
    let actions = columns.actions(MAX_OPS)?;
    let count = actions.len();
    let inserts = flags(columns.insert, count)?;
    check_values(columns, &actions)?;
    let objects = run("objects", expand(columns.object_counter, MAX_OPS, Reader::unsigned))?;
    let objects = references(columns.object_actor, full("objects", objects, count)?)?;
    let objects = full("objects", objects, count)?;
    let keys = references(columns.key_actor, run("keys", expand_deltas(columns.key_counter, MAX_OPS))?)?;
    if keys.len() != count {
        return Err(Refusal::Malformed("keys"));
    }
    let preds = preds(columns, count)?;
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
fn preds(columns: &Columns<'_>, count: usize) -> Result<Vec<Option<Reference>>, Refusal> {
    let counts = columns.pred_counts(count, MAX_OPS)?;
    if counts.iter().any(|&count| count > 1) {
        return Err(Refusal::Unsupported("several predecessors"));
    }
    let total = counts.iter().filter(|&&count| count == 1).count();
    let mut preds = columns.preds(total, MAX_OPS)?.into_iter();
    Ok(counts.into_iter().map(|count| if count == 1 { preds.next() } else { None }).collect())
}

/// Checks that each insertion has one character as its value and each deletion nothing.
fn check_values(columns: &Columns<'_>, actions: &[u64]) -> Result<(), Refusal> {
    let kinds = columns.value_kinds(actions.len(), MAX_OPS)?;
    let mut values = Reader::new(columns.value);
    for (action, kind) in actions.iter().zip(kinds) {
        let bytes = values.take(kind >> 4).ok_or(Refusal::Malformed("values"))?;
        let one_character = || std::str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1);
        match (action, kind & 0x0f) {
            (1, 6) if one_character() => {}
            (3, 0) if bytes.is_empty() => {}
            _ => return Err(Refusal::Unsupported("values other than one character")),
        }
    }
    if values.is_empty() { Ok(()) } else { Err(Refusal::Malformed("values")) }
}

/// Pairs a column of actors with the counters. Without an actor, the counter is 0: the beginning of the text.
fn references(actors: &[u8], counters: Vec<u64>) -> Result<Vec<Option<Reference>>, Refusal> {
    let actors = match actors {
        [] => vec![None; counters.len()],
        actors => run("references", expand(actors, MAX_OPS, Reader::unsigned))?,
    };
    if actors.len() != counters.len() {
        return Err(Refusal::Malformed("references"));
    }
    let pairs = actors.into_iter().zip(counters);
    pairs
        .map(|pair| match pair {
            (None, 0) => Ok(None),
            (Some(actor), counter) if counter > 0 => Ok(Some(Reference { actor, counter })),
            _ => Err(Refusal::Malformed("references")),
        })
        .collect()
}

/// Expands a column of truth values: the lengths of runs, in turn of no and of yes.
fn flags(column: &[u8], count: usize) -> Result<Vec<bool>, Refusal> {
    let mut reader = Reader::new(column);
    let (mut flags, mut flag) = (Vec::with_capacity(count), false);
    while !reader.is_empty() {
        let run = reader.unsigned().ok_or(Refusal::Malformed("inserts"))?;
        let room = (count - flags.len()) as u64;
        if run > room || (run == 0 && !flags.is_empty()) {
            return Err(Refusal::Malformed("inserts"));
        }
        flags.extend((0..run).map(|_| flag));
        flag = !flag;
    }
    if flags.len() == count { Ok(flags) } else { Err(Refusal::Malformed("inserts")) }
}
