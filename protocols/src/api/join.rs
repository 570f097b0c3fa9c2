//! Joins an organisation by ticket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NodeInfo;
use crate::name::NodeName;

/// Asks a running node to join. A node that is alone in its own organisation can; its history stays on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The ticket.
    pub ticket: String,
    /// The name to take in the organisation; the node's present one if absent.
    pub name: Option<NodeName>,
}

/// The node as a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// What it is now.
    pub node: NodeInfo,
}
