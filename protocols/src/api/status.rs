//! How the node is doing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NodeInfo;
use crate::id::{ConversationId, LogEpochId};

/// Asks how the node is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// How the node is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The version of the daemon.
    pub version: String,
    /// This node.
    pub node: NodeInfo,
    /// The home folder.
    pub home: String,
    /// The daemon's process.
    pub pid: u32,
    /// How long the daemon has been running.
    pub uptime_ms: u64,
    /// Where it listens.
    pub listening: Vec<String>,
    /// How many nodes of the organisation are reachable, without this one.
    pub reachable: u32,
    /// How many there are, without this one.
    pub members: u32,
    /// The log epoch that it writes.
    pub log_epoch: LogEpochId,
    /// When its certificate expires.
    pub certificate_expires: u64,
    /// Whether it may admit others.
    pub admin: bool,
    /// Whether a PIN keeps programs from answering approvals for its people.
    pub pin: bool,
    /// Each conversation.
    pub conversations: Vec<Conversation>,
    /// Contradictions that were proven, by any node.
    pub forks: Vec<Fork>,
    /// What the admin should know.
    pub warnings: Vec<String>,
}

/// One conversation at this node. Two nodes that hold the same ops have the same digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Its name.
    pub name: String,
    /// How many ops are stored.
    pub ops: u64,
    /// How many logs they are in.
    pub logs: u32,
    /// Digest of the ops, as hexadecimal BLAKE3.
    pub ops_digest: String,
    /// Digest of the shared picture that follows from them.
    pub picture_digest: String,
    /// Ops that wait for others that they depend on.
    pub pending: u32,
}

/// A node that signed two different entries for one position of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fork {
    /// The node, by name if it is known.
    pub node: String,
    /// Its log.
    pub log: crate::id::LogId,
    /// The position. Entries from here on do not count.
    pub seq: u64,
}
