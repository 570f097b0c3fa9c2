//! The columns that the operations of a change stand in, by their meaning.
//!
//! Both scans read them here: those of maps and those of texts differ in what they let the columns say.

use crate::gate::Refusal;
use crate::runs::{Reader, RunError, expand, expand_deltas};

/// Names an operation as a change spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    /// 0 for the writer, `n` for the n-th of [`Head::others`](crate::scan::Head::others).
    pub(crate) actor: u64,
    /// The counter of the operation.
    pub(crate) counter: u64,
}

/// Reads the columns of a change: each with its specification, in order.
///
/// # Errors
/// If they end early or are out of order.
fn layout<'a>(reader: &mut Reader<'a>) -> Result<Vec<(u64, &'a [u8])>, Refusal> {
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
pub(crate) struct Columns<'a> {
    pub(crate) object_actor: &'a [u8],
    pub(crate) object_counter: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) key_actor: &'a [u8],
    pub(crate) key_counter: &'a [u8],
    pub(crate) insert: &'a [u8],
    pub(crate) action: &'a [u8],
    pub(crate) value_kind: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) pred_count: &'a [u8],
    pub(crate) pred_actor: &'a [u8],
    pub(crate) pred_counter: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Reads the columns, which must be all that is left.
    ///
    /// # Errors
    /// If they are malformed, out of order or unknown.
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, Refusal> {
        let mut columns = Self::default();
        for (specification, data) in layout(&mut reader)? {
            let column = match specification {
                0x01 => &mut columns.object_actor,
                0x02 => &mut columns.object_counter,
                0x11 => &mut columns.key_actor,
                0x13 => &mut columns.key_counter,
                0x15 => &mut columns.key,
                0x34 => &mut columns.insert,
                0x42 => &mut columns.action,
                0x56 => &mut columns.value_kind,
                0x57 => &mut columns.value,
                0x70 => &mut columns.pred_count,
                0x71 => &mut columns.pred_actor,
                0x73 => &mut columns.pred_counter,
                0x94 | 0xa5 => return Err(Refusal::Unsupported("marks")),
                unknown => return Err(Refusal::UnknownColumn(unknown)),
            };
            *column = data;
        }
        if reader.is_empty() { Ok(columns) } else { Err(Refusal::ExtraBytes) }
    }

    /// What each operation does, of which there are `most` at most and one at least.
    ///
    /// # Errors
    /// If there are none, or too many.
    pub(crate) fn actions(&self, most: u64) -> Result<Vec<u64>, Refusal> {
        let actions = run("actions", expand(self.action, most, Reader::unsigned))?;
        match actions.len() {
            0 => Err(Refusal::NoOps),
            count => full("actions", actions, count),
        }
    }

    /// How many predecessors each of `count` operations has, of which there are `most` at most.
    ///
    /// # Errors
    /// If the column says it of another number of operations.
    pub(crate) fn pred_counts(&self, count: usize, most: u64) -> Result<Vec<u64>, Refusal> {
        let counts = run("predecessors", expand(self.pred_count, most, Reader::unsigned))?;
        full("predecessors", counts, count)
    }

    /// The predecessors of all operations together: `total`, and `most` at most.
    ///
    /// # Errors
    /// If there are more or fewer.
    pub(crate) fn preds(&self, total: usize, most: u64) -> Result<Vec<Reference>, Refusal> {
        let many = |error| match error {
            RunError::TooMany => Refusal::TooManyPreds,
            RunError::Malformed => Refusal::Malformed("predecessors"),
        };
        let actors = expand(self.pred_actor, most, Reader::unsigned).map_err(many)?;
        let actors = full("predecessors", actors, total)?;
        let counters = expand_deltas(self.pred_counter, most).map_err(many)?;
        if counters.len() != total {
            return Err(Refusal::Malformed("predecessors"));
        }
        let pairs = actors.into_iter().zip(counters);
        Ok(pairs.map(|(actor, counter)| Reference { actor, counter }).collect())
    }

    /// The kind of value of each of `count` operations, of which there are `most` at most: its type in the lowest four
    /// bits, above them its length.
    ///
    /// # Errors
    /// If the column says it of another number of operations.
    pub(crate) fn value_kinds(&self, count: usize, most: u64) -> Result<Vec<u64>, Refusal> {
        let kinds = run("values", expand(self.value_kind, most, Reader::unsigned))?;
        full("values", kinds, count)
    }
}

/// Names the column that a run error is about.
pub(crate) fn run<T>(column: &'static str, result: Result<T, RunError>) -> Result<T, Refusal> {
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
