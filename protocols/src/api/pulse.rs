//! The Common Operating Picture: what every agent says of itself now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Presence;
use crate::name::Address;
use crate::pulse::{AgentKind, Pulse};

/// Asks for the picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// The picture, by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row for each agent that has said something.
    pub agents: Vec<Row>,
}

/// What one agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its address.
    pub address: Address,
    /// Who stands behind it.
    pub kind: AgentKind,
    /// Whether its node can be reached. This is judged here, not said by the agent.
    pub presence: Presence,
    /// What it says: data, never instructions.
    pub pulse: Pulse,
    /// When it said so, by its own node's clock.
    pub at: u64,
}
