//! Lists tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::task::State;

/// Asks for tasks. What is given must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Those too that are over.
    pub all: bool,
    /// Only those in one of these states, over or not; any if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<State>,
    /// Only those that the calling agent holds or may take.
    pub mine: bool,
    /// Only those that the calling agent may take now.
    pub ready: bool,
    /// At most this many, 1 to 1,000; 1,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what comes after this: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The tasks, those first that are to be done first: by priority, by when they are due, by age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// As they stand.
    pub tasks: Vec<Task>,
    /// How many more there are.
    pub more: u64,
    /// What to give as `after` for the page after this one; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
