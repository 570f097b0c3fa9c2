//! Proves the stored history: every entry is what its author signed, and every log is whole.
//!
//! Nothing that is stored is believed here. A page that cannot be read is a finding like any other. The database is
//! read in short steps, because a long one would keep the log file from starting over while commits go on; entries
//! are never changed, so the steps fit together.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use fedp2p_protocols::api::log_verify::{Broken, Reply};
use fedp2p_protocols::id::{ConversationId, OpId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::{Header, NO_BACKLINK, Op, verify_batch};
use fedp2p_protocols::sync::LogKey;
use rand_core::OsRng;
use rusqlite::{Connection, OptionalExtension, Row};

use super::OpenError;
use super::database::connect_checked;
use super::fault::Fault;
use super::row;
use super::schema::{self, Purpose};

/// Entries in one step; their signatures are checked together, at half the cost.
const STEP: usize = 128;

/// Checks the database at `path` without a daemon, and without changing it.
///
/// # Errors
/// If it cannot be opened or is not a database of this program. What is wrong with its entries is in the reply.
pub fn verify_file(path: &Path) -> Result<Reply, OpenError> {
    // SQLite would say only that it cannot open the file.
    std::fs::metadata(path).map_err(|error| OpenError::from_io(path, error))?;
    let conn = connect_checked(path, Purpose::Read)?;
    let complete = schema::is_complete(&conn).map_err(|fault| OpenError::from_fault(path, fault))?;
    if !complete {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    Ok(run(&conn, &|| false))
}

/// Checks everything, or what it can until `stop` says that nobody waits any more.
pub(super) fn run(conn: &Connection, stop: &dyn Fn() -> bool) -> Reply {
    let started = Instant::now();
    let mut check = Check { conn, logs: HashMap::new(), position: 0, ops: 0 };
    let broken = check.everything(stop).err();
    Reply {
        ops: check.ops,
        logs: check.logs.len() as u64,
        broken,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// A log as its entries tell it.
#[derive(Debug)]
struct Log {
    key: LogKey,
    conversation: ConversationId,
    height: u64,
    head: OpId,
    hlc: u64,
    position: u64,
}

#[derive(Debug)]
struct Check<'c> {
    conn: &'c Connection,
    logs: HashMap<i64, Log>,
    /// The last entry that was looked at.
    position: u64,
    ops: u64,
}

/// The columns of an entry that repeat its header.
#[derive(Debug)]
struct Columns {
    log: i64,
    seq: u64,
    kind: u16,
    hlc: u64,
    agent: Option<String>,
}

impl Check<'_> {
    fn everything(&mut self, stop: &dyn Fn() -> bool) -> Result<(), Broken> {
        while self.step()? > 0 {
            if stop() {
                return Ok(());
            }
        }
        // Heads can only be compared while no entry is added.
        let snapshot = self.conn.unchecked_transaction();
        let _snapshot = snapshot.map_err(|error| self.unreadable(&error.into()))?;
        while self.step()? > 0 {}
        self.heads()?;
        self.pages()
    }

    /// Checks the next entries and returns how many there were.
    fn step(&mut self) -> Result<usize, Broken> {
        let mut ops = Vec::with_capacity(STEP);
        let end = self.entries(&mut ops);
        let found = ops.len();
        let first = self.signatures(ops);
        // An entry with a bad signature stands before the one that ended the step.
        first.and(end).map(|()| found)
    }

    /// Reads the next entries and checks everything but their signatures.
    fn entries(&mut self, ops: &mut Vec<(u64, Op)>) -> Result<(), Broken> {
        let conn = self.conn;
        let mut statement = conn
            .prepare_cached(
                "SELECT o.position, o.id, o.header, o.signature, o.payload,
                        o.log_ref, o.seq, o.kind, o.hlc, o.agent
                 FROM ops o WHERE o.position > ? ORDER BY o.position LIMIT ?",
            )
            .map_err(|error| self.unreadable(&error.into()))?;
        let mut rows = statement.query((self.position, STEP)).map_err(|error| self.unreadable(&error.into()))?;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let (position, op) = self.entry(row)?;
                    self.position = position;
                    ops.push((position, op));
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.unreadable(&error.into())),
            }
        }
    }

    fn entry(&mut self, row: &Row<'_>) -> Result<(u64, Op), Broken> {
        let position = row.get(0).map_err(|error| self.unreadable(&error.into()))?;
        let columns = Columns::read(row).map_err(|error| nameless(position, &error.into()))?;
        let op = row::decode(position, row).map_err(|fault| nameless(position, &fault))?;
        let header = op.header();
        let log = match self.log(&columns, position) {
            Ok(Some(log)) => log,
            Ok(None) => {
                return Err(broken(position, header, "it is in a log that is not listed"));
            }
            Err(fault) => return Err(nameless(position, &fault)),
        };
        if let Some(problem) = problem(header, &columns, log) {
            return Err(broken(position, header, problem));
        }
        log.height = header.seq;
        log.head = op.id();
        log.hlc = header.hlc.to_u64();
        log.position = position;
        Ok((position, op))
    }

    /// Returns the log of an entry, as far as its entries have been looked at.
    fn log(&mut self, columns: &Columns, position: u64) -> Result<Option<&mut Log>, Fault> {
        if !self.logs.contains_key(&columns.log) {
            let found = self
                .conn
                .prepare_cached("SELECT author, log, conversation FROM logs WHERE ref = ?")?
                .query_row([columns.log], |row| Ok((row::key(row, 0)?, row.get(2).map(ConversationId::from_bytes)?)))
                .optional()?;
            let Some((key, conversation)) = found else {
                return Ok(None);
            };
            let log = Log { key, conversation, height: 0, head: NO_BACKLINK, hlc: 0, position };
            self.logs.insert(columns.log, log);
        }
        Ok(self.logs.get_mut(&columns.log))
    }

    fn signatures(&mut self, ops: Vec<(u64, Op)>) -> Result<(), Broken> {
        let (places, ops): (Vec<_>, Vec<_>) =
            ops.into_iter().map(|(position, op)| ((position, op.header().clone()), op)).unzip();
        for ((position, header), result) in places.iter().zip(verify_batch(ops, &mut OsRng)) {
            if let Err(error) = result {
                return Err(broken(*position, header, error));
            }
            self.ops += 1;
        }
        Ok(())
    }

    /// Compares the table of logs with what the entries told.
    fn heads(&self) -> Result<(), Broken> {
        match self.wrong_head() {
            Ok(None) => Ok(()),
            Ok(Some(broken)) => Err(broken),
            Err(fault) => Err(self.unreadable(&fault)),
        }
    }

    fn wrong_head(&self) -> Result<Option<Broken>, Fault> {
        let mut statement = self.conn.prepare("SELECT ref, author, log, height, head, hlc FROM logs ORDER BY ref")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let key = row::key(row, 1)?;
            let head = (row.get(3)?, row::op_id(row, 4)?, row.get(5)?);
            let told = self.logs.get(&row.get(0)?);
            if told.is_some_and(|log| (log.height, log.head, log.hlc) == head) {
                continue;
            }
            return Ok(Some(Broken {
                position: told.map_or(self.position, |log| log.position),
                author: Some(key.author),
                log: Some(key.log),
                seq: told.map(|log| log.height),
                problem: format!("the list of logs says that its log ends with entry {}", head.0),
            }));
        }
        Ok(None)
    }

    /// Looks at the pages that hold no entries, and whether the indexes agree with the tables.
    fn pages(&self) -> Result<(), Broken> {
        let found: Result<String, _> = self.conn.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0));
        match found {
            Ok(found) if found == "ok" => Ok(()),
            Ok(problem) => Err(self.unreadable(&Fault::Damaged(problem))),
            Err(error) => Err(self.unreadable(&error.into())),
        }
    }

    /// Something after the last good entry cannot be read.
    fn unreadable(&self, fault: &Fault) -> Broken {
        nameless(self.position + 1, fault)
    }
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { log: row.get(5)?, seq: row.get(6)?, kind: row.get(7)?, hlc: row.get(8)?, agent: row.get(9)? })
    }
}

/// Returns what is wrong with an entry's place in its log or with its columns.
fn problem(header: &Header, columns: &Columns, log: &Log) -> Option<String> {
    let key = LogKey { author: header.author, log: header.log };
    if key != log.key || header.conversation != log.conversation {
        return Some("it is listed under another log than it was signed for".to_owned());
    }
    if header.seq != log.height + 1 {
        return Some(format!("the log goes from entry {} to {}", log.height, header.seq));
    }
    if header.backlink != log.head {
        return Some("it does not follow the entry before it".to_owned());
    }
    let same = columns.seq == header.seq
        && columns.kind == header.kind.code()
        && columns.hlc == header.hlc.to_u64()
        && columns.agent.as_deref() == header.agent.as_ref().map(AgentName::as_str);
    (!same).then(|| "its columns are not what was signed".to_owned())
}

fn broken(position: u64, header: &Header, problem: impl std::fmt::Display) -> Broken {
    Broken {
        position,
        author: Some(header.author),
        log: Some(header.log),
        seq: Some(header.seq),
        problem: problem.to_string(),
    }
}

fn nameless(position: u64, fault: &Fault) -> Broken {
    Broken { position, author: None, log: None, seq: None, problem: fault.to_string() }
}
