//! What a [`Core`](crate::Core) is told.

use std::sync::Arc;
use std::time::Duration;

use fedp2p_protocols::api::{Caller, Request};
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::{LogEpochId, NodeId, OpId, TicketId};
use fedp2p_protocols::joining;
use fedp2p_protocols::op::{Op, Verified};
use fedp2p_protocols::sync::LogKey;

use crate::store::{CommitToken, ReadOutcome, ReadToken, StoreError};

/// The time, as the driver reads it. Both clocks are given because they serve different ends: the wall clock is
/// shown and signed, the monotonic one decides when something is due and cannot jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// Time since some moment before the core was made.
    pub monotonic: Duration,
}

/// Names one call of a client until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names one exchange of the network worker that waits for a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange(pub u64);

/// Names one batch of ops that are being verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyToken(pub u64);

/// Names a gossip message until its fate is decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId {
    /// The message's id in gossip.
    pub id: [u8; 20],
    /// The node that passed it on.
    pub from: NodeId,
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// Time has passed; [`Core::deadline`](crate::Core::deadline) said that something is due.
    Tick,
    /// A client calls.
    Call {
        /// Names the call.
        id: CallId,
        /// Who calls.
        caller: Caller,
        /// What it asks.
        request: Request,
    },
    /// A client went away, or its watch was cut off.
    CallEnded(CallId),
    /// A commit is durable.
    Committed(CommitToken),
    /// A commit failed. The store refuses every later one until it gets one of a newer generation.
    CommitFailed(CommitToken, StoreError),
    /// A read came back.
    Read(ReadToken, ReadOutcome),
    /// Signatures were checked.
    Verified(VerifyToken, Vec<Option<Verified>>),
    /// The node listens on these addresses now.
    Listening(Vec<String>),
    /// A node said hello and waits to be admitted.
    Hello {
        /// Names the exchange.
        exchange: Exchange,
        /// The node, as its connection proves.
        peer: NodeId,
        /// What it says of itself.
        welcome: Box<Welcome>,
    },
    /// A member is connected, has said hello, and its sync stream is open.
    Connected {
        /// The node.
        peer: NodeId,
        /// Its address, for people.
        address: String,
    },
    /// It no longer is.
    Disconnected {
        /// The node.
        peer: NodeId,
    },
    /// Gossip brought an op.
    Gossip {
        /// Names the message; its fate must be told by [`Effect::Judge`](crate::Effect::Judge).
        id: GossipId,
        /// The op as it travelled.
        data: Vec<u8>,
    },
    /// A sync frame came.
    Frame {
        /// From whom.
        peer: NodeId,
        /// Its content.
        frame: Vec<u8>,
    },
    /// Somebody holds a ticket and wants the handshake.
    TicketShown {
        /// Names the exchange.
        exchange: Exchange,
        /// The ticket.
        ticket: TicketId,
    },
    /// A holder of a ticket has proven that it holds it, and asks to be a member.
    JoinRequested {
        /// Names the exchange.
        exchange: Exchange,
        /// The node, as its connection proves.
        peer: NodeId,
        /// The ticket.
        ticket: TicketId,
        /// What it asks.
        request: joining::Request,
    },
}

/// What was stored when the core starts.
#[derive(Debug, Default)]
pub struct Stored {
    /// Every log.
    pub logs: Vec<StoredLog>,
    /// The position of the last op.
    pub position: u64,
    /// Certificate chains of known nodes, as they were received.
    pub members: Vec<Vec<u8>>,
    /// Checkpoints and changes of the document epochs that count or may yet, by position: those from the one that
    /// [`Write::Document`](crate::store::Write::Document) named last.
    pub changes: Vec<Arc<Verified>>,
    /// Tickets that this node issued and that are not past their expiry by more than a week.
    pub tickets: Vec<StoredTicket>,
    /// The PIN of the node.
    pub pin: Option<crate::pin::Pin>,
    /// How far other nodes have this node's logs.
    pub reaches: Vec<(NodeId, LogKey, u64)>,
    /// Receipts: how far each agent has been handed each log.
    pub surfaced: Vec<(fedp2p_protocols::vote::AgentId, LogKey, u64)>,
    /// Proven forks.
    pub forks: Vec<StoredFork>,
    /// When each node was last heard, in milliseconds since 1970.
    pub last_seen: Vec<(NodeId, u64)>,
}

/// One log as it was stored.
#[derive(Debug, Clone)]
pub struct StoredLog {
    /// The log.
    pub key: LogKey,
    /// Its conversation.
    pub conversation: fedp2p_protocols::id::ConversationId,
    /// Position of its last entry.
    pub height: u64,
    /// Id of its last entry.
    pub head: OpId,
    /// Clock of its last entry.
    pub hlc: u64,
}

/// A proven fork as it was stored.
#[derive(Debug, Clone)]
pub struct StoredFork {
    /// The log.
    pub key: LogKey,
    /// Its conversation.
    pub conversation: fedp2p_protocols::id::ConversationId,
    /// The first position that has two entries.
    pub seq: u64,
    /// The entry before it.
    pub common: OpId,
}

/// A ticket as it was stored.
#[derive(Debug, Clone)]
pub struct StoredTicket {
    /// Its secret.
    pub secret: [u8; 32],
    /// When it expires, in milliseconds since 1970.
    pub expires: u64,
    /// Who used it.
    pub used_by: Option<NodeId>,
}

/// How a node starts.
#[derive(Debug)]
pub struct Start {
    /// The node's key.
    pub key: fedp2p_protocols::op::NodeKey,
    /// The organisation's root key, on the node that keeps it.
    pub root: Option<fedp2p_protocols::op::NodeKey>,
    /// The node's own certificate chain.
    pub chain: fedp2p_protocols::certificate::Chain,
    /// The log epoch that this database writes.
    pub epoch: LogEpochId,
    /// Seeds everything random.
    pub seed: [u8; 32],
    /// The home folder, for [`status`](fedp2p_protocols::api::status).
    pub home: String,
    /// The process, for [`status`](fedp2p_protocols::api::status).
    pub pid: u32,
    /// Things that were noticed while the home folder was opened.
    pub warnings: Vec<String>,
    /// The person whose user runs the daemon; others can write to this agent at once.
    pub person: Option<fedp2p_protocols::name::AgentName>,
    /// The node that admitted this one just now.
    pub inviter: Option<Introduction>,
    /// What was stored.
    pub stored: Stored,
}

/// A node that this one was told of before it met it.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Its certificate chain.
    pub chain: fedp2p_protocols::certificate::Chain,
    /// Where it listens.
    pub addresses: Vec<String>,
}

/// One op that is to be verified.
pub type Unverified = Op;
