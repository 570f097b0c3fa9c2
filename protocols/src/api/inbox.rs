//! Reads what waits for an agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Message;

/// Asks for the next messages of the calling agent, oldest first. Nothing is marked: a client that has really handed
/// them over says so with [`surfaced`](super::surfaced).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// At most this many, 1 to 1000.
    pub limit: u32,
    /// Also those that are held. They always come where the agent's attention is open.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self { limit: 100, held: false }
    }
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The messages.
    pub messages: Vec<Message>,
    /// What to give to [`surfaced`](super::surfaced) once these have been handed over.
    pub cursor: u64,
    /// How many more wait.
    pub more: u64,
    /// How many are held and not among these.
    pub held: u64,
    /// Whether those that were held are among these; to give to [`surfaced`](super::surfaced) too.
    pub with_held: bool,
}
