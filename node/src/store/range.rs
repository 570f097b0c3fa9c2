//! Ops that another node wants, in this node's order of arrival.
//!
//! Within one log the order of arrival is the order of the log. So a few logs are merged by their next positions, and
//! of many logs the stretch of positions that they lie in is walked once. Either way an answer costs what it returns
//! and not what came before it, else catching up would be quadratic.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use fedp2p_core::store::{Placed, ReadOutcome};
use fedp2p_protocols::id::ConversationId;
use fedp2p_protocols::sync::Want;
use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use super::row;

/// Up to this many logs are merged.
const MAX_MERGED: usize = 64;

/// What is still wanted of one log.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    log: i64,
    seq: u64,
    height: u64,
    /// Position of the entry at `seq`.
    first: u64,
    /// Position of the entry at `height`.
    last: u64,
}

/// Collects ops until there are enough.
#[derive(Debug)]
struct Page {
    ops: Vec<Placed>,
    bytes: usize,
    max_bytes: usize,
}

impl Page {
    /// Takes an op; says whether it fitted. The first always does, so that every answer gets further.
    fn take(&mut self, op: Placed) -> bool {
        let bytes = self.bytes + op.op.bytes().len();
        if bytes > self.max_bytes && !self.ops.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.ops.push(op);
        true
    }
}

/// Answers [`Read::Range`](fedp2p_core::store::Read::Range).
pub(super) fn read(
    conn: &Connection,
    conversation: &ConversationId,
    wants: &[Want],
    after: u64,
    max_bytes: usize,
) -> Result<ReadOutcome, Fault> {
    let stretches = stretches(conn, conversation, wants, after)?;
    let mut page = Page { ops: Vec::new(), bytes: 0, max_bytes };
    let complete = if stretches.len() <= MAX_MERGED {
        merge(conn, &stretches, after, &mut page)?
    } else {
        walk(conn, &stretches, after, &mut page)?
    };
    Ok(ReadOutcome::Range { ops: page.ops, complete })
}

/// Returns the position of one entry of a log.
pub(super) fn position(conn: &Connection, log: i64, seq: u64) -> Result<Option<u64>, Fault> {
    // A peer may ask for any number; one that SQLite cannot hold is not there.
    let Ok(seq) = i64::try_from(seq) else {
        return Ok(None);
    };
    let found = conn
        .prepare_cached("SELECT position FROM ops WHERE log_ref = ? AND seq = ?")?
        .query_row((log, seq), |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// As [`position`], for an entry that has to be there.
fn known_position(conn: &Connection, log: i64, seq: u64) -> Result<u64, Fault> {
    position(conn, log, seq)?.ok_or_else(|| Fault::Damaged(format!("a log lacks its entry {seq}")))
}

/// Returns what is left of the wanted logs; those of other conversations are nobody's to ask for here.
fn stretches(
    conn: &Connection,
    conversation: &ConversationId,
    wants: &[Want],
    after: u64,
) -> Result<Vec<Stretch>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT ref, height FROM logs WHERE author = ? AND log = ? AND conversation = ?")?;
    // A log that is named twice is wanted from the lower place on.
    let mut wanted: HashMap<i64, Stretch> = HashMap::new();
    for want in wants {
        let names = (want.key.author.as_bytes(), want.key.log.as_bytes(), conversation.as_bytes());
        let found = statement.query_row(names, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((log, height)) = found else { continue };
        let seq = want.from.max(1);
        if seq > height || wanted.get(&log).is_some_and(|other| other.seq <= seq) {
            continue;
        }
        let stretch = Stretch {
            log,
            seq,
            height,
            first: known_position(conn, log, seq)?,
            last: known_position(conn, log, height)?,
        };
        wanted.insert(log, stretch);
    }
    let mut left: Vec<_> = wanted.into_values().filter(|stretch| stretch.last > after).collect();
    left.sort_unstable_by_key(|stretch| stretch.first);
    Ok(left)
}

/// Returns the first entry of a stretch after a position, by halving.
fn skip(conn: &Connection, stretch: &Stretch, after: u64) -> Result<(u64, u64), Fault> {
    if stretch.first > after {
        return Ok((stretch.seq, stretch.first));
    }
    // The entry at `low` is not after the position, the one at `high` is.
    let (mut low, mut high, mut found) = (stretch.seq, stretch.height, stretch.last);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let position = known_position(conn, stretch.log, middle)?;
        if position > after {
            (high, found) = (middle, position);
        } else {
            low = middle;
        }
    }
    Ok((high, found))
}

fn merge(conn: &Connection, stretches: &[Stretch], after: u64, page: &mut Page) -> Result<bool, Fault> {
    let mut next = BinaryHeap::with_capacity(stretches.len());
    for (index, stretch) in stretches.iter().enumerate() {
        let (seq, position) = skip(conn, stretch, after)?;
        next.push(Reverse((position, index, seq)));
    }
    while let Some(Reverse((position, index, seq))) = next.pop() {
        if !page.take(row::at(conn, position)?) {
            return Ok(false);
        }
        let stretch = &stretches[index];
        if seq < stretch.height {
            let position = known_position(conn, stretch.log, seq + 1)?;
            next.push(Reverse((position, index, seq + 1)));
        }
    }
    Ok(true)
}

fn walk(conn: &Connection, stretches: &[Stretch], after: u64, page: &mut Page) -> Result<bool, Fault> {
    let from: HashMap<i64, u64> = stretches.iter().map(|s| (s.log, s.seq)).collect();
    let first = stretches.iter().map(|s| s.first).min().unwrap_or(0);
    let last = stretches.iter().map(|s| s.last).max().unwrap_or(0);
    // Only what is wanted gets its payload read: the rest is skipped by its first columns.
    let mut statement =
        conn.prepare_cached("SELECT position, log_ref, seq FROM ops WHERE position BETWEEN ? AND ? ORDER BY position")?;
    let mut rows = statement.query((first.max(after + 1), last))?;
    while let Some(row) = rows.next()? {
        let (position, log, seq): (u64, i64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let wanted = from.get(&log).is_some_and(|from| seq >= *from);
        if wanted && !page.take(row::at(conn, position)?) {
            return Ok(false);
        }
    }
    Ok(true)
}
