//! Each write of the core as SQL.
//!
//! The caller holds a transaction and rolls it back when a write fails.

use std::collections::HashMap;

use fedp2p_core::store::{MessageIndex, OpWrite, Write};
use fedp2p_protocols::id::{NodeId, OpId, TicketId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Op;
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;
use rusqlite::Connection;

use super::fault::Fault;
use super::meta::{self, Key};
use super::row;

/// Most numbers of logs that are remembered; above, all are forgotten and looked up again.
const MAX_NUMBERS: usize = 4_096;

/// The numbers of logs, so that an op costs no look-up. Has to be cleared after a rollback.
#[derive(Debug, Default)]
pub(super) struct LogNumbers(HashMap<LogKey, i64>);

impl LogNumbers {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn get(&mut self, conn: &Connection, key: &LogKey) -> Result<Option<i64>, Fault> {
        if let Some(number) = self.0.get(key) {
            return Ok(Some(*number));
        }
        let number = row::log_number(conn, key)?;
        if let Some(number) = number {
            self.put(*key, number);
        }
        Ok(number)
    }

    fn put(&mut self, key: LogKey, number: i64) {
        if self.0.len() >= MAX_NUMBERS {
            self.0.clear();
        }
        self.0.insert(key, number);
    }
}

/// Carries out one write.
pub(super) fn write(conn: &Connection, numbers: &mut LogNumbers, write: &Write) -> Result<(), Fault> {
    match write {
        Write::Op(write) => op(conn, numbers, write),
        Write::Inbox { agent, position, held, urgent, expires } => {
            inbox(conn, agent, *position, (*held, *urgent), *expires)
        }
        Write::Judged { agent, position, held } => run(
            conn,
            "UPDATE inbox SET held = ? WHERE agent = ? AND position = ? AND held",
            (if *held { HELD } else { LET_THROUGH }, agent.as_str(), position),
        ),
        Write::Cursor { agent, position, held } => cursor(conn, agent, *position, *held),
        Write::Handed { agent, message } => run(
            conn,
            "INSERT OR IGNORE INTO handed (message, node, agent) VALUES (?, ?, ?)",
            (message.as_bytes(), agent.node.as_bytes(), agent.name.as_str()),
        ),
        Write::Reach { peer, key, height } => reach(conn, peer, key, *height),
        Write::Surfaced { agent, key, seq } => surfaced(conn, agent, key, *seq),
        Write::Acknowledged { agent, message } => run(
            conn,
            "INSERT OR IGNORE INTO acknowledgements (message, node, agent) VALUES (?, ?, ?)",
            (message.as_bytes(), agent.node.as_bytes(), agent.name.as_str()),
        ),
        Write::Member { node, chain } => {
            run(conn, "INSERT OR REPLACE INTO members (node, chain) VALUES (?, ?)", (node.as_bytes(), chain))
        }
        Write::Ticket { id, secret, expires, used_by } => ticket(conn, id, secret, *expires, used_by.as_ref()),
        Write::Pin(pin) => meta::set(conn, Key::Pin, pin.encode()),
        Write::OwnChain(chain) => meta::set(conn, Key::Chain, chain),
        Write::Fork { key, conversation, seq, common, proof } => run(
            conn,
            "INSERT OR REPLACE INTO forks (author, log, seq, conversation, common, proof)
             VALUES (?, ?, ?, ?, ?, ?)",
            (key.author.as_bytes(), key.log.as_bytes(), seq, conversation.as_bytes(), common.as_bytes(), proof),
        ),
        Write::Document { author, conversation, epoch } => run(
            conn,
            "INSERT OR REPLACE INTO documents (author, conversation, epoch) VALUES (?, ?, ?)",
            (author.as_bytes(), conversation.as_bytes(), epoch),
        ),
        Write::Epoch(epoch) => meta::set_epoch(conn, epoch),
        // The writer has seen to it.
        Write::Flush => Ok(()),
        Write::Peer { node, addresses, last_seen } => peer(conn, node, addresses, *last_seen),
        // Dropping what is not known would lose data in silence.
        other => Err(Fault::Wrong(format!("the store cannot write {other:?}"))),
    }
}

fn run(conn: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<(), Fault> {
    conn.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}

fn op(conn: &Connection, numbers: &mut LogNumbers, write: &OpWrite) -> Result<(), Fault> {
    let op = &write.op;
    let header = op.header();
    let number = extend_log(conn, numbers, op)?;
    let agent = header.agent.as_ref().map(AgentName::as_str);
    conn.prepare_cached(
        "INSERT INTO ops (position, id, log_ref, seq, kind, hlc, agent, document_epoch,
                          signature, header, payload)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute((
        write.position,
        op.id().as_bytes(),
        number,
        header.seq,
        header.kind.code(),
        header.hlc.to_u64(),
        agent,
        write.document_epoch,
        op.signature(),
        op.header_bytes(),
        op.payload(),
    ))?;
    if let Some(name) = &write.note {
        run(
            conn,
            "INSERT INTO notes (conversation, name, position) VALUES (?, ?, ?)",
            (header.conversation.as_bytes(), name.as_str(), write.position),
        )?;
    }
    match &write.message {
        Some(index) => message(conn, write, number, index),
        None => Ok(()),
    }
}

/// Moves the head of the op's log forward and returns the log's number.
///
/// The conditions are in the statement, so that a mistake of the caller cannot make a gap or a fork.
fn extend_log(conn: &Connection, numbers: &mut LogNumbers, op: &Op) -> Result<i64, Fault> {
    let header = op.header();
    let key = LogKey { author: header.author, log: header.log };
    let changed = match numbers.get(conn, &key)? {
        Some(number) => {
            let changed = conn
                .prepare_cached(
                    "UPDATE logs SET height = ?1, head = ?2, hlc = ?3
                     WHERE ref = ?4 AND height = ?1 - 1 AND head = ?5 AND conversation = ?6",
                )?
                .execute((
                    header.seq,
                    op.id().as_bytes(),
                    header.hlc.to_u64(),
                    number,
                    header.backlink.as_bytes(),
                    header.conversation.as_bytes(),
                ))?;
            (changed == 1).then_some(number)
        }
        None if header.seq == 1 => {
            let number = conn
                .prepare_cached(
                    "INSERT INTO logs (author, log, conversation, height, head, hlc)
                     VALUES (?, ?, ?, 1, ?, ?)",
                )?
                .insert((
                    header.author.as_bytes(),
                    header.log.as_bytes(),
                    header.conversation.as_bytes(),
                    op.id().as_bytes(),
                    header.hlc.to_u64(),
                ))?;
            numbers.put(key, number);
            Some(number)
        }
        None => None,
    };
    changed.ok_or_else(|| {
        Fault::Wrong(format!(
            "op {} with seq {} does not follow the last entry of log {}",
            op.id(),
            header.seq,
            header.log
        ))
    })
}

fn message(conn: &Connection, write: &OpWrite, number: i64, index: &MessageIndex) -> Result<(), Fault> {
    let header = write.op.header();
    conn.prepare_cached(
        "INSERT INTO messages (position, log_ref, agent, type, everybody, ms, correlation, reply_to)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute((
        write.position,
        number,
        header.agent.as_ref().map(AgentName::as_str),
        index.kind.as_str(),
        index.to.is_empty(),
        header.hlc.milliseconds(),
        &index.correlation,
        index.reply_to.as_ref().map(OpId::as_bytes),
    ))?;
    for agent in &index.to {
        // A message may name one agent twice.
        run(
            conn,
            "INSERT OR IGNORE INTO recipients (position, node, agent) VALUES (?, ?, ?)",
            (write.position, agent.node.as_bytes(), agent.name.as_str()),
        )?;
    }
    Ok(())
}

/// The column `held` of a message that is held.
pub(super) const HELD: u8 = 1;
/// The same of one that was held and is let through, so that it waits wherever the cursor stands.
pub(super) const LET_THROUGH: u8 = 2;

fn inbox(
    conn: &Connection,
    agent: &AgentName,
    position: u64,
    (held, urgent): (bool, bool),
    expires: Option<u64>,
) -> Result<(), Fault> {
    // An author may write any time; what no column holds is as good as never.
    let expires = expires.map(|expires| i64::try_from(expires).unwrap_or(i64::MAX));
    run(
        conn,
        "INSERT OR IGNORE INTO inbox (agent, position, held, urgent, expires) VALUES (?, ?, ?, ?, ?)",
        (agent.as_str(), position, if held { HELD } else { 0 }, urgent, expires),
    )
}

fn cursor(conn: &Connection, agent: &AgentName, position: u64, held: bool) -> Result<(), Fault> {
    run(
        conn,
        &format!(
            "UPDATE inbox SET held = 0 WHERE agent = ?1 AND held AND position <= ?2 AND (?3 OR held = {LET_THROUGH})"
        ),
        (agent.as_str(), position, held),
    )?;
    run(
        conn,
        // Two readers of one inbox may report in the other order.
        "INSERT INTO cursors (agent, position) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET position = max(position, excluded.position)",
        (agent.as_str(), position),
    )
}

fn reach(conn: &Connection, peer: &NodeId, key: &LogKey, height: u64) -> Result<(), Fault> {
    run(
        conn,
        "INSERT OR REPLACE INTO reaches (node, author, log, height) VALUES (?, ?, ?, ?)",
        (peer.as_bytes(), key.author.as_bytes(), key.log.as_bytes(), height),
    )
}

fn surfaced(conn: &Connection, agent: &AgentId, key: &LogKey, seq: u64) -> Result<(), Fault> {
    run(
        conn,
        "INSERT INTO surfaced (node, agent, author, log, seq) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        (agent.node.as_bytes(), agent.name.as_str(), key.author.as_bytes(), key.log.as_bytes(), seq),
    )
}

fn ticket(
    conn: &Connection,
    id: &TicketId,
    secret: &[u8; 32],
    expires: u64,
    used_by: Option<&NodeId>,
) -> Result<(), Fault> {
    run(
        conn,
        "INSERT OR REPLACE INTO tickets (id, secret, expires, used_by) VALUES (?, ?, ?, ?)",
        (id.as_bytes(), secret, expires, used_by.map(NodeId::as_bytes)),
    )
}

fn peer(conn: &Connection, node: &NodeId, addresses: &[String], last_seen: u64) -> Result<(), Fault> {
    if addresses.is_empty() {
        return run(
            conn,
            "INSERT INTO peers (node, addresses, last_seen) VALUES (?, '[]', ?)
             ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen",
            (node.as_bytes(), last_seen),
        );
    }
    let addresses = serde_json::to_string(addresses)
        .map_err(|error| Fault::Wrong(format!("addresses do not become JSON: {error}")))?;
    run(
        conn,
        "INSERT OR REPLACE INTO peers (node, addresses, last_seen) VALUES (?, ?, ?)",
        (node.as_bytes(), addresses, last_seen),
    )
}
