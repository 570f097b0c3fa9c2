//! Bids for a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;

/// Offers to do a task that bids are asked for. A later bid of the same agent replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task: its id, or `id@node`.
    pub id: String,
    /// What it would cost, in whatever the team counts; less is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// Why the agent is the right one, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The task as it stands.
pub type Reply = Box<Task>;
