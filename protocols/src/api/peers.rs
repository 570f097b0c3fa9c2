//! The other nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Presence;
use crate::id::NodeId;

/// Asks for the other nodes of the organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// The other nodes, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row each.
    pub peers: Vec<Peer>,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its key.
    pub id: NodeId,
    /// Whether it can be reached.
    pub presence: Presence,
    /// Where it is connected from or to; absent while it is not.
    pub address: Option<String>,
    /// When it was last heard; absent if never.
    pub last_seen: Option<u64>,
    /// Round trip of the last sign of life, in microseconds.
    pub rtt_us: Option<u64>,
    /// Ops of ours that it does not hold yet.
    pub behind: u64,
    /// When its certificate expires.
    pub certificate_expires: u64,
}
