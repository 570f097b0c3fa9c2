//! Reads that people and agents ask for: history, inboxes, ids by their beginning.

use fedp2p_core::store::{HistoryFilter, MAX_EXACT, Placed, ReadOutcome, Traced};
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
        found.push(traced(conn, placed)?);
    }
    found.reverse();
    Ok(ReadOutcome::History(found))
}

fn traced(conn: &Connection, placed: Placed) -> Result<Traced, Fault> {
    let id = placed.op.id();
    let acknowledged =
        who(conn, "SELECT node, agent FROM acknowledgements WHERE message = ? ORDER BY node, agent", &id)?;
    let handed = who(conn, "SELECT node, agent FROM handed WHERE message = ? ORDER BY node, agent", &id)?;
    Ok(Traced { placed, acknowledged, handed })
}

/// Returns the newest messages of the thread of one message: up to what nothing here answers, and down again. The
/// messages may have come in any order.
pub(super) fn thread(conn: &Connection, message: &OpId, limit: u32) -> Result<ReadOutcome, Fault> {
    let mut statement = conn.prepare_cached(
        "WITH RECURSIVE
         up(id, position, reply_to) AS (
             SELECT o.id, m.position, m.reply_to FROM ops o CROSS JOIN messages m ON m.position = o.position
             WHERE substr(o.id, 1, 8) = ?1 AND o.id = ?2
             UNION
             SELECT o.id, m.position, m.reply_to FROM up
             CROSS JOIN ops o INDEXED BY ops_by_id ON substr(o.id, 1, 8) = substr(up.reply_to, 1, 8) AND o.id = up.reply_to
             CROSS JOIN messages m ON m.position = o.position
             LIMIT 10000
         ),
         down(id, position) AS (
             SELECT id, position FROM up
             UNION
             SELECT o.id, m.position FROM down
             CROSS JOIN messages m INDEXED BY messages_by_reply ON m.reply_to = down.id
             CROSS JOIN ops o ON o.position = m.position
             LIMIT 10000
         )
         SELECT DISTINCT position FROM down ORDER BY position DESC LIMIT ?3",
    )?;
    let parameters = (row::id_prefix(message.as_bytes()), message.as_bytes(), limit);
    let positions: Vec<u64> = statement.query_map(parameters, |row| row.get(0))?.collect::<Result<_, _>>()?;
    let rows = positions.into_iter().rev().map(|position| traced(conn, row::at(conn, position)?));
    Ok(ReadOutcome::History(rows.collect::<Result<_, _>>()?))
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

fn who(conn: &Connection, sql: &str, message: &OpId) -> Result<Vec<AgentId>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
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

/// What waits for the agent ?1, whose cursor is ?2; ?3 says whether what is held does; what expired by ?4 does not.
const WAITING: &str = "
    waiting(position, expires, urgent) AS (
        SELECT position, expires, urgent FROM inbox
        WHERE agent = ?1 AND position > ?2 AND NOT held AND (expires IS NULL OR expires > ?4)
        UNION ALL
        SELECT position, expires, urgent FROM inbox INDEXED BY inbox_held
        WHERE agent = ?1 AND held AND (?3 OR held = 2) AND (expires IS NULL OR expires > ?4)
    )";

/// As [`WAITING`], of what is urgent only.
const URGENT: &str = "
    waiting(position) AS (
        SELECT position FROM inbox INDEXED BY inbox_urgent
        WHERE agent = ?1 AND urgent AND CASE held WHEN 0 THEN position > ?2 WHEN 2 THEN TRUE ELSE ?3 END
            AND (expires IS NULL OR expires > ?4)
    )";

/// Returns what waits for an agent, how much more there is, and how much is held besides.
pub(super) fn inbox(
    conn: &Connection,
    agent: &AgentName,
    limit: u32,
    (held, urgent): (bool, bool),
    now_ms: u64,
) -> Result<ReadOutcome, Fault> {
    let after = cursor(conn, agent)?;
    let waiting = if urgent { URGENT } else { WAITING };
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let mut statement =
        conn.prepare_cached(&format!("WITH {waiting} SELECT position FROM waiting ORDER BY position LIMIT ?5"))?;
    let parameters = (agent.as_str(), after, held, now, limit);
    let positions: Vec<u64> = statement.query_map(parameters, |row| row.get(0))?.collect::<Result<_, _>>()?;
    let all: u64 = conn
        .prepare_cached(&format!("WITH {waiting} SELECT count(*) FROM waiting"))?
        .query_row((agent.as_str(), after, held, now), |row| row.get(0))?;
    let held = match held || urgent {
        true => 0,
        false => conn
            .prepare_cached(
                "SELECT count(*) FROM inbox INDEXED BY inbox_held
                 WHERE agent = ? AND held AND held = 1 AND (expires IS NULL OR expires > ?)",
            )?
            .query_row((agent.as_str(), now), |row| row.get(0))?,
    };
    let more = all - positions.len() as u64;
    let messages = positions.into_iter().map(|position| row::at(conn, position));
    Ok(ReadOutcome::Inbox { messages: messages.collect::<Result<_, _>>()?, more, held })
}

/// Returns what was held for an agent and not handed out since, each with whether it is held on.
pub(super) fn held(conn: &Connection, agent: &AgentName, after: u64, limit: u32) -> Result<ReadOutcome, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT position, held = 1 FROM inbox INDEXED BY inbox_held
         WHERE agent = ? AND held AND position > ? ORDER BY position LIMIT ?",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query_map((agent.as_str(), after, limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(u64, bool)> = rows.collect::<Result<_, _>>()?;
    let held = found.into_iter().map(|(position, held)| Ok((row::at(conn, position)?, held)));
    Ok(ReadOutcome::Held(held.collect::<Result<_, Fault>>()?))
}

fn cursor(conn: &Connection, agent: &AgentName) -> Result<u64, Fault> {
    let found = conn
        .prepare_cached("SELECT position FROM cursors WHERE agent = ?")?
        .query_row([agent.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// What is handed out by ?5 of what waits, with its log; and for each log the first entry that stays held.
const HANDED: &str = "
    given(log_ref, seq, id, expires) AS (
        SELECT o.log_ref, o.seq, o.id, w.expires FROM waiting w CROSS JOIN ops o ON o.position = w.position
        WHERE w.position <= ?5
    ),
    stays(log_ref, low) AS (
        SELECT o.log_ref, min(o.seq) FROM inbox i INDEXED BY inbox_held CROSS JOIN ops o ON o.position = i.position
        WHERE i.agent = ?1 AND i.held AND NOT ((?3 OR i.held = 2) AND i.position <= ?5) GROUP BY o.log_ref
    )";

/// Returns what was handed to an agent up to a position: the last entry of each log before the first that stays held,
/// and the others one by one.
pub(super) fn inbox_up_to(
    conn: &Connection,
    agent: &AgentName,
    position: u64,
    held: bool,
    now_ms: u64,
) -> Result<ReadOutcome, Fault> {
    let cursor = cursor(conn, agent)?;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    // A client may give any number.
    let parameters = (agent.as_str(), cursor, held, number(now_ms), number(position));
    let mut statement = conn.prepare_cached(&format!(
        "WITH {WAITING}, {HANDED}
         SELECT l.author, l.log, max(g.seq) FROM given g
         CROSS JOIN logs l ON l.ref = g.log_ref LEFT JOIN stays s ON s.log_ref = g.log_ref
         WHERE g.expires IS NULL AND (s.low IS NULL OR g.seq < s.low)
         GROUP BY l.author, l.log ORDER BY l.author, l.log"
    ))?;
    let mut rows = statement.query(parameters)?;
    let mut surfaced = Vec::new();
    while let Some(row) = rows.next()? {
        surfaced.push((row::key(row, 0)?, row.get(2)?));
    }
    let mut statement = conn.prepare_cached(&format!(
        "WITH {WAITING}, {HANDED}
         SELECT g.id FROM given g LEFT JOIN stays s ON s.log_ref = g.log_ref
         WHERE g.expires IS NOT NULL OR g.seq > s.low LIMIT {MAX_EXACT}"
    ))?;
    let mut rows = statement.query(parameters)?;
    let mut exact = Vec::new();
    while let Some(row) = rows.next()? {
        exact.push(row::op_id(row, 0)?);
    }
    Ok(ReadOutcome::InboxUpTo { surfaced, exact, cursor })
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
