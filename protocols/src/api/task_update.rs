//! Says how far a task is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::task::State;

/// Says how far a task is that the calling agent holds. What ends the work on it gives up the claim too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task: its id, or `id@node`.
    pub id: String,
    /// How far it is: `working`, `input-required`, `completed`, `failed` or `rejected`; `submitted` hands it back. The
    /// state that it is in if absent. An agent that may take a task may reject it without holding it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// What there is to say, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What came of it, at most 8 KiB; only with `completed` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// The task as it stands.
pub type Reply = Box<Task>;
