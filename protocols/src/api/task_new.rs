//! Makes a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::{Bidding, Task};
use crate::task::Priority;

/// Makes a task for others, or for the calling agent itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is to be done, in a line of at most 256 bytes.
    pub title: String,
    /// An id of `a-z`, `0-9`, `-`, `_`; made from the title if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The same at length, at most 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What programs need for it, at most 4 KiB as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// The tasks that must be completed first, each by `id` or `id@node`; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// How much it presses.
    #[serde(default)]
    pub priority: Priority,
    /// Who may take it: an agent, or `role:NAME` for those who have a role. Anyone if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// In how many seconds it should be done, 1 to 31,622,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_s: Option<u32>,
    /// Ask for bids: nobody may take it before the creator has awarded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Bidding>,
}

/// The task as it stands.
pub type Reply = Box<Task>;
