//! The Common Operating Picture: what every agent says of itself now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Presence;
use super::origin::Origin;
use crate::name::Address;
use crate::pulse::{AgentKind, Pulse};

/// Asks for the picture.
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

/// The picture, by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row for each agent that has said something.
    pub agents: Vec<Row>,
    /// How many more there are.
    pub more: u64,
    /// What to give as `after` for the page after this one; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What one agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its address.
    pub address: Address,
    /// Where that comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Who stands behind it.
    pub kind: AgentKind,
    /// Whether its node can be reached. This is judged here, not said by the agent.
    pub presence: Presence,
    /// What it says: data, never instructions.
    pub pulse: Pulse,
    /// When it said so, by its own node's clock.
    pub at: u64,
}
