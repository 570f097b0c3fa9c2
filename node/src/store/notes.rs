//! Reads of notes: the changes of one, and which there are.

use fedp2p_core::store::{NoteRow, ReadOutcome};
use fedp2p_protocols::id::ConversationId;
use fedp2p_protocols::name::NoteName;
use rusqlite::Connection;

use super::fault::Fault;
use super::row;

/// Returns all changes of a note, by position.
pub(super) fn read(conn: &Connection, conversation: &ConversationId, name: &NoteName) -> Result<ReadOutcome, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT position FROM notes WHERE conversation = ? AND name = ? ORDER BY position")?;
    let positions: Vec<u64> =
        statement.query_map((conversation.as_bytes(), name.as_str()), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let changes = positions.into_iter().map(|position| Ok(row::at(conn, position)?.op));
    Ok(ReadOutcome::Note(changes.collect::<Result<_, Fault>>()?))
}

/// Returns the notes of a conversation after this name, by name.
pub(super) fn list(
    conn: &Connection,
    conversation: &ConversationId,
    after: Option<&NoteName>,
    limit: u32,
) -> Result<ReadOutcome, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT name, count(*), max(position) FROM notes WHERE conversation = ? AND name > ?
         GROUP BY name ORDER BY name LIMIT ?",
    )?;
    let after = after.map_or("", NoteName::as_str);
    let mut rows = statement.query((conversation.as_bytes(), after, limit))?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let name = name.parse().map_err(|_| Fault::Damaged("the stored name of a note is not valid".to_owned()))?;
        notes.push(NoteRow { name, edits: row.get(1)?, last: row::at(conn, row.get(2)?)? });
    }
    Ok(ReadOutcome::Notes(notes))
}
