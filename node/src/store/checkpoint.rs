//! Moves pages from the log file into the database, on a thread of its own.
//!
//! SQLite would do it inside a commit, which then waits for the disk twice: 8 ms instead of 40 microseconds. Here the
//! writer only asks, and goes on while it is done. It asks when the log has grown, and when nothing was written for a
//! moment: so whatever is a few seconds old survives a power cut as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use rusqlite::Connection;

use super::fault::Fault;

/// How long nothing must be written before the log is moved.
pub(super) const IDLE: Duration = Duration::from_secs(2);

/// How much the log grows before it is moved while commits go on: 4 MiB.
const SOFT_PAGES: u32 = 1_024;

/// From here on the writer moves the log itself: 64 MiB. Under commits without a pause the thread never reaches the
/// end of the log, and only from there can SQLite start it over.
const HARD_PAGES: u32 = 16_384;

/// Runs until the writer is gone; `moving` is lowered whenever it has done what it was asked for.
pub(super) fn run(conn: &Connection, requests: &Receiver<()>, moving: &AtomicBool) {
    while requests.recv().is_ok() {
        // If it fails the pages stay in the log, where they are as safe, and the next request tries again. What
        // made it fail will fail a commit soon, and that is reported.
        let _moved = passive(conn);
        moving.store(false, Ordering::Release);
    }
}

fn passive(conn: &Connection) -> Result<(), Fault> {
    conn.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row((), |_| Ok(()))?;
    Ok(())
}

/// The writer's side: decides when to ask.
#[derive(Debug)]
pub(super) struct Policy {
    /// Pages in the log file, as SQLite told after the last commit.
    pages: Arc<AtomicU32>,
    /// How many there were when the log was last moved.
    asked: u32,
    requests: SyncSender<()>,
    /// Whether the thread has something to do.
    moving: Arc<AtomicBool>,
}

impl Policy {
    /// Watches the commits of `conn`.
    pub(super) fn watch(
        conn: &mut Connection,
        requests: SyncSender<()>,
        moving: Arc<AtomicBool>,
    ) -> Result<Self, Fault> {
        let pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, asked: 0, requests, moving })
    }

    /// Is told after each commit.
    pub(super) fn committed(&mut self, conn: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked {
            // The log has started over.
            self.asked = 0;
        }
        if pages - self.asked < SOFT_PAGES {
            return;
        }
        self.asked = pages;
        if pages >= HARD_PAGES {
            // As above: it is tried again when the log has grown by as much once more.
            let _moved = passive(conn);
        } else {
            self.ask();
        }
    }

    /// Is told when nothing was written for [`IDLE`].
    pub(super) fn idle(&mut self) {
        self.asked = self.pages.load(Ordering::Relaxed);
        self.ask();
    }

    /// Whether the log is being moved.
    pub(super) fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Acquire)
    }

    fn ask(&self) {
        self.moving.store(true, Ordering::Release);
        // A full queue means that it was asked already, a closed one that the store is being dropped.
        if let Err(TrySendError::Disconnected(())) = self.requests.try_send(()) {
            self.moving.store(false, Ordering::Release);
        }
    }
}
