//! Cancels a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;

/// Cancels a task of the calling agent, whoever works on it. What was said of it stays, and no longer counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task: its id, or `id@node`.
    pub id: String,
    /// Why, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The task as it stands.
pub type Reply = Box<Task>;
