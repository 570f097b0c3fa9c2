//! What a database knows of itself: a table of keys and values.
//!
//! Some of it belongs to the node (its id, chain, log epoch, port and name), some to the last run (where it ran,
//! whether it ended well). From the second part follows whether the log epoch may still be written.

use fedp2p_protocols::id::{LogEpochId, NodeId};
use fedp2p_protocols::name::NodeName;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::fault::Fault;
use super::place::Place;
use super::{Durability, LastStop, NewEpoch};

/// What a database knows of the node that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The node whose logs it writes; absent before [`found`](super::Database::found).
    pub node: Option<NodeId>,
    /// The node's certificate chain, encoded.
    pub chain: Option<Vec<u8>>,
    /// The log epoch that it writes.
    pub epoch: Option<LogEpochId>,
    /// The port that the node listened on.
    pub port: Option<u16>,
    /// The name that the node was given.
    pub name: Option<NodeName>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    Node,
    Chain,
    Epoch,
    Port,
    Name,
    /// The PIN of the node, hashed.
    Pin,
    /// Whether the last run ended with `close`.
    Clean,
    /// The boot id of the last run.
    Boot,
    /// How safe the commits of the last run were.
    Durability,
    Path,
    Inode,
    Born,
    /// Why a new log epoch is needed; stands until one is written, whatever happens between.
    EpochDue,
    /// How often the log file was started over while nothing else was written.
    Tidied,
}

impl Key {
    fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Chain => "chain",
            Self::Epoch => "epoch",
            Self::Port => "port",
            Self::Name => "name",
            Self::Pin => "pin",
            Self::Clean => "clean",
            Self::Boot => "boot",
            Self::Durability => "durability",
            Self::Path => "path",
            Self::Inode => "inode",
            Self::Born => "born",
            Self::EpochDue => "epoch_due",
            Self::Tidied => "tidied",
        }
    }
}

pub(super) fn get<T: FromSql>(conn: &Connection, key: Key) -> Result<Option<T>, Fault> {
    let value = conn
        .prepare_cached("SELECT value FROM meta WHERE key = ?")?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()?;
    Ok(value)
}

pub(super) fn set(conn: &Connection, key: Key, value: impl ToSql) -> Result<(), Fault> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")?.execute((key.as_str(), value))?;
    Ok(())
}

pub(super) fn remove(conn: &Connection, key: Key) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM meta WHERE key = ?")?.execute([key.as_str()])?;
    Ok(())
}

/// Writes the log epoch; whatever made a new one necessary is dealt with.
pub(super) fn set_epoch(conn: &Connection, epoch: &LogEpochId) -> Result<(), Fault> {
    set(conn, Key::Epoch, epoch.as_bytes())?;
    remove(conn, Key::EpochDue)
}

impl Meta {
    pub(super) fn read(conn: &Connection) -> Result<Self, Fault> {
        let name = match get::<String>(conn, Key::Name)? {
            None => None,
            Some(text) => {
                Some(text.parse().map_err(|_| Fault::Damaged("the stored name of the node is not valid".to_owned()))?)
            }
        };
        Ok(Self {
            node: get(conn, Key::Node)?.map(NodeId::from_bytes),
            chain: get(conn, Key::Chain)?,
            epoch: get(conn, Key::Epoch)?.map(LogEpochId::from_bytes),
            port: get(conn, Key::Port)?,
            name,
        })
    }
}

/// How the last run ended, as far as the next has to know.
#[derive(Debug)]
pub(super) struct LastRun {
    pub(super) stop: LastStop,
    boot: Option<String>,
    durability: Durability,
    place: Option<Place>,
    due: Option<NewEpoch>,
    founded: bool,
}

impl LastRun {
    pub(super) fn read(conn: &Connection) -> Result<Self, Fault> {
        let stop = match get::<bool>(conn, Key::Clean)? {
            None => LastStop::FirstStart,
            Some(true) => LastStop::Clean,
            Some(false) => LastStop::Unclean,
        };
        let durability = match get::<String>(conn, Key::Durability)?.as_deref() {
            Some("full") => Durability::Full,
            _ => Durability::Normal,
        };
        let (inode, born) = (get(conn, Key::Inode)?, get(conn, Key::Born)?);
        let place = get(conn, Key::Path)?.map(|path| Place { path, inode, born });
        let due = match get::<String>(conn, Key::EpochDue)?.as_deref() {
            None => None,
            Some("copied") => Some(NewEpoch::Copied),
            Some(_) => Some(NewEpoch::UncleanAfterReboot),
        };
        Ok(Self {
            stop,
            boot: get(conn, Key::Boot)?,
            durability,
            place,
            due,
            founded: get::<[u8; 16]>(conn, Key::Epoch)?.is_some(),
        })
    }

    /// Whether the machine may have lost what was not on the disk yet. A process that is killed loses nothing: the
    /// system has what it wrote. Two boots that cannot be told apart are taken for different ones.
    pub(super) fn was_cut_off(&self, boot: Option<&str>) -> bool {
        let rebooted = boot.is_none() || self.boot.as_deref() != boot;
        self.stop == LastStop::Unclean && rebooted
    }

    /// Returns why the log epoch may not be written any more.
    pub(super) fn new_epoch(&self, place: &Place, boot: Option<&str>) -> Option<NewEpoch> {
        if !self.founded {
            return Some(NewEpoch::FirstStart);
        }
        if self.place.as_ref() != Some(place) {
            return Some(NewEpoch::Copied);
        }
        if self.was_cut_off(boot) && self.durability == Durability::Normal {
            return Some(NewEpoch::UncleanAfterReboot);
        }
        self.due
    }
}

/// Writes down that a run has begun and has not ended yet.
///
/// It has to be on the disk before the first op is published, else a power cut would leave the mark of the clean stop
/// before it: the caller commits it with full synchronisation.
pub(super) fn begin_run(
    conn: &Connection,
    place: &Place,
    boot: Option<&str>,
    durability: Durability,
    due: Option<NewEpoch>,
) -> Result<(), Fault> {
    set(conn, Key::Clean, false)?;
    set(conn, Key::Path, &place.path)?;
    for (key, value) in [(Key::Inode, place.inode), (Key::Born, place.born)] {
        match value {
            Some(value) => set(conn, key, value)?,
            None => remove(conn, key)?,
        }
    }
    match boot {
        Some(boot) => set(conn, Key::Boot, boot)?,
        None => remove(conn, Key::Boot)?,
    }
    let durability = match durability {
        Durability::Normal => "normal",
        Durability::Full => "full",
    };
    set(conn, Key::Durability, durability)?;
    match due {
        Some(NewEpoch::Copied) => set(conn, Key::EpochDue, "copied"),
        Some(NewEpoch::UncleanAfterReboot) => set(conn, Key::EpochDue, "unclean after reboot"),
        // A first start is known by its missing epoch.
        Some(NewEpoch::FirstStart) | None => Ok(()),
    }
}

/// Writes down that the run has ended well.
pub(super) fn end_run(conn: &Connection) -> Result<(), Fault> {
    set(conn, Key::Clean, true)
}

/// Writes something that says nothing about the node, but is another value each time.
pub(super) fn mark_tidied(conn: &Connection) -> Result<(), Fault> {
    conn.prepare_cached("INSERT INTO meta (key, value) VALUES (?, 1) ON CONFLICT DO UPDATE SET value = value + 1")?
        .execute([Key::Tidied.as_str()])?;
    Ok(())
}
