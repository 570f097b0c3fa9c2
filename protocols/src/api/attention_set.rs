//! Says what the calling agent wants to be handed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attention::Mode;
use crate::name::Address;

/// Sets the calling agent's attention. What is held meanwhile waits at its node, and senders see that it is held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `open`: everything is handed out; `focus`: what names the agent, but no status; `dnd`: nothing.
    pub mode: Mode,
    /// Whose urgent messages are handed out in any case: agents, or the words `people`, `all` or `nobody`; people if
    /// absent. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urgent: Vec<String>,
}

/// The attention as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// What is handed out.
    pub mode: Mode,
    /// Whether urgent messages of everybody are in any case.
    pub all: bool,
    /// Whether those of people are.
    pub people: bool,
    /// Of which agents they are.
    pub agents: Vec<Address>,
}
