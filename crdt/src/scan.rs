//! Reads a change chunk without Automerge, within limits, far enough to judge every operation in it.
//!
//! The gate calls it first, on bytes that nobody has checked. Automerge expands run lengths without any bound, so
//! it sees a change only after this scan has counted what the change would expand to.

use fedp2p_protocols::limits::{
    MAX_CHANGE_ACTORS, MAX_CHANGE_BYTES, MAX_CHANGE_DEPS, MAX_CHANGE_MESSAGE_BYTES, MAX_CHANGE_OPS, MAX_CHANGE_PREDS,
};

use crate::columns::{Columns, Reference, full, run};
use crate::gate::Refusal;
use crate::runs::{Reader, expand};

/// The first bytes of every Automerge chunk.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// The kind of chunk that holds one uncompressed change.
const CHANGE_CHUNK: u8 = 1;

/// How much the head of a change may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) deps: usize,
    pub(crate) actors: usize,
}

/// What a change chunk says before its operations, borrowed from its bytes.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The hashes of the changes it follows.
    pub(crate) deps: Vec<[u8; 32]>,
    /// Who wrote it.
    pub(crate) actor: &'a [u8],
    /// Its number among the changes of that actor.
    pub(crate) seq: u64,
    /// The counter of its first operation.
    pub(crate) start_op: u64,
    /// When it was written, in the writer's words.
    pub(crate) time: i64,
    /// The other actors that its operations refer to.
    pub(crate) others: Vec<&'a [u8]>,
    /// Everything that it says before and after the name of its actor.
    pub(crate) around: [&'a [u8]; 2],
}

/// What a change chunk says, borrowed from its bytes.
#[derive(Debug)]
pub(crate) struct Scanned<'a> {
    /// What it says before its operations.
    pub(crate) head: Head<'a>,
    /// Its operations.
    pub(crate) ops: Vec<Op<'a>>,
    /// The predecessors of all operations, in order.
    preds: Vec<Reference>,
}

impl<'a> Scanned<'a> {
    /// The operations, each with its predecessors.
    pub(crate) fn ops(&self) -> impl Iterator<Item = (&Op<'a>, &[Reference])> {
        self.ops.iter().map(|op| (op, &self.preds[op.preds.clone()]))
    }
}

/// One operation on a map.
#[derive(Debug)]
pub(crate) struct Op<'a> {
    /// The map; nothing for the root.
    pub(crate) object: Option<Reference>,
    /// The key in that map.
    pub(crate) key: &'a str,
    /// What happens there.
    pub(crate) action: Action,
    preds: std::ops::Range<usize>,
}

/// What an operation does at its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Puts an empty map.
    MakeMap,
    /// Puts a scalar.
    Put,
    /// Removes its predecessors.
    Delete,
}

/// Reads `bytes` as one change chunk.
///
/// # Errors
/// Refuses what is no uncompressed change, over a limit, malformed, or more than operations on maps.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scanned<'_>, Refusal> {
    let (head, reader) = head(bytes, Limits { deps: MAX_CHANGE_DEPS, actors: MAX_CHANGE_ACTORS })?;
    let (ops, preds) = ops(&Columns::read(reader)?)?;
    Ok(Scanned { head, ops, preds })
}

/// Reads the head of the change chunk that `bytes` must be, and returns it with the reader before the columns.
///
/// # Errors
/// Refuses what is no uncompressed change, over a limit or malformed.
pub(crate) fn head(bytes: &[u8], limits: Limits) -> Result<(Head<'_>, Reader<'_>), Refusal> {
    let contents = chunk(bytes)?;
    let mut reader = Reader::new(contents);
    let deps = deps(&mut reader, limits.deps)?;
    let before = &contents[..contents.len() - reader.remaining().len()];
    let actor = actor(&mut reader)?;
    let around = [before, reader.remaining()];
    let seq = reader.unsigned().ok_or(Refusal::Malformed("seq"))?;
    let start_op = reader.unsigned().ok_or(Refusal::Malformed("start op"))?;
    let time = reader.signed().ok_or(Refusal::Malformed("time"))?;
    let message = reader.text().ok_or(Refusal::Malformed("message"))?;
    if message.len() > MAX_CHANGE_MESSAGE_BYTES {
        return Err(Refusal::MessageTooLong);
    }
    let others = others(&mut reader, limits.actors)?;
    Ok((Head { deps, actor, seq, start_op, time, others, around }, reader))
}

/// Returns the contents of the one change chunk that `bytes` must be.
fn chunk(bytes: &[u8]) -> Result<&[u8], Refusal> {
    if bytes.len() > MAX_CHANGE_BYTES {
        return Err(Refusal::TooLarge(bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    if reader.take(4) != Some(&MAGIC) {
        return Err(Refusal::NotAutomerge);
    }
    reader.take(4).ok_or(Refusal::Malformed("checksum"))?;
    let kind = reader.take(1).ok_or(Refusal::Malformed("chunk kind"))?[0];
    if kind != CHANGE_CHUNK {
        return Err(Refusal::NotAChange(kind));
    }
    let length = reader.unsigned().ok_or(Refusal::Malformed("chunk length"))?;
    let contents = reader.take(length).ok_or(Refusal::Malformed("chunk length"))?;
    if !reader.is_empty() {
        return Err(Refusal::ExtraBytes);
    }
    Ok(contents)
}

fn deps(reader: &mut Reader<'_>, most: usize) -> Result<Vec<[u8; 32]>, Refusal> {
    let count = reader.unsigned().ok_or(Refusal::Malformed("deps"))?;
    if count > most as u64 {
        return Err(Refusal::TooManyDeps(count));
    }
    (0..count)
        .map(|_| reader.take(32).and_then(|hash| hash.try_into().ok()))
        .collect::<Option<_>>()
        .ok_or(Refusal::Malformed("deps"))
}

fn actor<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    let length = reader.unsigned().ok_or(Refusal::Malformed("actor"))?;
    reader.take(length).ok_or(Refusal::Malformed("actor"))
}

fn others<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Vec<&'a [u8]>, Refusal> {
    let count = reader.unsigned().ok_or(Refusal::Malformed("other actors"))?;
    if count > most as u64 {
        return Err(Refusal::TooManyActors(count));
    }
    (0..count).map(|_| actor(reader)).collect()
}

/// Expands the columns, which all must speak of the same number of operations on maps.
fn ops<'a>(columns: &Columns<'a>) -> Result<(Vec<Op<'a>>, Vec<Reference>), Refusal> {
    if !columns.key_actor.is_empty() || !columns.key_counter.is_empty() {
        return Err(Refusal::Unsupported("lists and texts"));
    }
    let actions = columns.actions(MAX_CHANGE_OPS)?;
    let count = actions.len();
    let pred_counts = pred_counts(columns, count)?;
    let preds = columns.preds(pred_counts.iter().sum(), MAX_CHANGE_PREDS)?;
    check_insert(columns.insert, count)?;
    let actions = check_actions(columns, actions)?;
    let objects = objects(columns, count)?;
    let keys = run("keys", expand(columns.key, MAX_CHANGE_OPS, Reader::text))?;
    let keys = full("keys", keys, count)?;

    let mut first = 0;
    let ops = actions.into_iter().zip(objects).zip(keys).zip(pred_counts);
    let ops = ops.map(|(((action, object), key), preds)| {
        let range = first..first + preds;
        first = range.end;
        Op { object, key, action, preds: range }
    });
    Ok((ops.collect(), preds))
}

fn pred_counts(columns: &Columns<'_>, count: usize) -> Result<Vec<usize>, Refusal> {
    let counts = columns.pred_counts(count, MAX_CHANGE_OPS)?;
    let total = counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
    if total.is_none_or(|total| total > MAX_CHANGE_PREDS) {
        return Err(Refusal::TooManyPreds);
    }
    // Each is at most the total, which is small.
    Ok(counts.into_iter().map(|n| n as usize).collect())
}

/// The column is one run of "no" over all operations, or something is inserted in a list.
fn check_insert(column: &[u8], count: usize) -> Result<(), Refusal> {
    let mut reader = Reader::new(column);
    match reader.unsigned() {
        Some(n) if n == count as u64 && reader.is_empty() => Ok(()),
        Some(_) => Err(Refusal::Unsupported("lists and texts")),
        None => Err(Refusal::Malformed("inserts")),
    }
}

fn objects(columns: &Columns<'_>, count: usize) -> Result<Vec<Option<Reference>>, Refusal> {
    if columns.object_actor.is_empty() && columns.object_counter.is_empty() {
        return Ok(vec![None; count]);
    }
    let actors = run("objects", expand(columns.object_actor, MAX_CHANGE_OPS, Reader::unsigned))?;
    let counters = run("objects", expand(columns.object_counter, MAX_CHANGE_OPS, Reader::unsigned))?;
    if actors.len() != count || counters.len() != count {
        return Err(Refusal::Malformed("objects"));
    }
    let pairs = actors.into_iter().zip(counters);
    pairs
        .map(|pair| match pair {
            (None, None) => Ok(None),
            (Some(actor), Some(counter)) => Ok(Some(Reference { actor, counter })),
            _ => Err(Refusal::Malformed("objects")),
        })
        .collect()
}

/// Checks that each operation is one on maps and that its value fits it.
fn check_actions(columns: &Columns<'_>, actions: Vec<u64>) -> Result<Vec<Action>, Refusal> {
    let kinds = columns.value_kinds(actions.len(), MAX_CHANGE_OPS)?;
    let bytes = kinds.iter().try_fold(0u64, |sum, kind| sum.checked_add(kind >> 4));
    if bytes != Some(columns.value.len() as u64) {
        return Err(Refusal::Malformed("values"));
    }
    let pairs = actions.into_iter().zip(kinds);
    pairs
        .map(|(action, kind)| match (action, kind & 0x0f) {
            (0, 0) => Ok(Action::MakeMap),
            // Null, booleans, numbers, text, bytes and times; counters and unknown kinds are not.
            (1, 0..=7 | 9) => Ok(Action::Put),
            (3, 0) => Ok(Action::Delete),
            (0 | 3, _) => Err(Refusal::Malformed("values")),
            (1, _) => Err(Refusal::Unsupported("counters and unknown values")),
            (2 | 4, _) => Err(Refusal::Unsupported("lists and texts")),
            (5, _) => Err(Refusal::Unsupported("counters and unknown values")),
            _ => Err(Refusal::Unsupported("unknown actions")),
        })
        .collect()
}
