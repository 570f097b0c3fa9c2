//! What the core asks of the store, and what it gets back.
//!
//! Writes go in one queue and become durable in its order; reads see everything that was committed before they were
//! asked. The core decides positions, so the store only keeps what it is told.

use std::sync::Arc;

use fedp2p_protocols::api::log_verify;
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{ConversationId, LogEpochId, NodeId, OpId, TicketId};
use fedp2p_protocols::name::{AgentName, NoteName};
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::sync::{LogKey, Want};
use fedp2p_protocols::vote::AgentId;

use crate::pin::Pin;

/// Names one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitToken {
    /// Goes up by one after each failure. Once a commit of a generation failed, the store refuses the rest of it.
    pub generation: u32,
    /// Goes up by one with each commit.
    pub number: u64,
}

/// Writes that become durable together or not at all.
#[derive(Debug)]
pub struct Commit {
    /// Names the commit.
    pub token: CommitToken,
    /// What is written, in order.
    pub writes: Vec<Write>,
}

/// One write.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Write {
    /// A new entry of a log; the log's height, head and clock follow from it.
    Op(OpWrite),
    /// The message at this position waits for an agent of this node.
    Inbox {
        /// The agent.
        agent: AgentName,
        /// The message.
        position: u64,
        /// Whether it is held.
        held: bool,
        /// Whether it is urgent.
        urgent: bool,
        /// When it is not handed out any more, in milliseconds since 1970.
        expires: Option<u64>,
    },
    /// What was held for an agent of this node is let through by now, or held again. It does nothing to what was not
    /// held or was handed out since.
    Judged {
        /// The agent.
        agent: AgentName,
        /// The message.
        position: u64,
        /// Whether it is held.
        held: bool,
    },
    /// An agent of this node has been handed everything up to this position.
    Cursor {
        /// The agent.
        agent: AgentName,
        /// The position.
        position: u64,
        /// Whether what was held up to there was handed out too.
        held: bool,
    },
    /// An agent has been handed one message by itself.
    Handed {
        /// The agent.
        agent: AgentId,
        /// The message.
        message: OpId,
    },
    /// A node holds one of our logs up to this height.
    Reach {
        /// The node.
        peer: NodeId,
        /// Our log.
        key: LogKey,
        /// The height.
        height: u64,
    },
    /// An agent has been handed a log up to this entry.
    Surfaced {
        /// The agent.
        agent: AgentId,
        /// The log.
        key: LogKey,
        /// The entry.
        seq: u64,
    },
    /// An agent acknowledged a message.
    Acknowledged {
        /// The agent.
        agent: AgentId,
        /// The message.
        message: OpId,
    },
    /// The certificate chain of a node; a later one replaces it.
    Member {
        /// The node.
        node: NodeId,
        /// Its chain.
        chain: Vec<u8>,
    },
    /// A ticket that was issued, or its use.
    Ticket {
        /// The ticket.
        id: TicketId,
        /// Its secret.
        secret: [u8; 32],
        /// When it expires, in milliseconds since 1970.
        expires: u64,
        /// Who used it.
        used_by: Option<NodeId>,
    },
    /// The PIN of the node, or a wrong try at it.
    Pin(Pin),
    /// A node's own certificate was renewed.
    OwnChain(Vec<u8>),
    /// A proven fork.
    Fork {
        /// The log.
        key: LogKey,
        /// Its conversation.
        conversation: ConversationId,
        /// The first position that has two entries.
        seq: u64,
        /// The entry before it.
        common: OpId,
        /// The encoded proof.
        proof: Vec<u8>,
    },
    /// This epoch of an author's document counts from now on; older ones never will again.
    Document {
        /// The author.
        author: NodeId,
        /// The conversation.
        conversation: ConversationId,
        /// The document epoch.
        epoch: u32,
    },
    /// From now on this database writes another log epoch.
    Epoch(LogEpochId),
    /// This commit, with everything before it, must survive a power cut from the moment that it is reported: it promises
    /// something, or gives a number away.
    Flush,
    /// Where a node was reached or says it listens, and when it was heard.
    Peer {
        /// The node.
        node: NodeId,
        /// Its addresses; empty leaves them as they are.
        addresses: Vec<String>,
        /// In milliseconds since 1970.
        last_seen: u64,
    },
}

/// A new entry of a log.
#[derive(Debug, Clone)]
pub struct OpWrite {
    /// Its place in this node's order of arrival, which never contradicts dependencies.
    pub position: u64,
    /// The op.
    pub op: Arc<Verified>,
    /// For changes and checkpoints: their document epoch.
    pub document_epoch: Option<u32>,
    /// For messages: what history filters by.
    pub message: Option<MessageIndex>,
    /// For changes of notes: the note.
    pub note: Option<NoteName>,
}

/// What history filters by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageIndex {
    /// For whom; empty means everybody.
    pub to: Vec<AgentId>,
    /// What it is for.
    pub kind: MessageType,
    /// Ties messages together.
    pub correlation: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<OpId>,
}

/// Why the store could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left.
    #[error("the disk is full")]
    Full,
    /// The database cannot be written.
    #[error("the home folder cannot be written")]
    ReadOnly,
    /// A page of the database is damaged.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// A commit before this one failed.
    #[error("an earlier write failed")]
    Superseded,
    /// Anything else.
    #[error("the database failed: {0}")]
    Other(String),
}

/// Names one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadToken(pub u64);

/// One read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// Ops that another node wants, in order of position.
    Range {
        /// The conversation.
        conversation: ConversationId,
        /// Which logs, from where.
        wants: Vec<Want>,
        /// Only after this position.
        after: u64,
        /// About this many bytes.
        max_bytes: usize,
    },
    /// The entry of a log at one place.
    At {
        /// The log.
        key: LogKey,
        /// The place.
        seq: u64,
    },
    /// The proof of a fork.
    Proof {
        /// The log.
        key: LogKey,
        /// The first position that has two entries.
        seq: u64,
    },
    /// Which of these ops are stored.
    Known(Vec<OpId>),
    /// What waits for an agent of this node after its cursor.
    Inbox {
        /// The agent.
        agent: AgentName,
        /// At most this many.
        limit: u32,
        /// Also what is held.
        held: bool,
        /// Only what is urgent; how much is held is not counted then.
        urgent: bool,
        /// What expired before is left out, in milliseconds since 1970.
        now_ms: u64,
    },
    /// What was held for an agent of this node and was not handed out since, whether it was let through or not.
    Held {
        /// The agent.
        agent: AgentName,
        /// Only after this position.
        after: u64,
        /// At most this many.
        limit: u32,
    },
    /// Everything at these positions or before that waits for an agent.
    InboxUpTo {
        /// The agent.
        agent: AgentName,
        /// The position.
        position: u64,
        /// Also what is held.
        held: bool,
        /// What expired before is left out, in milliseconds since 1970.
        now_ms: u64,
    },
    /// The messages of the thread of one message, the newest; answered with [`ReadOutcome::History`].
    Thread {
        /// A message of it.
        message: OpId,
        /// At most this many.
        limit: u32,
    },
    /// Messages.
    History(HistoryFilter),
    /// Messages whose id starts with each of these texts.
    Find(Vec<String>),
    /// Checks everything.
    Verify,
    /// All changes of one note, by position.
    Note {
        /// The conversation.
        conversation: ConversationId,
        /// The note.
        name: NoteName,
    },
    /// The notes of a conversation, by name.
    Notes {
        /// The conversation.
        conversation: ConversationId,
        /// Only those after this name.
        after: Option<NoteName>,
        /// At most this many.
        limit: u32,
    },
    /// Checkpoints and changes of one author in one conversation, by position.
    Changes {
        /// The author.
        author: NodeId,
        /// The conversation.
        conversation: ConversationId,
    },
}

/// Which messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Only these authors.
    pub from: Option<AgentId>,
    /// Only to this recipient by name, or to everybody.
    pub to: Option<AgentId>,
    /// Only of this type.
    pub kind: Option<MessageType>,
    /// Only of this conversation.
    pub conversation: Option<ConversationId>,
    /// Only with this correlation id.
    pub correlation: Option<String>,
    /// Only this message.
    pub id: Option<OpId>,
    /// Only from this clock value on.
    pub since_ms: Option<u64>,
    /// Only before this clock value.
    pub until_ms: Option<u64>,
    /// Only before this position.
    pub before: Option<u64>,
    /// At most this many, the newest.
    pub limit: u32,
}

/// One op with its position.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its place in this node's order of arrival.
    pub position: u64,
    /// The op.
    pub op: Arc<Verified>,
}

/// Most messages that [`ReadOutcome::InboxUpTo`] names one by one.
pub const MAX_EXACT: usize = 4096;

/// A message, and what became of it.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The message.
    pub placed: Placed,
    /// Who acknowledged it.
    pub acknowledged: Vec<AgentId>,
    /// Who has been handed it by itself.
    pub handed: Vec<AgentId>,
}

/// A note in a list.
#[derive(Debug, Clone)]
pub struct NoteRow {
    /// Its name.
    pub name: NoteName,
    /// How many changes of it there are.
    pub edits: u32,
    /// The change that came last.
    pub last: Placed,
}

/// What a read found.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadOutcome {
    /// For [`Read::Range`]: the ops, and whether there are no more after them.
    Range {
        /// In order of position.
        ops: Vec<Placed>,
        /// Whether these are the last.
        complete: bool,
    },
    /// For [`Read::At`].
    At(Option<Placed>),
    /// For [`Read::Proof`], encoded.
    Proof(Option<Vec<u8>>),
    /// For [`Read::Known`]: those that are stored, with their clocks.
    Known(Vec<(OpId, Hlc)>),
    /// For [`Read::Inbox`].
    Inbox {
        /// Oldest first.
        messages: Vec<Placed>,
        /// How many wait after these.
        more: u64,
        /// How many are held and not among these.
        held: u64,
    },
    /// For [`Read::Held`]: by position, each with whether it is held on.
    Held(Vec<(Placed, bool)>),
    /// For [`Read::InboxUpTo`].
    InboxUpTo {
        /// The last message of each log before the first that stays held, of those that do not expire.
        surfaced: Vec<(LogKey, u64)>,
        /// All others, at most [`MAX_EXACT`].
        exact: Vec<OpId>,
        /// Where the cursor stood.
        cursor: u64,
    },
    /// For [`Read::History`] and [`Read::Thread`]: in order of position.
    History(Vec<Traced>),
    /// For [`Read::Find`]: at most two matches for each text.
    Find(Vec<Vec<Placed>>),
    /// For [`Read::Verify`].
    Verify(log_verify::Reply),
    /// For [`Read::Note`].
    Note(Vec<Arc<Verified>>),
    /// For [`Read::Notes`]: by name.
    Notes(Vec<NoteRow>),
    /// For [`Read::Changes`].
    Changes(Vec<Arc<Verified>>),
    /// It failed.
    Failed(StoreError),
}
