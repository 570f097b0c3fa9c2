//! The store against real files in folders of their own. Nothing sleeps: every wait is for an event.

mod opening;
mod reading;
mod verifying;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedp2p_core::store::{Commit, CommitToken, MessageIndex, OpWrite, Read, ReadOutcome, ReadToken, StoreError, Write};
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{ConversationId, LogEpochId, LogId, NetworkId, NodeId, OpId};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::{Header, Kind, NO_BACKLINK, NodeKey, Verified};
use fedp2p_protocols::payload::{Change, Message, MessageType};
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Database, Event, Founding, Opened, Options, Store};

const LOBBY: ConversationId = ConversationId::from_bytes([7; 16]);

/// A clock value to start from: some day in 2025.
const START_MS: u64 = 1_750_000_000_000;

/// One log of one node, growing.
#[derive(Debug, Clone)]
struct Author {
    key: NodeKey,
    log: LogId,
    conversation: ConversationId,
    seq: u64,
    head: OpId,
}

impl Author {
    fn new(seed: u8) -> Self {
        Self {
            key: NodeKey::from_seed([seed; 32]),
            log: LogId::from_bytes([seed; 16]),
            conversation: LOBBY,
            seq: 0,
            head: NO_BACKLINK,
        }
    }

    fn log_key(&self) -> LogKey {
        LogKey { author: self.key.id(), log: self.log }
    }

    fn agent(&self, name: &str) -> AgentId {
        AgentId { node: self.key.id(), name: name.parse().unwrap() }
    }

    /// Signs the next entry of the log.
    fn entry(&mut self, kind: Kind, agent: Option<&str>, payload: &[u8]) -> Arc<Verified> {
        self.seq += 1;
        let header = Header {
            network: NetworkId::from_bytes([1; 16]),
            author: self.key.id(),
            log: self.log,
            seq: self.seq,
            backlink: self.head,
            conversation: self.conversation,
            deps: vec![],
            hlc: Hlc::at(START_MS + self.seq * 1_000),
            kind,
            agent: agent.map(|name| name.parse().unwrap()),
            payload_hash: [0; 32],
            payload_len: 0,
            floor: None,
        };
        let op = self.key.sign(header, payload).unwrap();
        self.head = op.id();
        Arc::new(op)
    }

    fn say(&mut self, text: &str) -> Said {
        self.say_as("coder", text, &[], MessageType::Chat, None)
    }

    fn say_as(
        &mut self,
        agent: &str,
        text: &str,
        to: &[AgentId],
        kind: MessageType,
        correlation: Option<&str>,
    ) -> Said {
        let message = Message {
            to: to.to_vec(),
            kind,
            text: text.to_owned(),
            correlation: correlation.map(str::to_owned),
            ..Message::default()
        };
        let index =
            MessageIndex { to: message.to.clone(), kind, correlation: message.correlation.clone(), reply_to: None };
        let op = self.entry(Kind::Message, Some(agent), &message.encode());
        Said { op, index }
    }

    fn change(&mut self, epoch: u32) -> Arc<Verified> {
        let change = Change { epoch, change: vec![1, 2, 3] };
        self.entry(Kind::Change, None, &change.encode())
    }
}

/// A message and what the core would index it by.
#[derive(Debug)]
struct Said {
    op: Arc<Verified>,
    index: MessageIndex,
}

impl Said {
    fn at(self, position: u64) -> Write {
        Write::Op(OpWrite { position, op: self.op, document_epoch: None, message: Some(self.index), note: None })
    }
}

fn changed(position: u64, op: Arc<Verified>, epoch: u32) -> Write {
    Write::Op(OpWrite { position, op, document_epoch: Some(epoch), message: None, note: None })
}

fn name(text: &str) -> AgentName {
    text.parse().unwrap()
}

fn node(seed: u8) -> NodeId {
    NodeKey::from_seed([seed; 32]).id()
}

/// A home folder, without a daemon.
#[derive(Debug)]
struct Home {
    folder: TempDir,
    options: Options,
}

impl Home {
    /// A folder with the database of a node.
    fn new() -> Self {
        let home = Self::empty();
        let (database, _) = home.open();
        found(&database);
        database.close().unwrap();
        home
    }

    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), options: Options::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("fedp2p.db")
    }

    fn open(&self) -> (Database, Opened) {
        Database::open(&self.path(), &self.options).unwrap()
    }

    fn start(&self) -> Running {
        let (database, opened) = self.open();
        Running::start(database, opened)
    }

    /// A way in behind the store's back.
    fn sqlite(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn found(database: &Database) {
    let founding = Founding {
        node: node(1),
        chain: b"chain",
        epoch: LogEpochId::from_bytes([3; 16]),
        name: &"taichi".parse().unwrap(),
    };
    database.found(&founding).unwrap();
}

/// A store that runs.
#[derive(Debug)]
struct Running {
    store: Store,
    events: mpsc::Receiver<Event>,
    opened: Opened,
    generation: u32,
    number: u64,
}

impl Running {
    fn start(database: Database, opened: Opened) -> Self {
        let (sender, events) = mpsc::channel(4_096);
        Self { store: database.start(sender).unwrap(), events, opened, generation: 0, number: 0 }
    }

    /// Hands over a commit without waiting for it.
    fn hand_over(&mut self, writes: Vec<Write>) -> CommitToken {
        self.number += 1;
        let token = CommitToken { generation: self.generation, number: self.number };
        self.store.commit(Commit { token, writes }).unwrap();
        token
    }

    fn next(&mut self) -> Event {
        self.events.blocking_recv().unwrap()
    }

    fn next_commit(&mut self) -> (CommitToken, Result<(), StoreError>) {
        match self.next() {
            Event::Committed(token) => (token, Ok(())),
            Event::CommitFailed(token, error) => (token, Err(error)),
            Event::Read(..) => panic!("nothing was read"),
        }
    }

    fn try_commit(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        let token = self.hand_over(writes);
        let (answered, result) = self.next_commit();
        assert_eq!(answered, token);
        result
    }

    fn commit(&mut self, writes: Vec<Write>) {
        self.try_commit(writes).unwrap();
    }

    fn read(&mut self, read: Read) -> ReadOutcome {
        self.number += 1;
        let token = ReadToken(self.number);
        self.store.read(token, read).unwrap();
        let event = self.next();
        let Event::Read(answered, outcome) = event else { panic!("{event:?}") };
        assert_eq!(answered, token);
        outcome
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}
