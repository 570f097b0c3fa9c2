//! An open database before its threads run: checks, and what is needed only at the start.

use std::io;
use std::path::{Path, PathBuf};

use fedp2p_core::input::Stored;
use fedp2p_core::store::{StoreError, Write};
use fedp2p_protocols::id::{LogEpochId, NodeId};
use fedp2p_protocols::name::NodeName;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::fault::{self, Fault};
use super::meta::{self, Key, LastRun, Meta};
use super::place::{self, Place};
use super::schema::{self, Purpose};
use super::{Event, Store, apply, load};

/// How safe a commit is once it is reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Survives the death of the process. A power cut may take the last moments; the node then starts a new log
    /// epoch, so it cannot contradict what it had already published, and peers bring back what they have of it.
    #[default]
    Normal,
    /// Survives a power cut as well. Each commit waits for the disk, some milliseconds.
    Full,
}

/// How a database is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How safe commits are.
    pub durability: Durability,
    /// The size in pages at which the disk counts as full.
    #[cfg(test)]
    pub(super) max_pages: Option<u32>,
    /// Whether every write fails as on a file system that was remounted read-only.
    #[cfg(test)]
    pub(super) read_only: bool,
}

impl Options {
    /// Returns the options for this durability.
    pub fn with(durability: Durability) -> Self {
        Self {
            durability,
            #[cfg(test)]
            max_pages: None,
            #[cfg(test)]
            read_only: false,
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be made, found or kept private.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file belongs to another program; it was not touched.
    #[error("{} is not a database of fedp2p", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this program; it was not touched.
    #[error("{} was written by a newer fedp2p (format {found}, this one knows {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The latest version that this program knows.
        known: usize,
    },
    /// The file is not complete and was opened only for reading.
    #[error("{} holds nothing yet", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Anything else: a damaged page, a full disk, a folder that cannot be written.
    #[error("{} cannot be opened", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: StoreError,
    },
}

impl OpenError {
    pub(super) fn from_fault(path: &Path, fault: impl Into<Fault>) -> Self {
        Self::Database { path: path.to_owned(), source: fault.into().into() }
    }

    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

/// How the last run of a database ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStop {
    /// There was none.
    FirstStart,
    /// With [`Store::close`].
    Clean,
    /// Without: the process was killed, or the power went.
    Unclean,
}

/// Why the log epoch of a database may not be written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewEpoch {
    /// There is none yet.
    FirstStart,
    /// The last commits may be lost and may have been published.
    UncleanAfterReboot,
    /// The database lies somewhere else than before, so the same log may be written twice.
    Copied,
}

/// What was found in a database.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// What it knows of its node.
    pub meta: Meta,
    /// How its last run ended.
    pub last_stop: LastStop,
    /// Whether a new log epoch has to be written before the first op, and why. It is asked for again at every start
    /// until [`Database::set_epoch`], [`Database::found`] or a `Write::Epoch` has written one.
    pub new_epoch: Option<NewEpoch>,
    /// What the core starts with.
    pub stored: Stored,
}

/// What the database of a new node is told first.
#[derive(Debug, Clone, Copy)]
pub struct Founding<'a> {
    /// The node.
    pub node: NodeId,
    /// Its certificate chain, encoded.
    pub chain: &'a [u8],
    /// The log epoch that it writes.
    pub epoch: LogEpochId,
    /// The name that it was given.
    pub name: &'a NodeName,
}

/// A node that was met before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedPeer {
    /// The node.
    pub node: NodeId,
    /// Where it was reached or said that it listens.
    pub addresses: Vec<String>,
    /// When it was last heard, in milliseconds since 1970.
    pub last_seen: u64,
}

/// An open database whose threads do not run yet.
///
/// Its methods block on the disk: they are for the start, before the loop. They are written with full synchronisation
/// whatever the durability is. Dropping it leaves the mark of an unclean stop; [`Database::close`] does not.
#[derive(Debug)]
pub struct Database {
    conn: Connection,
    path: PathBuf,
    durability: Durability,
}

impl Database {
    /// Opens or makes the database at `path`, brings it to the latest version and loads what the core starts with.
    ///
    /// The caller holds the lock of the home folder: two processes must not write one log.
    ///
    /// # Errors
    /// If the file belongs to another program or a newer version, is damaged, or cannot be written.
    pub fn open(path: &Path, options: &Options) -> Result<(Self, Opened), OpenError> {
        place::create_private(path).map_err(|error| OpenError::from_io(path, error))?;
        let conn = connect_checked(path, Purpose::Write)?;
        let place = Place::of(path).map_err(|error| OpenError::from_io(path, error))?;
        let opened = prepare(&conn, &place, options).map_err(|fault| OpenError::from_fault(path, fault))?;
        let database = Self { conn, path: path.to_owned(), durability: options.durability };
        #[cfg(test)]
        database.impair(options);
        Ok((database, opened))
    }

    #[cfg(test)]
    fn impair(&self, options: &Options) {
        if let Some(pages) = options.max_pages {
            let set = self.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            set.unwrap();
        }
        if options.read_only {
            self.conn.pragma_update(None, "query_only", true).unwrap();
        }
    }

    /// Writes everything that makes this the database of a node, at once.
    ///
    /// # Errors
    /// If it already belongs to a node, or cannot be written.
    pub fn found(&self, founding: &Founding<'_>) -> Result<(), StoreError> {
        self.write(|conn| {
            if meta::get::<Vec<u8>>(conn, Key::Node)?.is_some() {
                return Err(Fault::Wrong("the database already belongs to a node".to_owned()));
            }
            meta::set(conn, Key::Node, founding.node.as_bytes())?;
            meta::set(conn, Key::Chain, founding.chain)?;
            meta::set(conn, Key::Name, founding.name.as_str())?;
            meta::set_epoch(conn, &founding.epoch)
        })
    }

    /// Replaces the node's certificate chain, because the node has joined another organisation or was renewed.
    ///
    /// Logs, messages and members of before stay: they are history, and prove themselves.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_membership(&self, chain: &[u8]) -> Result<(), StoreError> {
        self.write(|conn| meta::set(conn, Key::Chain, chain))
    }

    /// Writes another log epoch from now on.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_epoch(&self, epoch: &LogEpochId) -> Result<(), StoreError> {
        self.write(|conn| meta::set_epoch(conn, epoch))
    }

    /// Remembers the port that the node listens on.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_port(&self, port: u16) -> Result<(), StoreError> {
        self.write(|conn| meta::set(conn, Key::Port, port))
    }

    /// Remembers the name that the node was given.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_name(&self, name: &NodeName) -> Result<(), StoreError> {
        self.write(|conn| meta::set(conn, Key::Name, name.as_str()))
    }

    /// Remembers where a node may be reached, so that it is dialled at every start.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn remember_peer(&self, node: &NodeId, addresses: &[String], last_seen: u64) -> Result<(), StoreError> {
        let write = Write::Peer { node: *node, addresses: addresses.to_vec(), last_seen };
        self.write(|conn| apply::write(conn, &mut apply::LogNumbers::default(), &write))
    }

    /// Returns what the database knows of its node.
    ///
    /// # Errors
    /// If the database is damaged.
    pub fn meta(&self) -> Result<Meta, StoreError> {
        Ok(Meta::read(&self.conn)?)
    }

    /// Returns the nodes that were met before, those heard last first.
    ///
    /// # Errors
    /// If the database is damaged.
    pub fn peers(&self) -> Result<Vec<RememberedPeer>, StoreError> {
        Ok(load::peers(&self.conn)?)
    }

    /// Starts the threads. Results go to `events`.
    ///
    /// # Errors
    /// If the other connections cannot be opened or a thread cannot be started.
    pub fn start(self, events: mpsc::Sender<Event>) -> Result<Store, OpenError> {
        schema::set_durability(&self.conn, self.durability)
            .map_err(|fault| OpenError::from_fault(&self.path, fault))?;
        Store::start(self.conn, &self.path, self.durability, events)
    }

    /// Ends the run without its threads having run.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn close(self) -> Result<(), StoreError> {
        Ok(finish(self.conn)?)
    }

    fn write(&self, change: impl FnOnce(&Connection) -> Result<(), Fault>) -> Result<(), StoreError> {
        let write = || -> Result<(), Fault> {
            let transaction = self.conn.unchecked_transaction()?;
            change(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        Ok(write()?)
    }
}

/// Opens a connection to a file and checks that it is ours, without changing it.
pub(super) fn connect_checked(path: &Path, purpose: Purpose) -> Result<Connection, OpenError> {
    let conn = match schema::connect(path, purpose) {
        Ok(conn) => conn,
        // The first look at the header already tells.
        Err(Fault::Sqlite(error)) if fault::is_no_database(&error) => {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
        Err(fault) => return Err(OpenError::from_fault(path, fault)),
    };
    schema::recognise(&conn, path)?;
    Ok(conn)
}

fn prepare(conn: &Connection, place: &Place, options: &Options) -> Result<Opened, Fault> {
    schema::migrate(conn)?;
    let last = LastRun::read(conn)?;
    let boot = place::boot_id();
    // A kill tears no page, and reading the whole file would make the restart after it slow.
    if last.was_cut_off(boot.as_deref()) {
        schema::quick_check(conn)?;
    }
    let new_epoch = last.new_epoch(place, boot.as_deref());
    let transaction = conn.unchecked_transaction()?;
    meta::begin_run(&transaction, place, boot.as_deref(), options.durability, new_epoch)?;
    transaction.commit()?;
    Ok(Opened { meta: Meta::read(conn)?, last_stop: last.stop, new_epoch, stored: load::stored(conn)? })
}

/// Marks the end of a run and leaves one file behind.
pub(super) fn finish(conn: Connection) -> Result<(), Fault> {
    // A failed commit has left nothing behind: whatever was reported as durable is here.
    meta::end_run(&conn)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    conn.close().map_err(|(_, error)| Fault::Sqlite(error))
}
