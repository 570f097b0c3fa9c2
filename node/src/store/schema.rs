//! Tables, migrations and how a connection is set up.
//!
//! Migrations are only ever added: the number of a database is how many it has had. What a database is gets checked
//! before anything is written to it, so that no other program's file is ever touched.
//!
//! The rules behind the tables: an op is inserted once and never changed, in order of `position`; whatever can be told
//! from the header alone is repeated in a column only where a query needs it; and every index has to earn its place,
//! because each is one more page that every commit writes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::fault::{self, Fault};
use super::{Durability, OpenError};

/// Says in the file's header that it is ours: "fp2p".
pub(super) const APPLICATION_ID: i32 = 0x6670_3270;

/// How long a connection waits for another process that writes, such as a person with `sqlite3`.
const BUSY_TIMEOUT_MS: u32 = 2_000;

/// After a burst the log file shrinks to this again.
const WAL_LIMIT_BYTES: u32 = 16 * 1024 * 1024;

const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The one connection that changes rows.
    Write,
    /// Moves pages from the log file into the database, and nothing else.
    Checkpoint,
    /// Reads.
    Read,
}

impl Purpose {
    /// How much memory its page cache may take. The whole idle daemon has 30 MB.
    fn cache_kib(self) -> u32 {
        match self {
            Self::Write => 4_096,
            Self::Checkpoint => 64,
            Self::Read => 2_048,
        }
    }
}

/// Opens a connection to a file that exists.
///
/// Nothing is memory-mapped: a disk that fails under a mapping kills the process with SIGBUS where a read would have
/// returned an error, and mapped pages count as resident.
pub(super) fn connect(path: &Path, purpose: Purpose) -> Result<Connection, Fault> {
    let access = match purpose {
        Purpose::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Purpose::Write | Purpose::Checkpoint => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(&format!(
        "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS};
         PRAGMA cache_size = -{};
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;
         PRAGMA trusted_schema = OFF;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;",
        purpose.cache_kib(),
    ))?;
    Ok(conn)
}

/// Sets how safe a commit is from now on. A new connection starts with the safest.
pub(super) fn set_durability(conn: &Connection, durability: Durability) -> Result<(), Fault> {
    let level = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    conn.pragma_update(None, "synchronous", level)?;
    Ok(())
}

/// Checks that the file is ours or empty, without changing it.
pub(super) fn recognise(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let foreign = || OpenError::Foreign { path: path.to_owned() };
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = match pragma("application_id") {
        Ok(application) => application,
        Err(error) if fault::is_no_database(&error) => return Err(foreign()),
        Err(error) => return Err(OpenError::from_fault(path, error)),
    };
    let version = pragma("user_version").map_err(|error| OpenError::from_fault(path, error))?;
    let empty = conn
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", (), |row| row.get(0))
        .map_err(|error| OpenError::from_fault(path, error))?;
    let fresh = application == 0 && version == 0 && empty;
    if application != APPLICATION_ID && !fresh {
        return Err(foreign());
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(()),
        _ => Err(OpenError::Newer { path: path.to_owned(), found: version, known: MIGRATIONS.len() }),
    }
}

/// Whether the file has all tables; a read-only visitor cannot make them.
pub(super) fn is_complete(conn: &Connection) -> Result<bool, Fault> {
    Ok(version(conn)? == MIGRATIONS.len())
}

fn version(conn: &Connection) -> Result<usize, Fault> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Brings the file to the latest version, in one transaction: a crash leaves the version before it.
pub(super) fn migrate(conn: &Connection) -> Result<(), Fault> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Wrong("the file system of the home folder cannot hold a write-ahead log".to_owned()));
    }
    conn.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    let done = version(conn)?;
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = conn.unchecked_transaction()?;
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    transaction.commit()?;
    Ok(())
}

/// Looks for damaged pages; the cost grows with the file.
pub(super) fn quick_check(conn: &Connection) -> Result<(), Fault> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        problem => Err(Fault::Damaged(problem.to_owned())),
    }
}
