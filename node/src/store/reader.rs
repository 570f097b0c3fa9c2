//! The threads that read, each with its own connection.
//!
//! A read sees one moment of the database and everything that was reported as committed before it was asked.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use fedp2p_core::store::{Read, ReadOutcome, ReadToken, StoreError};
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::sync::LogKey;
use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use super::schema::{self, Purpose};
use super::{Event, Outbox, history, load, notes, range, row, verify};

/// What a thread is told.
pub(super) type Command = (ReadToken, Read);

#[derive(Debug)]
pub(super) struct Reader {
    conn: Connection,
    path: PathBuf,
    outbox: Outbox,
    verification: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn new(conn: Connection, path: PathBuf, outbox: Outbox) -> Self {
        Self { conn, path, outbox, verification: None }
    }

    /// Runs until the store is closed. Reads that wait then are not answered.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        while let Ok((token, read)) = commands.recv() {
            if self.outbox.is_closing() {
                break;
            }
            if read == Read::Verify {
                self.verify(token);
            } else {
                let outcome = answer(&self.conn, &read);
                let outcome = outcome.unwrap_or_else(|fault| ReadOutcome::Failed(fault.into()));
                self.outbox.send(Event::Read(token, outcome));
            }
        }
        if let Some(running) = self.verification.take() {
            // It ends by itself once it sees that the store is closing; a panic of it has been printed.
            let _ended = running.join();
        }
    }

    /// Starts a verification beside the other reads: it takes seconds, and peers that catch up must not wait for it.
    fn verify(&mut self, token: ReadToken) {
        let busy = self.verification.as_ref().is_some_and(|running| !running.is_finished());
        if busy {
            let error = StoreError::Other("a verification is under way already".to_owned());
            return self.outbox.send(Event::Read(token, ReadOutcome::Failed(error)));
        }
        let (path, outbox) = (self.path.clone(), self.outbox.clone());
        let work = move || {
            let outcome = match schema::connect(&path, Purpose::Read) {
                Ok(conn) => ReadOutcome::Verify(verify::run(&conn, &|| outbox.is_closing())),
                Err(fault) => ReadOutcome::Failed(fault.into()),
            };
            outbox.send(Event::Read(token, outcome));
        };
        match std::thread::Builder::new().name("store-verify".to_owned()).spawn(work) {
            Ok(running) => self.verification = Some(running),
            Err(error) => {
                let outcome = ReadOutcome::Failed(StoreError::Other(error.to_string()));
                self.outbox.send(Event::Read(token, outcome));
            }
        }
    }
}

/// Answers one read from one snapshot.
fn answer(conn: &Connection, read: &Read) -> Result<ReadOutcome, Fault> {
    let snapshot = conn.unchecked_transaction()?;
    let conn = &*snapshot;
    match read {
        Read::Range { conversation, wants, after, max_bytes } => {
            range::read(conn, conversation, wants, *after, *max_bytes)
        }
        Read::At { key, seq } => at(conn, key, *seq),
        Read::Proof { key, seq } => proof(conn, key, *seq),
        Read::Known(ids) => known(conn, ids),
        Read::Inbox { agent, limit, held, urgent, now_ms } => {
            history::inbox(conn, agent, *limit, (*held, *urgent), *now_ms)
        }
        Read::Held { agent, after, limit } => history::held(conn, agent, *after, *limit),
        Read::InboxUpTo { agent, position, held, now_ms } => {
            history::inbox_up_to(conn, agent, *position, *held, *now_ms)
        }
        Read::Thread { message, limit } => history::thread(conn, message, *limit),
        Read::History(filter) => history::read(conn, filter),
        Read::Find(texts) => history::find(conn, texts),
        Read::Note { conversation, name } => notes::read(conn, conversation, name),
        Read::Notes { conversation, after, limit } => notes::list(conn, conversation, after.as_ref(), *limit),
        Read::Changes { author, conversation } => Ok(ReadOutcome::Changes(load::changes(conn, author, conversation)?)),
        // A verification has a thread of its own; anything else is newer than this file.
        Read::Verify | _ => Err(Fault::Wrong(format!("the store cannot read {read:?}"))),
    }
}

fn at(conn: &Connection, key: &LogKey, seq: u64) -> Result<ReadOutcome, Fault> {
    let Some(log) = row::log_number(conn, key)? else {
        return Ok(ReadOutcome::At(None));
    };
    let found = match range::position(conn, log, seq)? {
        Some(position) => Some(row::at(conn, position)?),
        None => None,
    };
    Ok(ReadOutcome::At(found))
}

fn proof(conn: &Connection, key: &LogKey, seq: u64) -> Result<ReadOutcome, Fault> {
    let mut statement = conn.prepare_cached("SELECT proof FROM forks WHERE author = ? AND log = ? AND seq = ?")?;
    let found = statement.query_row((key.author.as_bytes(), key.log.as_bytes(), seq), |row| row.get(0)).optional()?;
    Ok(ReadOutcome::Proof(found))
}

fn known(conn: &Connection, ids: &[OpId]) -> Result<ReadOutcome, Fault> {
    let mut statement = conn.prepare_cached("SELECT hlc FROM ops WHERE substr(id, 1, 8) = ? AND id = ?")?;
    let mut known = Vec::new();
    for id in ids {
        let clock = statement.query_row((row::id_prefix(id.as_bytes()), id.as_bytes()), |row| row.get(0)).optional()?;
        if let Some(clock) = clock {
            known.push((*id, Hlc::from_u64(clock)));
        }
    }
    Ok(ReadOutcome::Known(known))
}
