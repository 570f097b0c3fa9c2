//! Takes a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;

/// Claims a task for the calling agent and begins with it. Answered once the claim is confirmed, or refused with who
/// holds the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task: its id, or `id@node`.
    pub id: String,
    /// What the agent does, as the first note; at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Make the task, with the description or the id for a title, if there is none of this id.
    #[serde(default)]
    pub create: bool,
    /// After how many seconds without a sign of life of the agent others may take the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
}

/// The task as it stands.
pub type Reply = Box<Task>;
