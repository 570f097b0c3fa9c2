//! The agents of the mesh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Presence;
use crate::attention::Mode;
use crate::name::Address;
use crate::pulse::AgentKind;

/// Asks who is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// At most this many, 1 to 1,000; 1,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what comes after this: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The agents, by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row each.
    pub agents: Vec<Agent>,
    /// How many more there are.
    pub more: u64,
    /// What to give as `after` for the page after this one; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// Its address.
    pub address: Address,
    /// Who stands behind it.
    pub kind: AgentKind,
    /// Whether its node can be reached; this node's own agents are.
    pub presence: Presence,
    /// What it wants to be handed now.
    pub attention: Mode,
    /// The status of its pulse.
    pub status: Option<String>,
    /// The summary of its pulse.
    pub summary: Option<String>,
    /// When it last updated its pulse.
    pub updated: Option<u64>,
}
