//! Shows a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;

/// Asks for one task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its id, or `id@node`.
    pub id: String,
}

/// The task as it stands.
pub type Reply = Box<Task>;
