//! The store: everything that outlives the process, in one SQLite file.
//!
//! The loop opens a [`Database`], takes from it what the core starts with, and turns it into a running [`Store`]. From
//! then on it hands over commits and reads, which never block, and gets [`Event`]s back on a channel. The store decides
//! nothing: positions, heights and what is a duplicate come from the core. It checks only what would otherwise be lost
//! in silence, such as an entry that does not follow its log.
//!
//! | module | holds |
//! |---|---|
//! | `database`, `place`, `meta` | opening, and what a database knows of itself and of its last run |
//! | `schema`, `schema_1.sql` | tables, migrations, how a connection is set up |
//! | `writer`, `apply`, `checkpoint` | the thread that commits, each write as SQL, the thread that tidies up |
//! | `reader`, `range`, `history`, `load` | the threads that read, and what they read |
//! | `verify` | the proof of the whole history |
//! | `row`, `fault` | rows become domain types, failures become [`StoreError`] |
//!
//! # Invariants
//! - One commit is one transaction or part of one: all of it is there or nothing.
//! - [`Event::Committed`] is sent in the order of the commits, after they are as durable as [`Durability`] says.
//! - After a failure, commits of the same or an older generation are refused, also those that found a full queue.
//! - A read sees every commit that was reported before it was asked.
//!
//! # Queues
//! Commands: 1,024 commits, 256 reads for each of two threads; a full queue refuses ([`Refused::Busy`]). Events: the
//! bound is the caller's; a full channel makes the threads wait, so a slow loop slows the store and nothing is lost.
//!
//! # Threads
//! One writes, one moves the log file into the database, and two read: the answers for people and agents do not wait
//! behind the bulk that peers ask for. A verification gets a thread for as long as it takes.

mod apply;
mod checkpoint;
mod database;
mod fault;
mod history;
mod load;
mod meta;
mod notes;
mod place;
mod range;
mod reader;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fedp2p_core::store::{Commit, CommitToken, Read, ReadOutcome, ReadToken, StoreError};
use rusqlite::Connection;
use tokio::sync::mpsc;

pub use database::{Database, Durability, Founding, LastStop, NewEpoch, OpenError, Opened, Options, RememberedPeer};
pub use meta::Meta;
pub use verify::verify_file;

use checkpoint::Policy;
use fault::Fault;
use reader::Reader;
use schema::Purpose;
use writer::Writer;

/// Most commits that wait.
pub(crate) const COMMIT_QUEUE: usize = 1_024;

/// Most reads that wait for one thread.
const READ_QUEUE: usize = 256;

/// How often a thread looks again whether the event channel has room.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// What the store tells the loop.
#[derive(Debug)]
pub enum Event {
    /// A commit is durable.
    Committed(CommitToken),
    /// Nothing of a commit was written.
    CommitFailed(CommitToken, StoreError),
    /// A read came back.
    Read(ReadToken, ReadOutcome),
}

/// A commit or read was not taken. Nothing of it happens and no event follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The queue is full.
    #[error("too much waits for the disk")]
    Busy,
    /// An earlier commit of this or a newer generation was refused.
    #[error("an earlier write was refused")]
    Superseded,
    /// The thread has ended.
    #[error("the store has stopped")]
    Stopped,
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Superseded => Self::Superseded,
            Refused::Busy | Refused::Stopped => Self::Other(refused.to_string()),
        }
    }
}

/// Where the threads put what they have to tell.
#[derive(Debug, Clone)]
struct Outbox {
    events: mpsc::Sender<Event>,
    closing: Arc<AtomicBool>,
}

impl Outbox {
    /// Sends an event, and waits while the channel is full.
    ///
    /// It looks again and again instead of sleeping in the channel: once the store is closing nobody may be left to
    /// take events out, and the thread has to end all the same.
    fn send(&self, mut event: Event) {
        loop {
            match self.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(_)) if self.is_closing() => return,
                Err(mpsc::error::TrySendError::Full(returned)) => {
                    event = returned;
                    thread::sleep(FULL_PAUSE);
                }
            }
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

/// The running store. One task holds it; nothing of it blocks but [`Store::close`] and dropping it.
///
/// Dropping it finishes what was taken, waits for the threads, and leaves the mark of an unclean stop.
#[derive(Debug)]
pub struct Store {
    commits: Option<SyncSender<writer::Command>>,
    answers: Option<SyncSender<reader::Command>>,
    bulk: Option<SyncSender<reader::Command>>,
    closing: Arc<AtomicBool>,
    /// Commits of generations below this are refused, because one before them was.
    least_generation: AtomicU64,
    writer: Option<JoinHandle<Result<(), StoreError>>>,
    helpers: Vec<JoinHandle<()>>,
}

impl Store {
    fn start(
        mut conn: Connection,
        path: &Path,
        durability: Durability,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, OpenError> {
        let failed = |fault: Fault| OpenError::from_fault(path, fault);
        let closing = Arc::new(AtomicBool::new(false));
        let outbox = Outbox { events, closing: Arc::clone(&closing) };
        let reader = || {
            let conn = schema::connect(path, Purpose::Read).map_err(failed)?;
            Ok(Reader::new(conn, path.to_owned(), outbox.clone()))
        };
        let (answering, serving) = (reader()?, reader()?);
        let mover = schema::connect(path, Purpose::Checkpoint).map_err(failed)?;
        // One request that waits is as good as many.
        let (requests, requested) = sync_channel(1);
        let moving = Arc::new(AtomicBool::new(false));
        let policy = Policy::watch(&mut conn, requests, Arc::clone(&moving)).map_err(failed)?;
        let writer = Writer::new(conn, policy, outbox.clone(), durability);

        let spawned = |error| OpenError::from_io(path, error);
        let (commits, to_commit) = sync_channel(COMMIT_QUEUE);
        let (answers, to_answer) = sync_channel(READ_QUEUE);
        let (bulk, to_serve) = sync_channel(READ_QUEUE);
        // If one cannot be started, the others end because their queues are dropped.
        Ok(Self {
            helpers: vec![
                spawn("store-tidy", move || checkpoint::run(&mover, &requested, &moving)).map_err(spawned)?,
                spawn("store-answer", move || answering.run(&to_answer)).map_err(spawned)?,
                spawn("store-serve", move || serving.run(&to_serve)).map_err(spawned)?,
            ],
            writer: Some(spawn("store-write", move || writer.run(&to_commit)).map_err(spawned)?),
            commits: Some(commits),
            answers: Some(answers),
            bulk: Some(bulk),
            closing,
            least_generation: AtomicU64::new(0),
        })
    }

    /// Hands over a commit; [`Event::Committed`] or [`Event::CommitFailed`] follows.
    ///
    /// # Errors
    /// If it was not taken. Then the rest of its generation is not taken either: it may build upon this one.
    pub fn commit(&self, commit: Commit) -> Result<(), Refused> {
        let generation = u64::from(commit.token.generation);
        if generation < self.least_generation.load(Ordering::Relaxed) {
            return Err(Refused::Superseded);
        }
        let taken = offer(self.commits.as_ref(), writer::Command::Commit(commit));
        if taken.is_err() {
            self.least_generation.store(generation + 1, Ordering::Relaxed);
        }
        taken
    }

    /// Hands over a read; [`Event::Read`] follows.
    ///
    /// # Errors
    /// If it was not taken.
    pub fn read(&self, token: ReadToken, read: Read) -> Result<(), Refused> {
        let is_bulk = matches!(read, Read::Range { .. } | Read::Verify);
        let lane = if is_bulk { &self.bulk } else { &self.answers };
        offer(lane.as_ref(), (token, read))
    }

    /// Writes what was taken, marks the clean stop, moves the log file into the database and ends the threads.
    ///
    /// Blocks on the disk. Events of what was still written are sent as far as the channel has room.
    ///
    /// # Errors
    /// If the mark cannot be written; what was reported as committed is durable all the same.
    pub fn close(mut self) -> Result<(), StoreError> {
        if let Some(commits) = &self.commits {
            // Waits for a place in the queue; if the thread has ended, its result says why.
            let _told = commits.send(writer::Command::Close);
        }
        self.stop()
    }

    fn stop(&mut self) -> Result<(), StoreError> {
        self.closing.store(true, Ordering::Release);
        self.answers = None;
        self.bulk = None;
        self.commits = None;
        let result = match self.writer.take() {
            None => Ok(()),
            Some(writer) => writer
                .join()
                .unwrap_or_else(|_| Err(StoreError::Other("the thread that writes has panicked".to_owned()))),
        };
        for helper in self.helpers.drain(..) {
            // They own nothing that could be lost, and a panic has been printed.
            let _ended = helper.join();
        }
        result
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The lock of the home folder is released after this: until then no thread of ours may write.
        let _stopped = self.stop();
    }
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn offer<T>(queue: Option<&SyncSender<T>>, command: T) -> Result<(), Refused> {
    let queue = queue.ok_or(Refused::Stopped)?;
    queue.try_send(command).map_err(|error| match error {
        TrySendError::Full(_) => Refused::Busy,
        TrySendError::Disconnected(_) => Refused::Stopped,
    })
}
