//! Takes the next task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;

/// Claims one of the tasks that press the most of those that the calling agent may take now, and begins with it: not
/// always the oldest, so that agents do not run after the same one. Answered once the claim is
/// confirmed; should another agent win that task, the next one is tried. An agent that works on one already gets that
/// one again, as it may have been interrupted, unless it asks for another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// After how many seconds without a sign of life of the agent others may take the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// One more, though the agent works on some already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub another: bool,
    /// None of these, at most 64: ids, or `id@node`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// What there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The task, which the agent holds now; absent if none is ready for it.
    pub task: Option<Box<Task>>,
    /// How many tasks are not over.
    pub open: u32,
}
