//! Reads that people and agents ask for: history, inboxes, ids by their beginning.

use fedp2p_core::store::{HistoryFilter, Placed, ReadOutcome};
use fedp2p_protocols::id::{OpId, from_base32};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::vote::AgentId;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::fault::Fault;
use super::row::{self, OP_COLUMNS};

/// Length of an op id as text.
const ID_CHARACTERS: usize = (OpId::BYTES * 8).div_ceil(5);

/// Returns the newest messages that pass the filter, with who acknowledged each.
pub(super) fn read(conn: &Connection, filter: &HistoryFilter) -> Result<ReadOutcome, Fault> {
    let Some(query) = query(conn, filter)? else {
        return Ok(ReadOutcome::History(Vec::new()));
    };
    let mut statement = conn.prepare_cached(&query.sql)?;
    let mut rows = statement.query(params_from_iter(query.values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let placed = row::placed(row)?;
        let acknowledged = acknowledged(conn, &placed.op.id())?;
        found.push((placed, acknowledged));
    }
    found.reverse();
    Ok(ReadOutcome::History(found))
}

struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }
}

/// A number that a column cannot hold compares like the highest that it can.
fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn bytes(value: &[u8]) -> Value {
    Value::Blob(value.to_vec())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Builds the query, or nothing if it is clear that nothing is found.
///
/// Only the conditions that are asked for are in it, so that each can use its index.
fn query(conn: &Connection, filter: &HistoryFilter) -> Result<Option<Query>, Fault> {
    let mut query = Query {
        // The cross join fixes the order: from the newest message back, until there are enough.
        sql: format!("SELECT {OP_COLUMNS} FROM messages m CROSS JOIN ops o ON o.position = m.position WHERE TRUE"),
        values: Vec::new(),
    };
    if let Some(id) = &filter.id {
        let Some(position) = row::position(conn, id)? else {
            return Ok(None);
        };
        query.and("m.position = ?", [number(position)]);
    }
    if let Some(from) = &filter.from {
        query.and(
            "m.log_ref IN (SELECT ref FROM logs WHERE author = ?) AND m.agent = ?",
            [bytes(from.node.as_bytes()), text(from.name.as_str())],
        );
    }
    if let Some(to) = &filter.to {
        query.and(
            "(m.everybody OR EXISTS (SELECT 1 FROM recipients r
                  WHERE r.position = m.position AND r.node = ? AND r.agent = ?))",
            [bytes(to.node.as_bytes()), text(to.name.as_str())],
        );
    }
    if let Some(kind) = filter.kind {
        query.and("m.type = ?", [text(kind.as_str())]);
    }
    if let Some(conversation) = &filter.conversation {
        query.and("m.log_ref IN (SELECT ref FROM logs WHERE conversation = ?)", [bytes(conversation.as_bytes())]);
    }
    if let Some(correlation) = &filter.correlation {
        query.and("m.correlation = ?", [text(correlation)]);
    }
    if let Some(since) = filter.since_ms {
        query.and("m.ms >= ?", [number(since)]);
    }
    if let Some(until) = filter.until_ms {
        query.and("m.ms < ?", [number(until)]);
    }
    if let Some(before) = filter.before {
        query.and("m.position < ?", [number(before)]);
    }
    query.sql.push_str(" ORDER BY m.position DESC LIMIT ?");
    query.values.push(Value::Integer(filter.limit.into()));
    Ok(Some(query))
}

fn acknowledged(conn: &Connection, message: &OpId) -> Result<Vec<AgentId>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT node, agent FROM acknowledgements WHERE message = ? ORDER BY node, agent")?;
    let mut rows = statement.query([message.as_bytes()])?;
    let mut agents = Vec::new();
    while let Some(row) = rows.next()? {
        agents.push(row::agent(row, 0)?);
    }
    Ok(agents)
}

/// Returns at most two messages for each text that begins an id: the second tells that it is not unique.
pub(super) fn find(conn: &Connection, texts: &[String]) -> Result<ReadOutcome, Fault> {
    let matches = texts.iter().map(|text| match bounds(text) {
        Some((low, high)) => find_between(conn, &low, &high),
        None => Ok(Vec::new()),
    });
    Ok(ReadOutcome::Find(matches.collect::<Result<_, _>>()?))
}

fn find_between(conn: &Connection, low: &[u8], high: &[u8]) -> Result<Vec<Placed>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT o.position, o.id, o.header, o.signature, o.payload FROM ops o INDEXED BY ops_by_id
         WHERE substr(o.id, 1, 8) BETWEEN ? AND ? AND o.id BETWEEN ? AND ? AND o.kind = ? LIMIT 2",
    )?;
    let prefixes = (row::id_prefix(low), row::id_prefix(high));
    let mut rows = statement.query((prefixes.0, prefixes.1, low, high, Kind::Message.code()))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row::placed(row)?);
    }
    Ok(found)
}

/// Returns the lowest and the highest id whose text begins with `prefix`, if there are any.
///
/// Five bits make a character, so a prefix ends inside a byte. Filling up with the lowest and the highest characters
/// leaves that to the decoder. The last character of an id stands for one bit only, so its highest is not `7` but `q`.
fn bounds(prefix: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if prefix.len() > ID_CHARACTERS || !prefix.is_ascii() {
        return None;
    }
    let low = from_base32(&format!("{prefix:a<ID_CHARACTERS$}"))?;
    let mut high = format!("{prefix:7<ID_CHARACTERS$}");
    if prefix.len() < ID_CHARACTERS {
        high.replace_range(ID_CHARACTERS - 1.., "q");
    }
    Some((low, from_base32(&high)?))
}

/// Returns what waits for an agent after its cursor, and how much more there is.
pub(super) fn inbox(conn: &Connection, agent: &AgentName, limit: u32) -> Result<ReadOutcome, Fault> {
    let after = cursor(conn, agent)?;
    let mut statement =
        conn.prepare_cached("SELECT position FROM inbox WHERE agent = ? AND position > ? ORDER BY position LIMIT ?")?;
    let positions: Vec<u64> =
        statement.query_map((agent.as_str(), after, limit), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let last = positions.last().copied().unwrap_or(after);
    let more = conn
        .prepare_cached("SELECT count(*) FROM inbox WHERE agent = ? AND position > ?")?
        .query_row((agent.as_str(), last), |row| row.get(0))?;
    let messages = positions.into_iter().map(|position| row::at(conn, position));
    Ok(ReadOutcome::Inbox { messages: messages.collect::<Result<_, _>>()?, more })
}

fn cursor(conn: &Connection, agent: &AgentName) -> Result<u64, Fault> {
    let found = conn
        .prepare_cached("SELECT position FROM cursors WHERE agent = ?")?
        .query_row([agent.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// Returns the last entry of each log among what waits for an agent up to a position.
pub(super) fn inbox_up_to(conn: &Connection, agent: &AgentName, position: u64) -> Result<ReadOutcome, Fault> {
    let cursor = cursor(conn, agent)?;
    // A client may give any number.
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(
        "SELECT l.author, l.log, max(o.seq)
         FROM inbox i CROSS JOIN ops o ON o.position = i.position JOIN logs l ON l.ref = o.log_ref
         WHERE i.agent = ? AND i.position > ? AND i.position <= ?
         GROUP BY l.author, l.log ORDER BY l.author, l.log",
    )?;
    let mut rows = statement.query((agent.as_str(), cursor, position))?;
    let mut surfaced = Vec::new();
    while let Some(row) = rows.next()? {
        surfaced.push((row::key(row, 0)?, row.get(2)?));
    }
    Ok(ReadOutcome::InboxUpTo { surfaced, cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_exactly_the_ids_that_begin_with_the_text() {
        let id = OpId::from_bytes(std::array::from_fn(|byte| (byte * 37 + 11) as u8));
        let whole = id.to_string();
        for length in 0..=whole.len() {
            let (low, high) = bounds(&whole[..length]).unwrap();
            assert!((low.clone()..=high.clone()).contains(&id.as_bytes().to_vec()));
            let text = |bytes: Vec<u8>| OpId::from_bytes(bytes.try_into().unwrap()).to_string();
            assert!(text(low).starts_with(&whole[..length]));
            assert!(text(high).starts_with(&whole[..length]));
        }
        assert_eq!(bounds(&whole).unwrap().0, id.as_bytes().to_vec());
    }

    #[test]
    fn what_no_id_begins_with_has_no_bounds() {
        for text in ["1", "a b", "é", &"a".repeat(53)] {
            assert_eq!(bounds(text), None, "{text}");
        }
    }
}
