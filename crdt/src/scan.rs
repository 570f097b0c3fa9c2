//! Reads a change chunk without Automerge, within limits, far enough to judge every operation in it.
//!
//! The gate calls it first, on bytes that nobody has checked. Automerge expands run lengths without any bound, so
//! it sees a change only after this scan has counted what the change would expand to.

use fedp2p_protocols::limits::{
    MAX_CHANGE_ACTORS, MAX_CHANGE_BYTES, MAX_CHANGE_DEPS, MAX_CHANGE_MESSAGE_BYTES, MAX_CHANGE_OPS, MAX_CHANGE_PREDS,
};

use crate::gate::Refusal;
use crate::runs::{Reader, RunError, expand, expand_deltas};

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

/// Names an operation as the change spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    /// 0 for the writer, `n` for the n-th of [`Scanned::others`].
    pub(crate) actor: u64,
    /// The counter of the operation.
    pub(crate) counter: u64,
}

/// Reads `bytes` as one change chunk.
///
/// # Errors
/// Refuses what is no uncompressed change, over a limit, malformed, or more than operations on maps.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scanned<'_>, Refusal> {
    let (head, mut reader) = head(bytes, Limits { deps: MAX_CHANGE_DEPS, actors: MAX_CHANGE_ACTORS })?;
    let columns = Columns::read(&mut reader)?;
    if !reader.is_empty() {
        return Err(Refusal::ExtraBytes);
    }
    let (ops, preds) = columns.ops()?;
    Ok(Scanned { head, ops, preds })
}

/// Reads the head of the change chunk that `bytes` must be, and returns it with the reader before the columns.
///
/// # Errors
/// Refuses what is no uncompressed change, over a limit or malformed.
pub(crate) fn head(bytes: &[u8], limits: Limits) -> Result<(Head<'_>, Reader<'_>), Refusal> {
    let mut reader = Reader::new(chunk(bytes)?);
    let deps = deps(&mut reader, limits.deps)?;
    let actor = actor(&mut reader)?;
    let seq = reader.unsigned().ok_or(Refusal::Malformed("seq"))?;
    let start_op = reader.unsigned().ok_or(Refusal::Malformed("start op"))?;
    let time = reader.signed().ok_or(Refusal::Malformed("time"))?;
    let message = reader.text().ok_or(Refusal::Malformed("message"))?;
    if message.len() > MAX_CHANGE_MESSAGE_BYTES {
        return Err(Refusal::MessageTooLong);
    }
    let others = others(&mut reader, limits.actors)?;
    Ok((Head { deps, actor, seq, start_op, time, others }, reader))
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

/// Reads the columns of a change: each with its specification, in order.
///
/// # Errors
/// If they end early or are out of order.
pub(crate) fn layout<'a>(reader: &mut Reader<'a>) -> Result<Vec<(u64, &'a [u8])>, Refusal> {
    let count = reader.unsigned().ok_or(Refusal::Malformed("columns"))?;
    let mut lengths: Vec<(u64, u64)> = Vec::new();
    for _ in 0..count {
        let specification = reader.unsigned().ok_or(Refusal::Malformed("columns"))?;
        let length = reader.unsigned().ok_or(Refusal::Malformed("columns"))?;
        if lengths.last().is_some_and(|&(last, _)| last >= specification) {
            return Err(Refusal::Malformed("order of columns"));
        }
        lengths.push((specification, length));
    }
    let data = |(specification, length)| Some((specification, reader.take(length)?));
    lengths.into_iter().map(data).collect::<Option<_>>().ok_or(Refusal::Malformed("columns"))
}

/// The columns of a change by their meaning; one that is absent is empty.
#[derive(Debug, Default)]
struct Columns<'a> {
    object_actor: &'a [u8],
    object_counter: &'a [u8],
    key: &'a [u8],
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
        for (specification, data) in layout(reader)? {
            let column = match specification {
                0x01 => &mut columns.object_actor,
                0x02 => &mut columns.object_counter,
                0x15 => &mut columns.key,
                0x34 => &mut columns.insert,
                0x42 => &mut columns.action,
                0x56 => &mut columns.value_kind,
                0x57 => &mut columns.value,
                0x70 => &mut columns.pred_count,
                0x71 => &mut columns.pred_actor,
                0x73 => &mut columns.pred_counter,
                0x11 | 0x13 => return Err(Refusal::Unsupported("lists and texts")),
                0x94 | 0xa5 => return Err(Refusal::Unsupported("marks")),
                unknown => return Err(Refusal::UnknownColumn(unknown)),
            };
            *column = data;
        }
        Ok(columns)
    }

    /// Expands the columns, which all must speak of the same number of operations.
    fn ops(&self) -> Result<(Vec<Op<'a>>, Vec<Reference>), Refusal> {
        let actions = run("actions", expand(self.action, MAX_CHANGE_OPS, Reader::unsigned))?;
        let count = actions.len();
        if count == 0 {
            return Err(Refusal::NoOps);
        }
        let pred_counts = self.pred_counts(count)?;
        let preds = self.preds(pred_counts.iter().sum())?;
        self.check_insert(count)?;
        let actions = self.actions(actions)?;
        let objects = self.objects(count)?;
        let keys = run("keys", expand(self.key, MAX_CHANGE_OPS, Reader::text))?;
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

    fn pred_counts(&self, count: usize) -> Result<Vec<usize>, Refusal> {
        let counts = run("predecessors", expand(self.pred_count, MAX_CHANGE_OPS, Reader::unsigned))?;
        let counts = full("predecessors", counts, count)?;
        let total = counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
        if total.is_none_or(|total| total > MAX_CHANGE_PREDS) {
            return Err(Refusal::TooManyPreds);
        }
        // Each is at most the total, which is small.
        Ok(counts.into_iter().map(|n| n as usize).collect())
    }

    fn preds(&self, total: usize) -> Result<Vec<Reference>, Refusal> {
        let many = |error| match error {
            RunError::TooMany => Refusal::TooManyPreds,
            RunError::Malformed => Refusal::Malformed("predecessors"),
        };
        let actors = expand(self.pred_actor, MAX_CHANGE_PREDS, Reader::unsigned).map_err(many)?;
        let actors = full("predecessors", actors, total)?;
        let counters = expand_deltas(self.pred_counter, MAX_CHANGE_PREDS).map_err(many)?;
        if counters.len() != total {
            return Err(Refusal::Malformed("predecessors"));
        }
        let pairs = actors.into_iter().zip(counters);
        Ok(pairs.map(|(actor, counter)| Reference { actor, counter }).collect())
    }

    /// The column is one run of "no" over all operations, or something is inserted in a list.
    fn check_insert(&self, count: usize) -> Result<(), Refusal> {
        let mut reader = Reader::new(self.insert);
        match reader.unsigned() {
            Some(n) if n == count as u64 && reader.is_empty() => Ok(()),
            Some(_) => Err(Refusal::Unsupported("lists and texts")),
            None => Err(Refusal::Malformed("inserts")),
        }
    }

    fn objects(&self, count: usize) -> Result<Vec<Option<Reference>>, Refusal> {
        if self.object_actor.is_empty() && self.object_counter.is_empty() {
            return Ok(vec![None; count]);
        }
        let actors = run("objects", expand(self.object_actor, MAX_CHANGE_OPS, Reader::unsigned))?;
        let counters = run("objects", expand(self.object_counter, MAX_CHANGE_OPS, Reader::unsigned))?;
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
    fn actions(&self, actions: Vec<Option<u64>>) -> Result<Vec<Action>, Refusal> {
        let kinds = run("values", expand(self.value_kind, MAX_CHANGE_OPS, Reader::unsigned))?;
        let kinds = full("values", kinds, actions.len())?;
        let actions = full("actions", actions, kinds.len())?;
        let bytes = kinds.iter().try_fold(0u64, |sum, kind| sum.checked_add(kind >> 4));
        if bytes != Some(self.value.len() as u64) {
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
}

/// Names the column that a run error is about.
fn run<T>(column: &'static str, result: Result<T, RunError>) -> Result<T, Refusal> {
    result.map_err(|error| match error {
        RunError::TooMany => Refusal::TooManyOps,
        RunError::Malformed => Refusal::Malformed(column),
    })
}

/// Takes a column that must have exactly `count` entries, none of them absent.
pub(crate) fn full<V>(column: &'static str, entries: Vec<Option<V>>, count: usize) -> Result<Vec<V>, Refusal> {
    if entries.len() != count {
        return Err(Refusal::Malformed(column));
    }
    entries.into_iter().collect::<Option<_>>().ok_or(Refusal::Malformed(column))
}
