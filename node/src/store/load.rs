//! Reads what the core starts with.
//!
//! It has to be quick whatever the length of the history: heights come from the table of logs, document changes
//! through an index that holds nothing else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedp2p_core::input::{Stored, StoredFork, StoredLog, StoredTicket};
use fedp2p_core::pin::Pin;
use fedp2p_protocols::id::{ConversationId, NodeId};
use fedp2p_protocols::op::Verified;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, Rows};

use super::database::RememberedPeer;
use super::fault::Fault;
use super::{meta, row};

/// How long an expired ticket is still known, so that its late user is told what happened.
const TICKET_MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads everything.
pub(super) fn stored(conn: &Connection) -> Result<Stored, Fault> {
    let snapshot = conn.unchecked_transaction()?;
    Ok(Stored {
        logs: logs(&snapshot)?,
        position: snapshot.query_row("SELECT coalesce(max(position), 0) FROM ops", (), |row| row.get(0))?,
        members: all(&snapshot, "SELECT chain FROM members ORDER BY node", column)?,
        changes: current_changes(&snapshot)?,
        tickets: tickets(&snapshot)?,
        pin: meta::get::<[u8; Pin::BYTES]>(&snapshot, meta::Key::Pin)?.map(|pin| Pin::decode(&pin)),
        reaches: all(&snapshot, "SELECT node, author, log, height FROM reaches ORDER BY node, author, log", |row| {
            Ok((row::node(row, 0)?, row::key(row, 1)?, row.get(3)?))
        })?,
        surfaced: all(
            &snapshot,
            "SELECT node, agent, author, log, seq FROM surfaced ORDER BY node, agent, author, log",
            |row| Ok((row::agent(row, 0)?, row::key(row, 2)?, row.get(4)?)),
        )?,
        forks: all(
            &snapshot,
            "SELECT author, log, conversation, seq, common FROM forks ORDER BY author, log, seq",
            |row| {
                Ok(StoredFork {
                    key: row::key(row, 0)?,
                    conversation: row.get(2).map(ConversationId::from_bytes)?,
                    seq: row.get(3)?,
                    common: row::op_id(row, 4)?,
                })
            },
        )?,
        last_seen: all(&snapshot, "SELECT node, last_seen FROM peers ORDER BY node", |row| {
            Ok((row::node(row, 0)?, row.get(1)?))
        })?,
    })
}

fn all<T>(conn: &Connection, sql: &str, mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query(())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn column<T: FromSql>(row: &Row<'_>) -> Result<T, Fault> {
    Ok(row.get(0)?)
}

fn logs(conn: &Connection) -> Result<Vec<StoredLog>, Fault> {
    all(conn, "SELECT author, log, conversation, height, head, hlc FROM logs ORDER BY ref", |row| {
        Ok(StoredLog {
            key: row::key(row, 0)?,
            conversation: row.get(2).map(ConversationId::from_bytes)?,
            height: row.get(3)?,
            head: row::op_id(row, 4)?,
            hlc: row.get(5)?,
        })
    })
}

/// Returns the changes of the document epochs that count or may yet, by position.
///
/// An author may have several logs in one conversation; its epochs are counted across them. Where none was named yet,
/// all of them may count.
fn current_changes(conn: &Connection) -> Result<Vec<Arc<Verified>>, Fault> {
    let mut statement = conn.prepare(
        "SELECT o.position, o.id, o.header, o.signature, o.payload
         FROM logs l
         LEFT JOIN documents d ON d.author = l.author AND d.conversation = l.conversation
         CROSS JOIN ops o INDEXED BY ops_by_document
             ON o.log_ref = l.ref AND o.document_epoch >= coalesce(d.epoch, 0)
         ORDER BY o.position",
    )?;
    changes_of(statement.query(())?)
}

/// Returns all checkpoints and changes of one author in one conversation, by position.
pub(super) fn changes(
    conn: &Connection,
    author: &NodeId,
    conversation: &ConversationId,
) -> Result<Vec<Arc<Verified>>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT o.position, o.id, o.header, o.signature, o.payload
         FROM logs l CROSS JOIN ops o INDEXED BY ops_by_document ON o.log_ref = l.ref
         WHERE l.author = ? AND l.conversation = ? AND o.document_epoch IS NOT NULL
         ORDER BY o.position",
    )?;
    changes_of(statement.query((author.as_bytes(), conversation.as_bytes()))?)
}

fn changes_of(mut rows: Rows<'_>) -> Result<Vec<Arc<Verified>>, Fault> {
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.push(row::placed(row)?.op);
    }
    Ok(changes)
}

fn tickets(conn: &Connection) -> Result<Vec<StoredTicket>, Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let oldest = now.saturating_sub(TICKET_MEMORY).as_millis();
    let oldest = i64::try_from(oldest).unwrap_or(i64::MAX);
    let mut statement = conn.prepare("SELECT secret, expires, used_by FROM tickets WHERE expires >= ? ORDER BY id")?;
    let mut rows = statement.query([oldest])?;
    let mut tickets = Vec::new();
    while let Some(row) = rows.next()? {
        tickets.push(StoredTicket {
            secret: row.get(0)?,
            expires: row.get(1)?,
            used_by: row.get::<_, Option<_>>(2)?.map(NodeId::from_bytes),
        });
    }
    Ok(tickets)
}

/// Returns the nodes that were met before, those heard last first.
pub(super) fn peers(conn: &Connection) -> Result<Vec<RememberedPeer>, Fault> {
    all(conn, "SELECT node, addresses, last_seen FROM peers ORDER BY last_seen DESC, node", |row| {
        let addresses = serde_json::from_str(&row.get::<_, String>(1)?)
            .map_err(|_| Fault::Damaged("stored addresses are not a list".to_owned()))?;
        Ok(RememberedPeer { node: row::node(row, 0)?, addresses, last_seen: row.get(2)? })
    })
}
