//! The thread that owns the connection that writes.
//!
//! Alone, a commit is one transaction at once. When several wait, they share one transaction: syncing and the pages
//! that they have in common are paid once. One that fails must not take the others with it, so a group that fails is
//! rolled back and its commits are tried one by one; what follows the guilty one is refused until the core has
//! noticed, which it shows by a newer generation.
//!
//! What binds this node waits for the disk, whatever the durability is: a commit with `Write::Flush` begins a group.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fedp2p_core::store::{Commit, StoreError, Write};
use rusqlite::Connection;

use super::apply::{self, LogNumbers};
use super::checkpoint::{self, Policy};
use super::database;
use super::fault::Fault;
use super::{Durability, Event, Outbox, meta, schema};

/// Most writes in one transaction, and longest time that it takes commits in: what the first of them waits.
const MAX_GROUP_WRITES: usize = 256;
const MAX_GROUP_TIME: Duration = Duration::from_millis(2);

/// How often the thread looks whether the log has been moved, once it has asked for it.
const LOOK: Duration = Duration::from_millis(50);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Write this.
    Commit(Commit),
    /// Everything that was to be written has been told; mark the end of the run.
    Close,
}

#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    numbers: LogNumbers,
    policy: Policy,
    outbox: Outbox,
    durability: Durability,
    /// The highest generation in which a commit failed.
    failed: Option<u32>,
    /// How safe a commit is now.
    level: Durability,
    /// Commits of the transaction under way; kept to reuse its memory.
    group: Vec<Commit>,
    /// One that has to wait for the disk, and so for a group of its own.
    next: Option<Commit>,
}

/// How far the thread is with tidying up after the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    /// Something was written a moment ago.
    NotYet,
    /// The log is being moved into the database.
    Moving,
    /// There is nothing to do until the next commit.
    Settled,
}

/// Whether the queue goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Closed,
}

impl Writer {
    pub(super) fn new(conn: Connection, policy: Policy, outbox: Outbox, durability: Durability) -> Self {
        Self {
            conn,
            numbers: LogNumbers::default(),
            policy,
            outbox,
            durability,
            failed: None,
            level: durability,
            group: Vec::new(),
            next: None,
        }
    }

    /// Runs until it is told to close, or until the store is dropped: then without marking a clean stop.
    pub(super) fn run(mut self, commands: &Receiver<Command>) -> Result<(), StoreError> {
        let mut quiet = Quiet::Settled;
        loop {
            let command = match (self.next.take(), quiet) {
                (Some(commit), _) => Ok(Command::Commit(commit)),
                (None, Quiet::NotYet) => commands.recv_timeout(checkpoint::IDLE),
                (None, Quiet::Moving) => commands.recv_timeout(LOOK),
                (None, Quiet::Settled) => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match command {
                Ok(Command::Commit(first)) => {
                    quiet = Quiet::NotYet;
                    if self.commit_group(first, commands) == Flow::Closed {
                        return self.close();
                    }
                }
                Ok(Command::Close) => return self.close(),
                Err(RecvTimeoutError::Timeout) => quiet = self.settle(quiet),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Does what is to be done when nothing came for a while.
    fn settle(&mut self, quiet: Quiet) -> Quiet {
        if quiet == Quiet::NotYet {
            self.policy.idle();
            return Quiet::Moving;
        }
        if self.policy.is_moving() {
            return Quiet::Moving;
        }
        if self.durability == Durability::Normal {
            // The first commit after the whole log was moved starts it over and waits for the disk. Better this one
            // than one that somebody waits for. If it fails, so will the next, and that is reported.
            let _started = self.mark();
        }
        Quiet::Settled
    }

    fn mark(&mut self) -> Result<(), Fault> {
        let marked = self.begin().and_then(|()| meta::mark_tidied(&self.conn)).and_then(|()| self.end());
        marked.inspect_err(|_| self.rollback())
    }

    fn close(self) -> Result<(), StoreError> {
        // Dropping the policy ends the checkpoint thread.
        drop(self.policy);
        Ok(database::finish(self.conn)?)
    }

    fn commit_group(&mut self, first: Commit, commands: &Receiver<Command>) -> Flow {
        self.group.push(first);
        let (result, flow) = self.write_group(commands);
        match result {
            Ok(()) => {
                for commit in &self.group {
                    self.outbox.send(if self.is_superseded(commit) {
                        Event::CommitFailed(commit.token, StoreError::Superseded)
                    } else {
                        Event::Committed(commit.token)
                    });
                }
                self.policy.committed(&self.conn);
                self.group.clear();
            }
            Err(fault) => {
                self.rollback();
                self.separate(fault);
            }
        }
        flow
    }

    /// Writes the first commit of the group and those that wait behind it in one transaction.
    fn write_group(&mut self, commands: &Receiver<Command>) -> (Result<(), Fault>, Flow) {
        let started = Instant::now();
        let mut flow = Flow::Open;
        let mut writes = 0;
        let mut result = self.be_as_safe_as(self.group.iter().any(binds)).and_then(|()| self.begin());
        while result.is_ok() {
            let Some(commit) = self.group.last() else {
                break;
            };
            if !self.is_superseded(commit) {
                writes += commit.writes.len();
                result = apply_all(&self.conn, &mut self.numbers, commit);
            }
            if writes >= MAX_GROUP_WRITES || started.elapsed() >= MAX_GROUP_TIME {
                break;
            }
            match commands.try_recv() {
                Ok(Command::Commit(commit)) if binds(&commit) && self.level == Durability::Normal => {
                    self.next = Some(commit);
                    break;
                }
                Ok(Command::Commit(commit)) => self.group.push(commit),
                Ok(Command::Close) => {
                    flow = Flow::Closed;
                    break;
                }
                Err(_) => break,
            }
        }
        (result.and_then(|()| self.end()), flow)
    }

    /// Tries the commits of a failed group one by one.
    fn separate(&mut self, fault: Fault) {
        let mut group = std::mem::take(&mut self.group);
        if let [alone] = group.as_slice() {
            self.fail(alone, fault.into());
        } else {
            for commit in &group {
                match self.write_alone(commit) {
                    Ok(()) => self.outbox.send(Event::Committed(commit.token)),
                    Err(error) => self.fail(commit, error),
                }
            }
            self.policy.committed(&self.conn);
        }
        group.clear();
        self.group = group;
    }

    fn write_alone(&mut self, commit: &Commit) -> Result<(), StoreError> {
        if self.is_superseded(commit) {
            return Err(StoreError::Superseded);
        }
        let result =
            self.begin().and_then(|()| apply_all(&self.conn, &mut self.numbers, commit)).and_then(|()| self.end());
        result.map_err(|fault| {
            self.rollback();
            fault.into()
        })
    }

    fn fail(&mut self, commit: &Commit, error: StoreError) {
        self.failed = self.failed.max(Some(commit.token.generation));
        self.outbox.send(Event::CommitFailed(commit.token, error));
    }

    fn is_superseded(&self, commit: &Commit) -> bool {
        self.failed.is_some_and(|failed| commit.token.generation <= failed)
    }

    /// Sets whether the next transactions wait for the disk.
    fn be_as_safe_as(&mut self, full: bool) -> Result<(), Fault> {
        let level = if full { Durability::Full } else { self.durability };
        if self.level != level {
            schema::set_durability(&self.conn, level)?;
            self.level = level;
        }
        Ok(())
    }

    fn begin(&self) -> Result<(), Fault> {
        self.execute("BEGIN IMMEDIATE")
    }

    fn end(&self) -> Result<(), Fault> {
        self.execute("COMMIT")
    }

    fn execute(&self, sql: &str) -> Result<(), Fault> {
        self.conn.prepare_cached(sql)?.execute(())?;
        Ok(())
    }

    fn rollback(&mut self) {
        self.numbers.clear();
        // A full disk makes SQLite roll back by itself. If this one fails, the transaction stays open and every
        // commit after it fails at its beginning: nothing is written by halves, and the core hears of it.
        if !self.conn.is_autocommit() {
            let _rolled_back = self.execute("ROLLBACK");
        }
    }
}

/// Whether a commit must survive a power cut once it is reported.
fn binds(commit: &Commit) -> bool {
    commit.writes.iter().any(|write| matches!(write, Write::Flush))
}

fn apply_all(conn: &Connection, numbers: &mut LogNumbers, commit: &Commit) -> Result<(), Fault> {
    commit.writes.iter().try_for_each(|write| apply::write(conn, numbers, write))
}
