//! Rows become domain types here, and nowhere else.
//!
//! A row is trusted as little as a peer: it is decoded in full and its id is compared, because a disk can lie too. Only
//! the signature is not checked again; [`verify`](super::verify) does that for all at once.

use std::sync::Arc;

use fedp2p_core::store::Placed;
use fedp2p_protocols::id::{LogId, NodeId, OpId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::{Op, Verified};
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Fault;

/// The columns that [`placed`] reads, of a table `ops` with the alias `o`.
pub(super) const OP_COLUMNS: &str = "o.position, o.id, o.header, o.signature, o.payload";

/// Returns the op of a row that starts with [`OP_COLUMNS`].
pub(super) fn placed(row: &Row<'_>) -> Result<Placed, Fault> {
    let position: u64 = row.get(0)?;
    let op = decode(position, row)?;
    Ok(Placed { position, op: Arc::new(Verified::from_store(op)) })
}

/// Returns the op of a row that starts with [`OP_COLUMNS`], as nothing more than well formed.
pub(super) fn decode(position: u64, row: &Row<'_>) -> Result<Op, Fault> {
    let op =
        Op::from_parts(blob(row, 2)?, blob(row, 3)?, blob(row, 4)?).map_err(|error| Fault::entry(position, error))?;
    if op.id().as_bytes().as_slice() != blob(row, 1)? {
        return Err(Fault::entry(position, "its id is not the hash of its header"));
    }
    Ok(op)
}

fn blob<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a [u8], Fault> {
    let value = row.get_ref(index)?;
    value.as_blob().map_err(|_| Fault::Damaged(format!("column {index} of an entry is not a blob")))
}

/// Returns the op at `position`.
///
/// # Errors
/// If there is none: callers have the position from another table.
pub(super) fn at(conn: &Connection, position: u64) -> Result<Placed, Fault> {
    let mut statement = conn
        .prepare_cached("SELECT o.position, o.id, o.header, o.signature, o.payload FROM ops o WHERE o.position = ?")?;
    let mut rows = statement.query([position])?;
    match rows.next()? {
        Some(row) => placed(row),
        None => Err(Fault::entry(position, "it is missing")),
    }
}

/// Returns the position of the op with this id, if it is stored.
pub(super) fn position(conn: &Connection, id: &OpId) -> Result<Option<u64>, Fault> {
    let found = conn
        .prepare_cached("SELECT position FROM ops WHERE substr(id, 1, 8) = ? AND id = ?")?
        .query_row((id_prefix(id.as_bytes()), id.as_bytes()), |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// Returns the part of an id that the index holds.
pub(super) fn id_prefix(id: &[u8]) -> &[u8] {
    &id[..id.len().min(8)]
}

/// Reads a node id.
pub(super) fn node(row: &Row<'_>, index: usize) -> rusqlite::Result<NodeId> {
    row.get(index).map(NodeId::from_bytes)
}

/// Reads an op id.
pub(super) fn op_id(row: &Row<'_>, index: usize) -> rusqlite::Result<OpId> {
    row.get(index).map(OpId::from_bytes)
}

/// Reads an author and a log from two columns.
pub(super) fn key(row: &Row<'_>, index: usize) -> rusqlite::Result<LogKey> {
    Ok(LogKey { author: node(row, index)?, log: row.get(index + 1).map(LogId::from_bytes)? })
}

/// Reads a node and an agent's name from two columns.
pub(super) fn agent(row: &Row<'_>, index: usize) -> Result<AgentId, Fault> {
    Ok(AgentId { node: node(row, index)?, name: name(&row.get::<_, String>(index + 1)?)? })
}

fn name(text: &str) -> Result<AgentName, Fault> {
    text.parse().map_err(|_| Fault::Damaged("a stored agent has no valid name".to_owned()))
}

/// Returns the number by which other tables name the log with this key, if it is known.
pub(super) fn log_number(conn: &Connection, key: &LogKey) -> Result<Option<i64>, Fault> {
    let found = conn
        .prepare_cached("SELECT ref FROM logs WHERE author = ? AND log = ?")?
        .query_row((key.author.as_bytes(), key.log.as_bytes()), |row| row.get(0))
        .optional()?;
    Ok(found)
}
